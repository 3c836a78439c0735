"""Preview: what a report would read, and how much of it is known already, before anybody pays for it.

Runs in the web process, on a request that passed every check: reads catalog, statistics and what is kept,
never a row.
"""

from __future__ import annotations

from typing import Any

from pipelines.datasets import Catalog
from pipelines.plan import Json, Request
from pipelines.reports import bins, planning, reuse
from pipelines.reports.program import prepare
from pipelines.reports.question import Question
from pipelines.reports.reuse import Shelf
from pipelines.reports.types import REPORTS
from pipelines.store import Store

_LOOKED_AT = 2_000  # stretches of which is looked up whether they are kept; of more nothing is said


def preview(store: Store, request: Request, shelved: int) -> Json:
    """`request` with every default filled in, `reads` (fragments, rows, bytes) and `computed` (rows)."""
    report, spec = REPORTS[request.type], request.spec
    parameters = report.Parameters.model_validate(request.parameters)
    fragments: dict[str, int] = {}
    rows = known = 0
    for each in spec["questions"]:
        question = Question.from_json(each)
        found = Catalog(store).fragments(question.dataset, question.version)
        wanted = planning.wanted(question, found)
        if question.bins:
            question = bins.settled(question, wanted)
        pieces = planning.pieces(store, question, found)
        read = {piece.path for piece in pieces}
        fragments |= {each.path: each.bytes for each in wanted if each.path in read}
        own = sum(piece.rows for piece in pieces)
        rows += own
        if own >= shelved and len(pieces) <= _LOOKED_AT:
            shelf = Shelf(store, prepare(question), reuse.plan(store, question))
            known += sum(piece.rows for piece in pieces if shelf.has(piece.run))
    first: Any = spec["questions"][0]
    return {
        "request": {
            "reportType": request.type,
            "parameters": parameters.model_dump(mode="json", by_alias=True, exclude_none=True),
            "format": spec["format"],
            "dataset": {"name": first["dataset"], "version": first["version"]},
        },
        "reads": {"fragments": len(fragments), "rows": rows, "bytes": sum(fragments.values())},
        "computed": {"rows": known},
    }
