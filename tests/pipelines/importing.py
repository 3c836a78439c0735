"""Imports run in this process, as a worker and the dispatcher would: through Context and the four entries."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.datasets import Catalog, read_row_groups
from pipelines.imports import pipeline
from pipelines.plan import Json, Plan
from pipelines.run import Context
from pipelines.store import Store, open_store

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "tables"


@dataclass
class Workshop:
    """A store of its own and a running number for jobs."""

    home: Path
    jobs: int = 0
    events: list[Json] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return open_store(str(self.home))

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.store)

    def context(self, job: str, epoch: int = 1, part: int | None = None) -> Context:
        return Context(job, epoch, str(self.home), part, send=self.events.append)

    def file(self, content: str | bytes, name: str = "table.csv") -> Path:
        path = self.home.parent / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def spec_of_many(self, dataset: str, paths: list[Path], options: Json | None = None) -> Json:
        files = [
            {"source": {"file": str(path)}, "name": path.name, "bytes": path.stat().st_size, "sha256": None}
            for path in paths
        ]
        return pipeline.parse({"dataset": dataset, "options": options, "files": files}, self.catalog).spec

    def spec(self, dataset: str, path: Path, options: Json | None = None) -> Json:
        size = path.stat().st_size
        payload = {"dataset": dataset, "options": options, "source": {"file": str(path)}}
        return pipeline.parse(
            {**payload, "name": path.name, "bytes": size, "sha256": None}, self.catalog
        ).spec

    def plan(self, job: str, spec: Json, epoch: int = 1) -> Plan:
        planned = pipeline.make_plan(self.context(job, epoch), spec, None)
        return Plan.from_json(json.loads(json.dumps(planned)))

    def work(self, job: str, plan: Plan, epoch: int = 1) -> Json:
        """Every part and the finish; all that travels goes through JSON."""
        partials = [
            json.loads(json.dumps(pipeline.read_part(self.context(job, epoch, n), plan.spec, part.payload)))
            for n, part in enumerate(plan.parts)
        ]
        return pipeline.finish(self.context(job, epoch), plan.spec, partials)

    def load(
        self,
        dataset: str,
        content: Path | list[Path] | str | bytes,
        options: Json | None = None,
        job: str = "",
    ) -> Json:
        """A whole import; the receipt."""
        self.jobs += 1
        job = job or f"job{self.jobs}"
        if isinstance(content, list):
            spec = self.spec_of_many(dataset, content, options)
        else:
            path = content if isinstance(content, Path) else self.file(content)
            spec = self.spec(dataset, path, options)
        outcome = self.work(job, self.plan(job, spec))
        artifact = pipeline.publish(self.store, job, 1, spec, outcome)
        with self.store.open(artifact.path) as file:
            receipt: Json = json.load(file)
        return receipt

    def rejects(self, job: str = "") -> list[list[str]]:
        """The rejected rows of a job (the last one) as its CSV has them: line, reason, text."""
        key = f"results/{job or f'job{self.jobs}'}/1/rejects.csv"
        if not self.store.exists(key):
            return []
        with self.store.open(key) as file:
            return list(csv.reader(io.StringIO(file.read().decode(), newline="")))[1:]

    def table(self, dataset: str, version: int | None = None) -> pa.Table:
        """All rows of a version, through our reader."""
        found = self.catalog.get(dataset, version)
        columns = [column.name for column in found.columns]
        pieces = [
            piece
            for fragment in self.catalog.fragments(dataset, found.version)
            for piece in read_row_groups(self.store, fragment.path, None, columns)
        ]
        return pa.concat_tables(pieces) if pieces else found.arrow_schema.empty_table()

    def files(self, prefix: str) -> list[str]:
        return [stat.key for stat in self.store.list(prefix)]


def types_of(receipt: Json) -> dict[str, Any]:
    return {column["name"]: column["type"] for column in receipt["schema"]}
