"""What there is: the kinds of job, the report types, the import formats, the video operations. Literal dicts.

Adding a report type, a format or an operation is one file and one line in the dict of its package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pipelines.imports.pipeline as imports
import pipelines.reports.pipeline as reports
import pipelines.video.pipeline as video
from pipelines.datasets import Catalog
from pipelines.plan import Artifact, Json, Request
from pipelines.store import Store


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a kind of job gives.

    `parse(payload, catalog)` runs in the web process and raises InvalidRequest with every fault. `plan` names
    an entry that runs on a worker: `(context, spec, None) -> Plan.to_json()`. `publish(store, job_id, epoch,
    spec, outcome)` and `discard(store, job_id, spec)` run in the dispatcher and may be repeated, by another
    dispatcher and late too; `discard` removes what every run of a job that ended without a result has left.
    `preview(store, request)` runs in the web process: the normalised `request`, what it `reads`, and what of
    it is `computed` already.
    """

    parse: Callable[[Json, Catalog], Request]
    plan: str
    publish: Callable[[Store, str, int, Json, Json], Artifact]
    discard: Callable[[Store, str, Json], None]
    preview: Callable[[Store, Request], Json] | None = None


PIPELINES: dict[str, Pipeline] = {
    "report": Pipeline(
        reports.parse,
        "pipelines.reports.pipeline:make_plan",
        reports.publish,
        reports.discard,
        reports.preview,
    ),
    "import": Pipeline(
        imports.parse, "pipelines.imports.pipeline:make_plan", imports.publish, imports.discard
    ),
    "video": Pipeline(video.parse, "pipelines.video.pipeline:make_plan", video.publish, video.discard),
}
