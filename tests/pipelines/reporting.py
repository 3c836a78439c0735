"""Reports run in this process, as the dispatcher and workers would: every entry, all that travels as JSON."""

from __future__ import annotations

import io
import json
import pickle
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.plan import Json, Plan, Request
from pipelines.reports import pipeline
from pipelines.run import Context, perform
from tests.pipelines.importing import Workshop


def request(shop: Workshop, type_: str, parameters: Json, form: str = "parquet") -> Request:
    body = {"reportType": type_, "parameters": parameters, "format": form}
    return pipeline.parse(json.loads(json.dumps(body)), shop.catalog)


def ask(shop: Workshop, type_: str, parameters: Json, form: str = "parquet") -> tuple[bytes, Json]:
    """The bytes of a report and its artifact."""
    spec = json.loads(json.dumps(request(shop, type_, parameters, form).spec))
    plan = Plan.from_json(json.loads(json.dumps(pipeline.make_plan(shop.context("job"), spec, None))))
    home = str(shop.home)
    partials: list[Any] = [
        _travelled(perform(plan.run_part, Context("job", 1, home, n), plan.spec, part.payload))
        for n, part in enumerate(plan.parts)
    ]
    assert plan.combine is not None
    if plan.buckets:
        partials = [
            _travelled(perform(plan.combine, Context("job", 1, home, bucket=n), plan.spec, partials))
            for n in range(plan.buckets)
        ]
    while not plan.buckets and len(partials) > 1:  # a tree
        pairs = [partials[n : n + 2] for n in range(0, len(partials), 2)]
        partials = [_travelled(perform(plan.combine, shop.context("job"), plan.spec, pair)) for pair in pairs]
    outcome = pipeline.finish(shop.context("job"), plan.spec, partials)
    with shop.store.open(outcome["path"]) as file:
        return file.read(), outcome


def report(shop: Workshop, type_: str, **parameters: Any) -> pa.Table:
    """The table of a report."""
    found: pa.Table = pq.read_table(io.BytesIO(ask(shop, type_, parameters)[0]))
    return found


def rows(shop: Workshop, type_: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in report(shop, type_, **parameters).to_pylist()]


def _travelled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
