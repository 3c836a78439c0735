"""The import formats: one line each. A format surveys its file once and reads its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.imports import columnar, delimited, nested, workbook
from pipelines.imports.source import Source
from pipelines.imports.survey import Survey
from pipelines.imports.typed import Loaded
from pipelines.plan import Json
from pipelines.run import Context


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """`survey` learns all a plan needs in one pass; `read(context, spec, payload)` yields a part's rows."""

    name: str
    title: str
    survey: Callable[[Context, Json, Source], Survey]
    read: Callable[[Context, Json, Json], Iterator[Loaded]]


FORMATS: dict[str, ImportFormat] = {
    "csv": ImportFormat("csv", "Comma-separated values", delimited.survey, delimited.read),
    "tsv": ImportFormat("tsv", "Tab-separated values", delimited.survey, delimited.read),
    "json": ImportFormat("json", "JSON array", nested.survey, nested.read),
    "jsonl": ImportFormat("jsonl", "JSON lines", nested.survey, nested.read),
    "xlsx": ImportFormat("xlsx", "Excel workbook", workbook.survey, workbook.read),
    "xls": ImportFormat("xls", "Excel 97 workbook", workbook.survey, workbook.read),
    "parquet": ImportFormat("parquet", "Apache Parquet", columnar.survey, columnar.read),
}
