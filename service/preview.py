"""Preview: what a submission would cost, told without making it a job: validity, size, estimate, wait.

What is read is each pipeline's own knowledge; how long it takes is `service.waiting`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.plan import Json, Request
from pipelines.store import Store
from service.tracker import Tracker
from service.waiting import Outlook, Waiting

if TYPE_CHECKING:
    from pipelines.registry import Pipeline


@dataclass(frozen=True, slots=True)
class Preview:
    """`told` has the normalised `request`, what it `reads` and what of it is `computed` already.

    `answered_by` is the job whose result this would get at once, or whose work it would share.
    """

    request: Request
    told: Json
    outlook: Outlook
    answered_by: str | None


def preview(
    tracker: Tracker,
    waiting: Waiting,
    store: Store,
    pipeline: Pipeline,
    kind: str,
    asked: Json,
    request: Request,
    owner: str,
) -> Preview:
    """Of a request that passed every check; `asked` is what the client sent."""
    told = _plain(asked, request) if pipeline.preview is None else pipeline.preview(store, request)
    known = told["computed"].get(request.unit, 0)
    share = min(1.0, known / request.size) if request.size else 0.0
    equal = None if request.equal is None else tracker.outlook.equal(owner, request.equal)
    return Preview(request, told, waiting.outlook(kind, request, share), equal)


def _plain(asked: Json, request: Request) -> Json:
    """Of a kind that reads the files it is given, whole."""
    files = request.spec.get("files", ())
    reads: Json = {"files": len(files), "bytes": sum(each.get("bytes") or 0 for each in files)}
    if request.unit == "rows":
        reads["rows"] = request.size
    return {"request": {"type": request.type, **asked}, "reads": reads, "computed": {}}
