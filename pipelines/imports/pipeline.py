"""The import as a kind of job: parse, make_plan, read_part, finish, publish, discard.

Parts write fragments beside the dataset under names that carry job and epoch; nobody sees them until
`publish` commits them all as one version. Formats are `formats`' business, versions are `datasets`'.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipelines import kept
from pipelines.datasets import (
    Catalog,
    Column,
    Commit,
    Fragment,
    Mode,
    commit_fragments,
    committed_version,
    dataset_key,
    find_time_column,
    write_fragment,
)
from pipelines.datasets.commit import check_columns
from pipelines.errors import BadInput
from pipelines.imports.formats import FORMATS
from pipelines.imports.request import parse
from pipelines.imports.source import Source
from pipelines.imports.survey import as_dataset_columns, columns_of, in_dataset_order
from pipelines.plan import Artifact, Json, Plan
from pipelines.run import Context
from pipelines.store import Store

__all__ = ["discard", "finish", "make_plan", "parse", "publish", "read_part"]


def make_plan(context: Context, spec: Json, _: None) -> Json:
    """Look the file over once and cut it into parts."""
    source = Source.of(context.store, spec)
    stamp = source.stamp()
    if source.size != spec["bytes"]:
        raise BadInput(
            f"The file {source.name!r} has {source.size:,} bytes where {spec['bytes']:,} were announced; "
            "send it again."
        )
    survey = FORMATS[spec["format"]].survey(context, spec, source)
    source.check(stamp)
    if spec["sha256"] not in (None, survey.sha256):
        raise BadInput(
            f"The file {source.name!r} is not what was uploaded (its sha256 differs); send it again."
        )
    columns = in_dataset_order(survey.columns, spec)
    target = spec["target"]
    if target:
        there = [Column(*each) for each in target["columns"]]
        check_columns(spec["dataset"], there, as_dataset_columns(columns))
    planned = {
        **spec,
        "columns": [column.to_json() for column in columns],
        "dialect": dict(survey.dialect),
        "sha256": survey.sha256,
        "stamp": stamp,
        "time": target["time"] if target else find_time_column(as_dataset_columns(columns)),
    }
    module = "pipelines.imports.pipeline"
    keep = f"{context.job_id}/{_digest(planned, [part.payload for part in survey.parts])}"
    return Plan(
        planned, "bytes", survey.parts, f"{module}:read_part", f"{module}:finish", keep=keep
    ).to_json()


def read_part(context: Context, spec: Json, payload: Json) -> Json:
    """Read one part and write its rows as fragments, seen by nobody yet."""
    Source.of(context.store, spec).check(spec["stamp"])
    prefix = f"{dataset_key(spec['dataset'])}/{context.job_id}-{payload['n']}"
    fragments = []
    for piece, table in enumerate(FORMATS[spec["format"]].read(context, spec, payload)):
        context.check()
        # the order of names is that of rows, whichever run wrote them, so the run comes last
        key = f"{prefix}-{piece}-{context.epoch}.parquet"
        fragments.append(write_fragment(context.store, key, table, spec["time"]).to_json())
    return {"fragments": fragments}


def finish(context: Context, spec: Json, partials: list[Json]) -> Json:
    """Write down what there is to publish; the outcome only says where."""
    fragments = [fragment for partial in partials for fragment in partial["fragments"]]
    rows = sum(fragment["rows"] for fragment in fragments)
    if not rows:
        raise BadInput(f"The file {spec['name']!r} has no rows; import a file that has some.")
    manifest = {
        "dataset": spec["dataset"],
        "mode": spec["mode"],
        "columns": [[column.name, column.type] for column in columns_of(spec)],
        "time": spec["time"],
        "fragments": fragments,
        "receipt": _receipt(spec, fragments, rows),
    }
    key = f"{context.scratch}/import.json"
    with context.store.put(key) as sink:
        sink.write(json.dumps(manifest).encode())
    return {"manifest": key, "receipt": f"{context.results}/receipt.json", "rows": rows}


def publish(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
    """Commit the version and write the receipt. Repeating it, even as a later epoch, changes nothing."""
    key = str(outcome["receipt"])
    if store.exists(key):
        _tidy(store, spec["dataset"], job_id)  # who wrote it may have died before it came to that
        return _artifact(store, key)
    with store.open(outcome["manifest"]) as file:
        manifest = json.load(file)
    receipt: Json = manifest["receipt"]
    commit = Commit(
        dataset=manifest["dataset"],
        mode=Mode(manifest["mode"]),
        columns=tuple(Column(*each) for each in manifest["columns"]),
        time_column=manifest["time"],
        job_id=job_id,
        epoch=epoch,
        lineage={"source": receipt["source"]["name"], "sha256": receipt["source"]["sha256"]},
    )
    version = commit_fragments(store, commit, [Fragment.from_json(each) for each in manifest["fragments"]])
    with store.put(key) as sink:
        sink.write(json.dumps({**receipt, "version": version}, indent=2, ensure_ascii=False).encode())
    _tidy(store, spec["dataset"], job_id)
    return _artifact(store, key)


def discard(store: Store, job_id: str, spec: Json) -> None:
    """Remove what any run left: scratch, kept partials, and fragments that no version is made of."""
    _tidy(store, spec["dataset"], job_id)
    if committed_version(store, spec["dataset"], job_id) is None:
        store.delete(f"results/{job_id}")


def _tidy(store: Store, dataset: str, job_id: str) -> None:
    """Delete all that a job wrote (half-written files too) but for what its version is made of."""
    version = committed_version(store, dataset, job_id)
    committed = Catalog(store).fragments(dataset, version) if version is not None else ()
    keep = {fragment.path for fragment in committed}
    prefix = f"{dataset_key(dataset)}/{job_id}-"
    for stat in list(store.list(dataset_key(dataset))):
        if stat.key.startswith(prefix) and stat.key not in keep:
            store.delete(stat.key)
    store.delete(f"scratch/{job_id}")
    kept.discard(store, job_id)


def _digest(*given: Any) -> str:
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:32]


def _receipt(spec: Json, fragments: list[Json], rows: int) -> Json:
    """Contract section 3, but for the version, which only the commit knows."""
    nulls: dict[str, Any] = {}
    for fragment in fragments:
        for name, count in fragment["nulls"].items():
            nulls[name] = nulls.get(name, 0) + count
    return {
        "dataset": spec["dataset"],
        "version": None,
        "rowsRead": rows,
        "rowsLoaded": rows,
        "rowsRejected": 0,
        "dialect": {"format": spec["format"], **spec["dialect"]},
        "schema": [
            {
                "name": column.name,
                "type": column.type,
                "sourceName": column.source,
                "nulls": nulls.get(column.name, 0),
            }
            for column in columns_of(spec)
        ],
        "source": {"name": spec["name"], "bytes": spec["bytes"], "sha256": spec["sha256"]},
        "warnings": [],
    }


def _artifact(store: Store, key: str) -> Artifact:
    with store.open(key) as file:
        data = file.read()
    receipt = json.loads(data)
    digest = hashlib.sha256(data).hexdigest()
    name = f"{receipt['dataset']}-import.json"
    return Artifact(key, name, "application/json", len(data), digest, receipt["rowsLoaded"])
