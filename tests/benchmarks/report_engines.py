"""One engine in a process of its own, which answers the questions of `report_questions` again and again.

`python -m tests.benchmarks.report_engines ENGINE` reads a line of JSON for each question and writes one with
the wall seconds it took. `files` of a question is a pattern of Parquet files; for Haulier's own engines the
store's home. Each engine is used as its documentation does it, with as many threads as there are cores.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from glob import glob
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.plan import Json
from tests.benchmarks.report_questions import EVERY_ROW, SALES, TPCH, Asked

QUESTIONS = {asked.name: asked for asked in (*SALES, *TPCH, EVERY_ROW)}
Answering = Callable[[Asked, str], pa.Table]


def duckdb_engine() -> Answering:
    import duckdb

    connection = duckdb.connect()
    connection.execute("set enable_progress_bar = false")

    def answer(asked: Asked, files: str) -> pa.Table:
        return connection.sql(asked.sql.replace(" T ", f" read_parquet('{files}') ")).to_arrow_table()

    return answer


def polars_engine() -> Answering:
    import polars

    def answer(asked: Asked, files: str) -> pa.Table:
        query = asked.polars(polars, polars.scan_parquet(files))
        return query.collect(engine="streaming").to_arrow()

    return answer


def pandas_engine() -> Answering:
    import pandas

    def answer(asked: Asked, files: str) -> pa.Table:
        frames = [_load(asked, path) for path in sorted(glob(files))]
        return pa.Table.from_pandas(
            _grouped(asked, pandas.concat(frames, ignore_index=True)), preserve_index=False
        )

    return answer


def dask_dataframe_engine() -> Answering:
    import dask.dataframe
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0)
    client = Client(cluster)

    def answer(asked: Asked, files: str) -> pa.Table:
        loaded = dask.dataframe.from_map(lambda path: _load(asked, path), sorted(glob(files)))
        return pa.Table.from_pandas(_grouped(asked, loaded), preserve_index=False)

    answer.client = client  # type: ignore[attr-defined]  # lives as long as the engine
    return answer


_GRAIN = {"month": "M", "day": "D"}


def _load(asked: Asked, path: str) -> Any:
    """What of a file the question needs, as a frame: filtered while read, decimals as floats, text as
    categories."""
    text = ["region", "category", "country", "channel", "l_returnflag", "l_linestatus"]
    table = pq.read_table(path, columns=_columns(asked), filters=_filters(asked, path), read_dictionary=text)
    for index, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(index, field.name, table[field.name].cast(pa.float64()))
    frame = table.unify_dictionaries().to_pandas()
    for key in asked.parameters.get("by", ()):
        if isinstance(key, dict):
            frame[key["grain"]] = frame[key["time"]].dt.to_period(_GRAIN[key["grain"]]).dt.start_time
    for measure in asked.parameters["measures"]:
        if "of" in measure and not measure["of"].isidentifier():
            frame[measure["as"] + "_of"] = frame.eval(measure["of"])
    return frame


def _grouped(asked: Asked, frame: Any) -> Any:
    """pandas' and dask.dataframe's groupby take the same words, but for a quantile."""
    keys = [each["grain"] if isinstance(each, dict) else each for each in asked.parameters.get("by", ())]
    measures = asked.parameters["measures"]
    sources = [m["of"] if m.get("of", "").isidentifier() else m["as"] + "_of" for m in measures]
    if not keys:
        total = frame[sources[0]].sum()
        return _frame({measures[0]["as"]: [getattr(total, "compute", lambda: total)()]})
    if measures[0]["op"] == "quantile":
        return _quantiles(frame, keys, measures, sources)
    grouped = frame.groupby(keys, observed=True, dropna=False)
    made = {
        m["as"]: _measure(grouped, frame, keys, m, source)
        for m, source in zip(measures, sources, strict=True)
    }
    if hasattr(frame, "compute"):
        import dask

        made = dict(zip(made, dask.compute(*made.values()), strict=True))
    found = _frame(made).reset_index()
    if "orderBy" in asked.parameters:
        return found.nlargest(asked.parameters["limit"], asked.parameters["orderBy"][0]["column"])
    return found


def _measure(grouped: Any, frame: Any, keys: list[str], measure: Json, source: str) -> Any:
    op = {"distinct": "nunique"}.get(measure["op"], measure["op"])
    return grouped.size() if op == "count" else getattr(grouped[source], op)()


def _quantiles(frame: Any, keys: list[str], measures: list[Json], sources: list[str]) -> Any:
    if hasattr(frame, "compute"):  # has none of its own for groups: all of a group in one place
        frame = frame[[*keys, sources[0]]]
        frame[keys[0]] = frame[keys[0]].astype(str)
        quantiles = [m["q"] for m in measures]
        found = frame.groupby(keys[0])[sources[0]].apply(
            lambda values: values.quantile(quantiles), meta=(sources[0], "f8")
        )
        table = found.compute().unstack()
        table.columns = [m["as"] for m in measures]
        return table.reset_index()
    grouped = frame.groupby(keys, observed=True, dropna=False)
    return _frame(
        {m["as"]: grouped[source].quantile(m["q"]) for m, source in zip(measures, sources, strict=True)}
    ).reset_index()


def _frame(columns: Json) -> Any:
    import pandas

    return pandas.DataFrame(columns)


def _columns(asked: Asked) -> list[str]:
    from pipelines.reports.expression import columns, parse

    keys = [each["time"] if isinstance(each, dict) else each for each in asked.parameters.get("by", ())]
    read = [name for m in asked.parameters["measures"] if "of" in m for name in columns(parse(m["of"]))]
    return list(dict.fromkeys([*keys, *read]))


def _filters(asked: Asked, path: str) -> Any:
    from decimal import Decimal

    schema, found = pq.read_schema(path), []
    for each in asked.parameters.get("where", ()):
        kind = schema.field(each["column"]).type

        def value(given: Any, kind: pa.DataType = kind) -> Any:
            if pa.types.is_date(kind):
                return datetime.fromisoformat(given).date()
            if pa.types.is_timestamp(kind):
                return datetime.fromisoformat(given)
            return Decimal(str(given)) if pa.types.is_decimal(kind) else given

        if each["op"] == "between":
            low, high = map(value, each["value"])
            found += [(each["column"], ">=", low), (each["column"], "<=", high)]
        else:
            found.append((each["column"], "==" if each["op"] == "=" else each["op"], value(each["value"])))
    return found or None


def kernel_engine() -> Answering:
    """Haulier's plan, parts and finish one after another in this thread; nothing is kept."""
    from pipelines.reports import pipeline
    from pipelines.run import Context

    def answer(asked: Asked, home: str) -> pa.Table:
        def context(**place: Any) -> Context:
            return Context("kernel", 1, home, **place)

        plan = _planned(asked, home, lambda spec: pipeline.make_plan(context(), spec, None))
        spec = plan["spec"]
        partials: list[Any] = [
            pipeline.run_part(context(part=n), spec, part["payload"]) for n, part in enumerate(plan["parts"])
        ]
        if plan["buckets"]:
            partials = [
                pipeline.combine(context(bucket=bucket), spec, partials) for bucket in range(plan["buckets"])
            ]
        return _result(home, pipeline.finish(context(), spec, partials))

    return answer


