"""A report as one page: a chart, the table below, what to know of it. It names no other file or host.

Readable without a network and without scripts, on light and dark, on a telephone. A page is for reading:
floats are rounded and the table ends after a few thousand rows, and the page says so; the other formats have
everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reports import chart as charts
from pipelines.reports.cells import labels
from pipelines.reports.table import Shown
from pipelines.store import Sink

ROWS = 2_000  # of the table
_AT_ONCE = 200
_LONG = 40  # characters of a text that may take several lines
_CSP = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: color-mix(in srgb, currentColor 65%, transparent) }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem }
h1 { font-size: 1.4rem; line-height: 1.2; margin: 0 0 .25rem }
p, figcaption { color: var(--quiet); margin: .25rem 0 }
figure { margin: 1.25rem 0 }
figure svg { display: block; height: auto; max-width: 100%; overflow: visible }
.narrow { display: none }
@media (max-width: 46rem) { .wide { display: none } .narrow { display: block } }
.table { border: 1px solid var(--line); max-height: 80vh; overflow: auto }
table { border-collapse: collapse; font-size: .875rem; min-width: 100% }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; white-space: nowrap }
td { border-top: 1px solid var(--line) }
.t { min-width: 16rem; overflow-wrap: anywhere; white-space: normal }
th { background: Canvas; position: sticky; top: 0 }
pre { overflow-x: auto }
.n { font-variant-numeric: tabular-nums; text-align: right }
@media print { .table { max-height: none; overflow: visible } }
"""


def write_page(shown: Shown, sink: Sink) -> None:
    """The whole page, piece by piece."""
    for piece in _page(shown):
        sink.write(piece.encode())


def _page(shown: Shown) -> Iterator[str]:
    title, table = escape(shown.title), shown.table
    yield (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_CSP}">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<h1>{title}</h1>\n<p>{escape(shown.about)}</p>\n"
    )
    yield from _figure(shown)
    rows = f"{table.num_rows:,} row{'' if table.num_rows == 1 else 's'}"
    if table.num_rows > ROWS:
        rows = f"The first {ROWS:,} of {rows}; ask for csv or parquet to have all of them"
    yield f'<p>{rows}.</p>\n<div class="table" tabindex="0">\n<table>\n<thead><tr>'
    kinds = [_kind(table[name].slice(0, ROWS)) for name in table.column_names]
    for name, kind in zip(table.column_names, kinds, strict=True):
        yield f"<th{_class(kind)} scope=col>{escape(name)}</th>"
    yield "</tr></thead>\n<tbody>\n"
    for start in range(0, min(table.num_rows, ROWS), _AT_ONCE):
        part = table.slice(start, min(_AT_ONCE, ROWS - start))
        columns = [_texts(part[name], shown.grains.get(name), name) for name in part.column_names]
        for cells in zip(*columns, strict=True):
            marked = (f"<td{_class(kind)}>{cell}</td>" for cell, kind in zip(cells, kinds, strict=True))
            yield f"<tr>{''.join(marked)}</tr>\n"
    yield "</tbody>\n</table>\n</div>\n"
    if any(pa.types.is_floating(field.type) for field in table.schema):
        yield "<p>Floats are rounded to six digits here; csv, json and parquet have all of them.</p>\n"
    for note in shown.notes:
        yield f"<p>{escape(note)}</p>\n"
    if shown.asked:
        yield f"<details><summary>What was asked</summary><pre>{escape(shown.asked)}</pre></details>\n"
    yield "</body>\n</html>\n"


def _figure(shown: Shown) -> Iterator[str]:
    chosen = charts.choose(shown)
    drawn = chosen and charts.draw(shown, chosen, charts.WIDE)
    small = drawn and chosen and charts.draw(shown, chosen, charts.NARROW)
    if not drawn or not small:
        return
    said = f"<figcaption>Shown: {escape(drawn[1])}.</figcaption>" if drawn[1] else ""
    yield (
        f'<figure aria-label="A chart of the table below">\n<div class="wide">{drawn[0]}</div>\n'
        f'<div class="narrow">{small[0]}</div>\n{said}</figure>\n'
    )


def _texts(column: pa.ChunkedArray, grain: str | None, name: str) -> list[str]:
    """The cells of a column, safe in a page; null is empty."""
    kind = column.type
    if pa.types.is_floating(kind):
        return ["" if each is None else _rounded(each, name) for each in column.to_pylist()]
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return ["" if each is None else f"{each:,}" for each in column.to_pylist()]
    texts = zip(labels(column, grain), column.is_valid().to_pylist(), strict=True)
    return [escape(text) if valid else "" for text, valid in texts]


def _rounded(value: float, name: str) -> str:
    if value != value or abs(value) == float("inf"):
        return str(value).replace("nan", "NaN")
    if name.endswith("share"):
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:,.6g}"


def _kind(column: pa.ChunkedArray) -> str:
    """The class of a column: n for numbers, t for long texts."""
    type_ = column.type
    if pa.types.is_integer(type_) or pa.types.is_decimal(type_) or pa.types.is_floating(type_):
        return "n"
    return "t" if pa.types.is_string(type_) and (pc.max(pc.utf8_length(column)).as_py() or 0) > _LONG else ""


def _class(kind: str) -> str:
    return f" class={kind}" if kind else ""
