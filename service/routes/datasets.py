"""Datasets: what there is to ask, what it looks like, and its removal."""

from __future__ import annotations

import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from pipelines.plan import Json
from pipelines.store import Sink
from service.routes.answers import reply
from service.routes.documents import Link, Wire
from service.routes.openapi import blueprint
from service.routes.requests import NoQuery, Query
from service.routes.site import site

if TYPE_CHECKING:
    from pipelines.datasets import Dataset

api = blueprint("datasets")


class DatasetPath(BaseModel):
    name: str = Field(description="The name of a dataset.")


class VersionPath(DatasetPath):
    version: int = Field(ge=0, description="The number of a version.")


class PreviewQuery(Query):
    limit: int = Field(20, ge=1, le=1000)


class ColumnDocument(BaseModel):
    name: str
    type: str


class DatasetDocument(Wire):
    name: str
    version: int
    rows: int
    bytes: int
    time_column: str | None
    columns: list[ColumnDocument] = Field(alias="schema")
    links: list[Link]


class DatasetList(BaseModel):
    datasets: list[DatasetDocument]


class VersionDocument(BaseModel):
    """And what is known of where it came from."""

    model_config = ConfigDict(extra="allow")

    version: int
    created: datetime
    links: list[Link]


class DatasetWithVersions(DatasetDocument):
    versions: list[VersionDocument]


class DatasetPreview(BaseModel):
    dataset: str
    columns: list[str]
    rows: list[dict[str, Any]]


@api.get("/api/datasets", responses={"200": DatasetList})
def list_datasets(query: NoQuery) -> Response:
    """Every dataset at its newest version"""
    return reply({"datasets": [_document(each) for each in site().jobs.datasets()]})


@api.get("/api/datasets/<name>", responses={"200": DatasetWithVersions})
def get_dataset(path: DatasetPath, query: NoQuery) -> Response:
    """Schema, size and versions of a dataset"""
    catalog = site().jobs.catalog
    document = _document(catalog.get(path.name))
    return reply(
        {**document, "versions": [_version(path.name, each) for each in catalog.versions(path.name)]}
    )


@api.get("/api/datasets/<name>/versions/<version>", responses={"200": VersionDocument})
def get_version(path: VersionPath, query: NoQuery) -> Response:
    """Where a version came from: source, options and the receipt of its import"""
    found = site().jobs.catalog.version(path.name, path.version)
    return reply({**_version(path.name, found), "receipt": found["receipt"]})


@api.get("/api/datasets/<name>/preview", responses={"200": DatasetPreview})
def preview_dataset(path: DatasetPath, query: PreviewQuery) -> Response:
    """The first rows, as a report in JSON would show them"""
    from pipelines.reports.render import FORMATS  # Arrow: not before somebody looks at data
    from pipelines.reports.table import Shown

    table = site().jobs.catalog.preview(path.name, query.limit)
    rows = io.BytesIO()
    FORMATS["json"].write(Shown(table), Sink(rows))
    columns = json.dumps(table.column_names, ensure_ascii=False)
    # put together as text: numbers keep all their digits
    name = json.dumps(path.name)
    text = f'{{"dataset": {name}, "columns": {columns}, "rows": {rows.getvalue().decode()}}}\n'
    return Response(text, content_type="application/json")


@api.delete("/api/datasets/<name>", responses={"204": None})
def delete_dataset(path: DatasetPath, query: NoQuery) -> Response:
    """Remove a dataset with all its versions"""
    site().jobs.catalog.delete(path.name)
    return Response(status=204)


def _version(name: str, version: Json) -> Json:
    told = {key: value for key, value in version.items() if key != "receipt"}
    own = f"/api/datasets/{name}/versions/{version['version']}"
    created = version["created"].isoformat().replace("+00:00", "Z")
    return {**told, "created": created, "links": [{"rel": "self", "href": own}]}


def _document(dataset: Dataset) -> Json:
    own = f"/api/datasets/{dataset.name}"
    return {
        "name": dataset.name,
        "version": dataset.version,
        "rows": dataset.rows,
        "bytes": dataset.bytes,
        "timeColumn": dataset.time_column,
        "schema": [{"name": column.name, "type": column.type} for column in dataset.columns],
        "links": [{"rel": "self", "href": own}, {"rel": "preview", "href": f"{own}/preview"}],
    }
