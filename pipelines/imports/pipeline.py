"""The import as a kind of job: parse, make_plan, read_part, finish, publish, discard.

Parts write fragments beside the dataset under names that carry job and epoch; nobody sees them until
`publish` commits them all as one version. Formats are `formats`' business, versions are `datasets`'.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

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
from pipelines.datasets.vacuum import oldest_kept
from pipelines.datasets.widening import check_names, held, rewritten
from pipelines.imports import rejects
from pipelines.imports.formats import FORMATS
from pipelines.imports.options import MAX_BAD_SHARE
from pipelines.imports.prepare import prepare
from pipelines.imports.receipt import doubts, lineage, receipt, widenings
from pipelines.imports.request import parse, target_of
from pipelines.imports.source import Source
from pipelines.imports.survey import SourceColumn, as_dataset_columns, columns_of, no_rows
from pipelines.imports.typed import decided
from pipelines.plan import Artifact, Json, Plan
from pipelines.run import Context
from pipelines.store import Store

__all__ = ["discard", "finish", "make_plan", "parse", "publish", "read_part"]


def make_plan(context: Context, spec: Json, _: None) -> Json:
    """Look the files over once and cut them into parts."""
    spec = {**spec, "target": _target(context.store, spec)}
    prepared = prepare(context, spec)
    planned = {**prepared.spec, "columns": [column.to_json() for column in prepared.columns]}
    if spec["target"]:
        there = [Column(*each) for each in spec["target"]["columns"]]
        check_names(spec["dataset"], there, as_dataset_columns(prepared.columns))
    module = "pipelines.imports.pipeline"
    interchangeable = json.dumps([planned, [part.payload for part in prepared.parts]], sort_keys=True)
    keep = f"{context.job_id}/{_digest(interchangeable.replace(context.scratch, 'scratch'))}"
    return Plan(
        planned, "bytes", prepared.parts, f"{module}:read_part", f"{module}:finish", keep=keep
    ).to_json()


def read_part(context: Context, spec: Json, payload: Json) -> Json:
    """Read one part and write its rows as fragments, seen by nobody yet."""
    for given in spec["files"]:
        Source(given["name"], context.store, given["source"].get("store"), given["source"].get("file")).check(
            given["stamp"]
        )
    return _read(context, spec, payload, "")


def finish(context: Context, spec: Json, partials: list[Json]) -> Json:
    """Let the whole file decide the types, and write down what there is to publish; the outcome says where.

    A part that was read as something else than all parts together allow is read again.
    """
    columns = decided(columns_of(spec), [partial["evidence"] for partial in partials], spec)
    final = {**spec, "columns": [column.to_json() for column in columns], "evidence": {}}
    final["time"] = _time_column(final, columns)
    partials = [_settled(context, final, partial) for partial in partials]
    read = sum(partial["read"] for partial in partials)
    rejected = sum(partial["rejected"] for partial in partials)
    reasons = [reason for partial in partials for reason in partial["reasons"]][: rejects.SHOWN]
    if rejected:
        rejects.collect(
            context,
            [each["rejects"] for each in partials if each["rejects"]],
            f"{context.results}/{rejects.FILE}",
        )
    allowed = spec["options"].get("maxBadShare", MAX_BAD_SHARE)
    rejects.check_share(rejected, read, allowed, [*doubts(columns), *reasons])
    if read == rejected:
        raise no_rows(spec["name"])
    dry = spec["options"].get("dryRun", False)
    manifest = {
        "dataset": spec["dataset"],
        "mode": spec["mode"],
        "dryRun": dry,
        "columns": [[column.name, column.type] for column in columns],
        "time": final["time"],
        "fragments": [fragment for partial in partials for fragment in partial["fragments"]],
        "copies": {} if dry else _copies(context, final, columns),
        "receipt": receipt(final, columns, partials, reasons),
    }
    key = f"{context.scratch}/import.json"
    with context.store.put(key) as sink:
        sink.write(json.dumps(manifest).encode())
    return {"manifest": key, "receipt": f"{context.results}/receipt.json", "rows": read - rejected}


def _settled(context: Context, final: Json, partial: Json) -> Json:
    """The partial as it is when its columns were read as the whole file decides, else read again."""
    if partial["readings"] == _readings(final["columns"], final["time"]):
        return partial
    return _read(context, final, partial["payload"], "9")


def _read(context: Context, spec: Json, payload: Json, again: str) -> Json:
    """One part: its fragments, what it rejected, what it says of the columns nobody typed."""
    prefix = f"{dataset_key(spec['dataset'])}/{context.job_id}-{payload['n']}"
    piece = spec["pieces"][payload["piece"]]
    dry, strict = spec["options"].get("dryRun", False), spec["options"].get("onBadRow") == "fail"
    fragments, bad, evidence, rows = list[Json](), list[rejects.Reject](), Json(), 0
    columns, time = columns_of(spec), None
    for number, loaded in enumerate(FORMATS[piece["format"]].read(context, spec, payload)):
        context.check()
        if strict and loaded.rejects:
            raise rejects.stop_on(loaded.rejects, piece["label"])
        bad, rows, columns = [*bad, *loaded.rejects], rows + loaded.rows, loaded.columns
        evidence.update(loaded.evidence)
        time = _time_column(spec, columns)
        if loaded.table.num_rows and not dry:
            # the order of names is that of rows, whichever run wrote them, so the run comes last
            key = f"{prefix}-{again}{number}-{context.epoch}.parquet"
            fragments.append(write_fragment(context.store, key, loaded.table, time).to_json())
        elif dry:
            fragments.append(_counted(loaded.table))
    return {
        "payload": payload,
        "read": rows,
        "fragments": fragments,
        "evidence": evidence,
        "readings": _readings([column.to_json() for column in columns], time),
        **rejects.keep(context, f"{payload['n']}{again}", bad, piece["label"]),
    }


def _counted(table: pa.Table) -> Json:
    """What a fragment would say of rows that a dry run does not write."""
    nulls = {name: table[name].null_count for name in table.column_names}
    return {"rows": table.num_rows, "nulls": nulls}


def _readings(columns: list[Json], time: str | None) -> list[Any]:
    """What a part's fragments depend on."""
    wanted = ("source", "name", "type", "format", "decimal", "thousands", "nulls", "dress")
    return [[[column[name] for name in wanted] for column in columns], time]


