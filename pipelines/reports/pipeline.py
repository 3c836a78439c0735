"""The report pipeline: what the registry and the dispatcher call. Parse, plan, run a part, combine, finish.

`parse` runs in the web process and touches the catalog only; the entries run on workers; `publish` and
`discard` run in the dispatcher.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

from pipelines.datasets import Catalog, Dataset
from pipelines.errors import BadInput, Fault, InvalidRequest, nearest
from pipelines.plan import Artifact, Json, Plan, Request
from pipelines.reports import kernel, planning, render, reuse, spill, split, strategy
from pipelines.reports.answer import Answer, answer, join, notes
from pipelines.reports.kernel import Partial
from pipelines.reports.program import Program, prepare
from pipelines.reports.question import Question
from pipelines.reports.reuse import Shelf
from pipelines.reports.scan import scan
from pipelines.reports.shape import AT, Parameters, sift
from pipelines.reports.strategy import Strategy
from pipelines.reports.types import REPORTS, ReportType
from pipelines.run import Context
from pipelines.store import Store

_HERE = "pipelines.reports.pipeline"
_VERSION = 1  # raise it when the same question comes to get another answer or another file
SHELVED = 1 << 18  # rows of a report from which on what it finds out is kept for others
_MEMBERS = ("reportType", "parameters", "format")


def parse(payload: Json, catalog: Catalog) -> Request:
    """A checked request, or InvalidRequest with every fault: of form, of names, of types."""
    faults = [
        Fault(f"/{name}", f"{name!r} is not a member here{nearest(name, _MEMBERS)}")
        for name in payload
        if name not in _MEMBERS
    ]
    form = _choice(payload, "format", render.FORMATS, faults, default="csv")
    name = _choice(payload, "reportType", REPORTS, faults)
    if name is None:
        raise InvalidRequest(faults)
    report = REPORTS[name]
    sifted = sift(report.Parameters, payload.get("parameters", {}))
    faults += sifted.faults
    asked = _question(report, sifted.parameters, catalog, faults) if sifted.parameters else None
    if faults or asked is None or form is None:
        raise InvalidRequest(faults)
    question, dataset = asked
    fragments = planning.wanted(question, catalog.fragments(question.dataset, question.version))
    spec = {"question": question.to_json(), "format": form, "name": report.file_name(sifted.parameters)}
    size = sum(each.rows for each in fragments)
    equal = _digest(dataset.id, spec)
    return Request(name, payload.get("parameters", {}), spec, size, "rows", equal)


def make_plan(context: Context, spec: Json, argument: Any) -> Json:
    """Entry: stretches to read, cut into parts, and how to put their partials together."""
    question, store = Question.from_json(spec["question"]), context.store
    fragments = Catalog(store).fragments(question.dataset, question.version)
    found = planning.pieces(store, question, fragments)
    rows = sum(piece.rows for piece in found)
    shelf, before = (
        (None, None) if rows < SHELVED else (reuse.plan(store, question), reuse.remembered(store, question))
    )
    chosen = None if before is None else Strategy.from_json(before)
    if chosen is None or not chosen.fits(rows):
        chosen = strategy.choose(prepare(question), store, found)
        if shelf:
            reuse.remember(store, question, chosen.to_json())
    return Plan(
        {**spec, "strategy": chosen.to_json(), "shelf": shelf},
        "rows",
        planning.cut(found, chosen.seconds_a_row),
        f"{_HERE}:run_part",
        f"{_HERE}:finish",
        combine=f"{_HERE}:combine",
        buckets=chosen.buckets,
    ).to_json()


def run_part(context: Context, spec: Json, payload: Json) -> Partial | Json:
    """Entry: the partial of some row groups; where there are buckets, what finds its pieces."""
    program, chosen = _understood(spec)
    shelf = Shelf(context.store, program, spec["shelf"]) if spec["shelf"] else None
    partial = scan(program, context.store, payload, context.progress, chosen.batch, shelf)
    if not chosen.buckets:
        return partial
    pieces = (
        split.by_keys(program, partial, chosen.cuts)
        if chosen.by == "keys"
        else split.by_values(program, partial, chosen.buckets)
    )
    return spill.put(context.store, f"{context.scratch}/part-{context.part}-{uuid.uuid4().hex[:8]}", pieces)


def combine(context: Context, spec: Json, partials: Sequence[Any]) -> Partial | Answer:
    """Entry: one partial of several, in part order; of a bucket by key already the answer."""
    context.check()
    program, chosen = _understood(spec)
    if context.bucket is None:
        return kernel.merge(program, partials)
    pieces = [spill.get(context.store, token, context.bucket) for token in partials]
    context.check()
    whole = kernel.merge(program, pieces)
    return answer(program, whole) if chosen.by == "keys" else split.settle(program, whole)


def finish(context: Context, spec: Json, partials: Sequence[Any]) -> Json:
    """Entry: the file in the store, as an Artifact."""
    program, chosen = _understood(spec)
    if chosen.by == "keys":
        found = join(program, partials)
    else:
        found = answer(program, kernel.merge(program, partials or [kernel.empty(program)]))
    context.check()
    table = found.table
    form = render.FORMATS[spec["format"]]
    render.check_fits(table, spec["format"])
    grains = {key.name: key.grain for key in program.question.keys if key.grain}
    # a name of its own: a worker that was thought dead may come back and write its copy, not quite the same
    path = f"{context.results}/report-{uuid.uuid4().hex[:8]}.{form.extension}"
    with context.store.put(path) as sink:
        form.write(table, grains, sink)
    name, said = f"{spec['name']}.{form.extension}", tuple(notes(program, found))
    return Artifact(path, name, form.media_type, sink.bytes, sink.sha256, table.num_rows, said).to_json()


def _understood(spec: Json) -> tuple[Program, Strategy]:
    return prepare(Question.from_json(spec["question"])), Strategy.from_json(spec["strategy"])


def publish(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
    """The file is in place since `finish`; only what other runs left has to go."""
    for stat in list(store.list(f"results/{job_id}")):
        if stat.key != outcome["path"]:
            store.delete(stat.key)
    store.delete(f"scratch/{job_id}")
    return Artifact.from_json(outcome)


def discard(store: Store, job_id: str, spec: Json) -> None:
    """Remove what any run left; partials that are kept may serve an equal question."""
    store.delete(f"results/{job_id}")
    store.delete(f"scratch/{job_id}")


def _digest(*given: Any) -> str:
    text = json.dumps([_VERSION, *given], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _choice(
    payload: Json, member: str, known: dict[str, Any], faults: list[Fault], default: str | None = None
) -> str | None:
    value = payload.get(member)
    if value is None and default is not None:
        return default
    if value is None:
        faults.append(Fault(f"/{member}", f"{member!r} is missing{nearest('', known)}"))
    elif not isinstance(value, str) or value not in known:
        faults.append(Fault(f"/{member}", f"{value!r} is no {member}{nearest(str(value), known)}"))
    else:
        return value
    return None


def _question(
    report: ReportType, parameters: Parameters, catalog: Catalog, faults: list[Fault]
) -> tuple[Question, Dataset] | None:
    """The question of well-formed parameters, and its dataset; what is wrong in meaning joins the faults."""
    dataset = _dataset(parameters, catalog, faults)
    if dataset is None:
        return None
    try:
        return report.question(parameters, dataset), dataset
    except InvalidRequest as error:
        faults += error.faults
        return None


def _dataset(parameters: Parameters, catalog: Catalog, faults: list[Fault]) -> Dataset | None:
    try:
        return catalog.get(parameters.dataset_name, parameters.dataset_version)
    except BadInput as error:
        known = parameters.dataset_name in catalog.names()
        faults.append(Fault(f"{AT}/{'version' if known else 'dataset'}", error.detail))
        return None
