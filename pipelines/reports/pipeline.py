"""The report pipeline: what the registry and the dispatcher call. Parse, plan, run a part, combine, finish.

A report is one question or a few, each with parts of its own; what travels between tasks are pairs of the
number of a question and what is known of its answer. `parse` runs in the web process and touches the catalog
only; the entries run on workers; `publish` and `discard` run in the dispatcher.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipelines.datasets import Catalog, Dataset
from pipelines.errors import BadInput, Fault, InvalidRequest, nearest
from pipelines.plan import Artifact, Json, Part, Plan, Request
from pipelines.reports import planning, render
from pipelines.reports import preview as previews
from pipelines.reports.answer import Answer, cost, inexact
from pipelines.reports.kernel import Partial
from pipelines.reports.question import Question
from pipelines.reports.shape import AT, Parameters, sift
from pipelines.reports.table import Reply, Shown
from pipelines.reports.types import REPORTS, ReportType
from pipelines.reports.wide import widened, with_lookups
from pipelines.reports.work import Work, work_of
from pipelines.run import Context
from pipelines.store import Store

Numbered = tuple[int, Any]  # of which question, and its partial, answer or token
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
    report, given = REPORTS[name], payload.get("parameters", {})
    sifted = sift(report.Parameters, given)
    faults += sifted.faults
    asked = _questions(report, sifted.parameters, catalog, faults) if sifted.parameters else None
    if faults or asked is None or form is None:
        raise InvalidRequest(faults)
    questions, dataset = asked
    if said := render.too_long(form, questions[0].limit):
        raise InvalidRequest([Fault("/format", said)])
    spec: Json = {
        "questions": [each.to_json() for each in questions],
        "format": form,
        "name": report.file_name(sifted.parameters),
        "title": report.title,
        "asked": given if form == "html" else None,  # said differently, an equal question is equal
        "finish": {"type": name, "parameters": given} if report.finish else None,
    }
    fragments = catalog.fragments(dataset.name, dataset.version)
    size = sum(fragment.rows for each in questions for fragment in planning.wanted(each, fragments))
    return Request(name, given, spec, size, "rows", _digest(dataset.id, spec))


def preview(store: Store, request: Request) -> Json:
    """What a report would read; see `pipelines.reports.preview`."""
    return previews.preview(store, request, SHELVED)


def make_plan(context: Context, spec: Json, argument: Any) -> Json:
    """Entry: stretches to read, cut into parts, and how to put their partials together."""
    works, parts = [], []
    for number, each in enumerate(spec["questions"]):
        work, own = work_of(context.store, Question.from_json(each), SHELVED)
        works.append(work)
        parts += [Part({**part.payload, "question": number}, part.weight) for part in own]
        context.check()
    return Plan(
        {**spec, "works": [work.to_json() for work in works]},
        "rows",
        tuple(parts),
        f"{_HERE}:run_part",
        f"{_HERE}:finish",
        combine=f"{_HERE}:combine",
        buckets=max(work.strategy.buckets for work in works),
    ).to_json()


def run_part(context: Context, spec: Json, payload: Json) -> list[Numbered]:
    """Entry: the partial of some row groups; where there are buckets, what finds its pieces."""
    number = payload["question"]
    work = Work.from_json(spec["works"][number])
    key = f"{context.scratch}/part-{context.part}-{uuid.uuid4().hex[:8]}"
    found = work.part(context.store, payload, context.progress, key)
    _check_rows(spec, work, found)
    return [(number, found)]


def combine(context: Context, spec: Json, partials: Sequence[Sequence[Numbered]]) -> list[Numbered]:
    """Entry: one partial of several for each question, in part order; of a bucket by key its answer."""
    found: list[Numbered] = []
    for number, some in _gathered(partials).items():
        context.check()
        work = Work.from_json(spec["works"][number])
        if work.takes(context.bucket):
            found.append((number, work.combined(context.store, some, context.bucket)))
            _check_rows(spec, work, found[-1][1])
    return found


def finish(context: Context, spec: Json, partials: Sequence[Sequence[Numbered]]) -> Json:
    """Entry: the file in the store, as an Artifact."""
    gathered = _gathered(partials)
    works = [Work.from_json(each) for each in spec["works"]]
    answers = [work.answer(gathered.get(number, [])) for number, work in enumerate(works)]
    context.check()
    shown = shown_of(spec, works, answers)
    form = render.FORMATS[spec["format"]]
    render.check_fits(spec["format"], shown.table.num_rows, shown.table.num_columns)
    # a name of its own: a worker that was thought dead may come back and write its copy, not quite the same
    path = f"{context.results}/report-{uuid.uuid4().hex[:8]}.{form.extension}"
    with context.store.put(path) as sink:
        form.write(shown, sink)
    name, rows = f"{spec['name']}.{form.extension}", shown.table.num_rows
    return Artifact(path, name, form.media_type, sink.bytes, sink.sha256, rows, shown.notes).to_json()


def _check_rows(spec: Json, work: Work, found: Any) -> None:
    """Groups never become fewer: a report that its format cannot hold ends with the part that shows it."""
    question = work.program.question
    if spec["finish"] is not None or question.limit is not None:
        return
    columns = len(question.keys) + len(question.measures)
    if isinstance(found, Partial):
        render.check_fits(spec["format"], found.groups.num_rows, columns)
    elif isinstance(found, Answer):
        render.check_fits(spec["format"], found.table.num_rows, columns)


def _gathered(partials: Sequence[Sequence[Numbered]]) -> dict[int, list[Any]]:
    """What there is of each question, in part order."""
    found: dict[int, list[Any]] = {}
    for number, each in (numbered for some in partials for numbered in some):
        found.setdefault(number, []).append(each)
    return found


def shown_of(spec: Json, works: Sequence[Work], answers: Sequence[Answer]) -> Shown:
    """The report: the answer of its question, or what its type makes of several."""
    replies = [
        Reply(work.program.question, each.table, each.groups)
        for work, each in zip(works, answers, strict=True)
    ]
    if spec["finish"] is None:
        shown = replies[0].shown
    else:
        report = REPORTS[spec["finish"]["type"]]
        assert report.finish is not None, "parse has said so"
        shown = report.finish(report.Parameters.model_validate(spec["finish"]["parameters"]), replies)
    exact = (inexact(work.program, each) for work, each in zip(works, answers, strict=True))
    notes = dict.fromkeys(note for some in exact for note in some)
    question = replies[0].question
    return replace(
        shown,
        notes=(*shown.notes, *notes, cost(answers)),
        title=spec["title"],
        about=f"Dataset {question.dataset}, version {question.version}.",
        asked=json.dumps(spec["asked"], indent=2, ensure_ascii=False) if spec["asked"] else "",
    )


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


def _questions(
    report: ReportType, parameters: Parameters, catalog: Catalog, faults: list[Fault]
) -> tuple[Sequence[Question], Dataset] | None:
    """What well-formed parameters ask, and of which dataset; what is wrong in meaning joins the faults."""
    dataset = _dataset(parameters, catalog, faults)
    if dataset is None:
        return None
    wide, lookups = widened(dataset, parameters.lookup, catalog, faults)
    if any(fault.pointer.startswith(f"{AT}/lookup") for fault in faults):
        return None  # what the columns are is not known
    try:
        asked = report.question(parameters, wide)
    except InvalidRequest as error:
        faults += error.faults
        return None
    questions = [asked] if isinstance(asked, Question) else asked
    return [with_lookups(each, wide, lookups) for each in questions], dataset


def _dataset(parameters: Parameters, catalog: Catalog, faults: list[Fault]) -> Dataset | None:
    try:
        return catalog.get(parameters.dataset_name, parameters.dataset_version)
    except BadInput as error:
        known = parameters.dataset_name in catalog.names()
        faults.append(Fault(f"{AT}/{'version' if known else 'dataset'}", error.detail))
        return None