def dask_engine() -> Answering:
    """Haulier's plan as the graph its dispatcher makes, on the same scheduler and two workers."""
    import tempfile

    from distributed import Client

    from pipelines.plan import Plan
    from service.cluster import RunKey, graph
    from service.compute import LocalCompute

    folder = Path(tempfile.mkdtemp())
    compute = LocalCompute(2, folder, python_path=[Path(__file__).parents[2]])
    compute.start()
    client = Client(compute.address, timeout=60)
    client.wait_for_workers(2)
    numbers = iter(range(1_000_000))

    def answer(asked: Asked, home: str) -> pa.Table:
        keys = graph.Keys("report", RunKey(f"bench{next(numbers)}", 1))

        def run(work: Any) -> Any:
            return client.compute(work, optimize_graph=False, retries=0, fifo_timeout="0s").result()

        def planned(spec: Json) -> Json:
            return run(graph.planning(keys, "pipelines.reports.pipeline:make_plan", spec, home))

        plan = _planned(asked, home, planned)
        return _result(home, run(graph.working(keys, Plan.from_json(plan), home)))

    answer.kept = (compute, client)  # type: ignore[attr-defined]  # live as long as the engine
    return answer


def _planned(asked: Asked, home: str, make: Callable[[Json], Json]) -> Json:
    from pipelines.datasets import Catalog
    from pipelines.reports import pipeline
    from pipelines.store import open_store

    store = open_store(home)
    store.delete("kept")
    body = {
        "reportType": "aggregate",
        "parameters": {"dataset": asked.table, **asked.parameters},
        "format": "parquet",
    }
    plan = make(pipeline.parse(body, Catalog(store)).spec)
    for work in plan["spec"]["works"]:
        work["shelf"] = None  # neither keeps nor uses what is kept
    return plan


def _result(home: str, outcome: Json) -> pa.Table:
    from pipelines.store import open_store

    store = open_store(home)
    with store.open(outcome["path"]) as file:
        found = pq.read_table(file)
    store.delete(outcome["path"])
    store.delete("scratch")
    return found


ENGINES: dict[str, Callable[[], Answering]] = {
    "DuckDB": duckdb_engine,
    "Polars": polars_engine,
    "pandas": pandas_engine,
    "dask.dataframe": dask_dataframe_engine,
    "kernel": kernel_engine,
    "plan": dask_engine,
}


def main(engine: str) -> None:
    answer = ENGINES[engine]()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.perf_counter()
        found = answer(QUESTIONS[asked["question"]], asked["files"])
        seconds = time.perf_counter() - started
        if asked["save"]:
            pq.write_table(found, asked["save"])
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