def _time_column(spec: Json, columns: Sequence[SourceColumn]) -> str | None:
    target = spec["target"]
    return target["time"] if target else find_time_column(as_dataset_columns(columns))


def _target(store: Store, spec: Json) -> Json | None:
    """What an append must fit to, as it is now."""
    if not spec["target"]:
        return None
    catalog = Catalog(store)
    there = catalog.get(spec["dataset"])
    return {**target_of(there), "held": held(there.columns, catalog.fragments(there.name, there.version))}


def _copies(context: Context, final: Json, columns: Sequence[SourceColumn]) -> Json:
    """The fragments of the dataset made over into wider types, by path, where an append asks for that."""
    if not widenings(final, columns):
        return {}
    catalog, dataset = Catalog(context.store), final["dataset"]
    prefix, copies = f"{dataset_key(dataset)}/{context.job_id}-w", Json()
    for number, fragment in enumerate(catalog.fragments(dataset, catalog.get(dataset).version)):
        context.check()
        key = f"{prefix}-{number}-{context.epoch}.parquet"
        copy = rewritten(context.store, fragment, as_dataset_columns(columns), final["time"], key)
        copies[fragment.path] = copy.to_json()
    return copies


def publish(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
    """Commit the version and write the receipt. Repeating it, even as a later epoch, changes nothing."""
    key = str(outcome["receipt"])
    if store.exists(key):
        _tidy(store, spec["dataset"], job_id)  # who wrote it may have died before it came to that
        return _artifact(store, key)
    with store.open(outcome["manifest"]) as file:
        manifest = json.load(file)
    written: Json = manifest["receipt"]
    if manifest["dryRun"]:
        return _written(store, key, written, spec, job_id)
    commit = Commit(
        dataset=manifest["dataset"],
        mode=Mode(manifest["mode"]),
        columns=tuple(Column(*each) for each in manifest["columns"]),
        time_column=manifest["time"],
        job_id=job_id,
        epoch=epoch,
        lineage=lineage(spec["options"], written),
        copies={path: Fragment.from_json(each) for path, each in manifest["copies"].items()},
    )
    version = commit_fragments(store, commit, [Fragment.from_json(each) for each in manifest["fragments"]])
    # another append may have widened a column meanwhile
    types = {column.name: column.type for column in Catalog(store).get(commit.dataset, version).columns}
    schema = [{**column, "type": types[column["name"]]} for column in written["schema"]]
    return _written(store, key, {**written, "version": version, "schema": schema}, spec, job_id)


def _written(store: Store, key: str, written: Json, spec: Json, job_id: str) -> Artifact:
    with store.put(key) as sink:
        sink.write(json.dumps(written, indent=2, ensure_ascii=False).encode())
    _tidy(store, spec["dataset"], job_id)
    return _artifact(store, key)


def discard(store: Store, job_id: str, spec: Json) -> None:
    """Remove what any run left: scratch, kept partials, and fragments that no version is made of.

    The rejected rows stay for whoever wants to see all of them; retention knows when they go.
    """
    _tidy(store, spec["dataset"], job_id)
    if committed_version(store, spec["dataset"], job_id) is None:
        for stat in list(store.list(f"results/{job_id}")):
            if not stat.key.endswith(f"/{rejects.FILE}"):
                store.delete(stat.key)


def _tidy(store: Store, dataset: str, job_id: str) -> None:
    """Delete all that a job wrote (half-written files too) but for what its version is made of."""
    version = committed_version(store, dataset, job_id)
    if version is None or version >= oldest_kept(store, dataset):  # else what is left is not ours to judge
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


def _artifact(store: Store, key: str) -> Artifact:
    with store.open(key) as file:
        data = file.read()
    receipt = json.loads(data)
    digest = hashlib.sha256(data).hexdigest()
    name = f"{receipt['dataset']}-import.json"
    return Artifact(key, name, "application/json", len(data), digest, receipt["rowsLoaded"])
