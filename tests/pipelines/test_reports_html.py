"""The html of a report: one page that needs nothing else, its chart by the shape, everything escaped."""

from __future__ import annotations

import io
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import BadInput, InvalidRequest
from pipelines.reports import chart, html, render
from pipelines.reports.table import Chart, Shown
from pipelines.store import Sink
from tests.pipelines.importing import Workshop
from tests.pipelines.reporting import ask, request

EVIL = "<script>alert('x')</script>"


def page(shown: Shown) -> str:
    sink = io.BytesIO()
    html.write_page(shown, Sink(sink))
    return sink.getvalue().decode()


class _Reader(HTMLParser):
    """Which tags a page has, what they name, what stands in cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.within = False
        self.tags: set[str] = set()
        self.named: list[str] = []
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.named += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag == "td":
            self.within = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.within = self.within and tag != "td"

    def handle_data(self, data: str) -> None:
        if self.within:
            self.cells[-1] += data.strip()


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


SALES = "at,region,amount\n" + "".join(
    f"2023-{month:02}-05,{region},{month}.5\n" for month in range(1, 13) for region in ("north", EVIL)
)


def test_a_page_names_no_other_file_and_runs_nothing(shop: Workshop) -> None:
    shop.load("sales", SALES)
    by = ["region", {"time": "at", "grain": "month"}]
    measures = [{"op": "sum", "of": "amount", "as": "<b>revenue</b>"}]
    data, outcome = ask(shop, "aggregate", {"dataset": "sales", "by": by, "measures": measures}, "html")
    text = data.decode()
    read = _Reader(text)
    assert outcome["media_type"] == "text/html; charset=utf-8" and outcome["name"].endswith(".html")
    assert read.tags >= {"html", "h1", "figure", "svg", "table"} and not read.tags & {"script", "img", "link"}
    assert read.named == [] and "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text and "<b>" not in text
    assert EVIL not in text and read.cells[:3] == [EVIL, "2023-01", "1.5"]
    assert len([cell for cell in read.cells if cell == EVIL]) == 12
    assert text.count("<svg") == 2, "for a wide window and for a narrow one"
    assert "Read 24 rows." in text and '"grain": "month"' in text.replace("&quot;", '"')


def test_the_same_report_is_the_same_bytes(shop: Workshop) -> None:
    shop.load("sales", SALES)
    asked = {"dataset": "sales", "by": ["region"], "measures": [{"op": "count"}]}
    assert ask(shop, "aggregate", asked, "html")[0] == ask(shop, "aggregate", asked, "html")[0]


_MONTHS = pa.array([19358, 19389, 19417], pa.int32()).cast(pa.date32())


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (Shown(table(region=["a", "b"], n=[1, 2]), keys=["region"]), Chart("bars", ["region"], ["n"])),
        (Shown(table(id=[7, 9], n=[1, 2]), keys=["id"]), Chart("bars", ["id"], ["n"])),
        (
            Shown(table(m=_MONTHS, r=["a", "a", "b"], n=[1, 2, 3]), {"m": "month"}, ["m", "r"]),
            Chart("lines", ("m",), ["n"], ("r",)),
        ),
        (Shown(table(n=[1])), None),
        (Shown(table(region=["a"], n=[1]), keys=["region"]), None),
        (Shown(table(region=["a", "b"], word=["x", "y"]), keys=["region"]), None),
    ],
)
def test_the_shape_of_the_table_chooses_the_chart(shown: Shown, expected: Chart | None) -> None:
    assert chart.choose(shown) == expected
    assert ("<svg" in page(shown)) == (expected is not None)


@pytest.mark.parametrize(
    ("make", "marks"),
    [
        (lambda t: Shown(t, {"m": "month"}, ["m", "r"], Chart("heat", ["m"], ["n"], ["r"])), "mark-rect"),
        (lambda t: Shown(t, {"m": "month"}, ["m"], Chart("heat", ["m"], ["n", "k"])), "mark-rect"),
        (lambda t: Shown(t, {"m": "month"}, ["m"], Chart("lines", ["m"], ["n", "k"])), "mark-line"),
        (lambda t: Shown(t, {}, ["r"], Chart("bars", ["r"], ["n", "k"])), "mark-rect"),
        (lambda t: Shown(t, {}, [], Chart("steps", ["n", "k"], ["k"])), "mark-rect"),
    ],
)
def test_every_kind_of_chart_is_drawn(make: Callable[[pa.Table], Shown], marks: str) -> None:
    odd = pa.array([1.5, None, float("nan")])
    assert marks in page(make(table(m=_MONTHS, r=["a", "b\"'&<", "c"], n=[1, 2, -3], k=odd)))


def test_only_what_can_be_seen_is_drawn_and_the_rest_is_told() -> None:
    many = Shown(table(k=[f"k{n}" for n in range(5_000)], v=list(range(5_000))), keys=["k"])
    text = page(many)
    assert "Shown: the 20 largest of 5,000." in text
    assert f"The first {html.ROWS:,} of 5,000 rows; ask for csv or parquet" in text
    assert text.count("<tr>") == html.ROWS + 1
    wide = Shown(table(a=["x"] * 100, b=[str(n) for n in range(100)], v=[1] * 100), keys=["a", "b"])
    drawn = chart.draw(wide, Chart("heat", ["a"], ["v"], ["b"]), chart.WIDE)
    assert drawn is None, "a hundred columns are too many to be seen"


def test_cells_are_those_of_the_table_for_reading() -> None:
    shown = Shown(
        table(
            n=pa.array([1234567, None]),
            d=pa.array(["1234.50", None]).cast(pa.decimal128(10, 2)),
            f=[1 / 3, float("nan")],
            share=[0.125, None],
            word=["=1+1 & co", None],
        )
    )
    assert _Reader(page(shown)).cells[:10] == [
        *["1,234,567", "1,234.50", "0.333333", "12.5%", "=1+1 & co"],
        *["", "", "NaN", "", ""],
    ]


# --- what xlsx cannot hold


def test_more_rows_than_a_sheet_has_are_refused_at_once(shop: Workshop) -> None:
    shop.load("sales", SALES)
    asked = {"dataset": "sales", "by": ["at"], "measures": [{"op": "count"}], "limit": 2_000_000}
    with pytest.raises(InvalidRequest, match=r"/format: .* holds 1,048,575 rows.* take csv or parquet"):
        request(shop, "aggregate", asked, "xlsx")
    for form in ("csv", "parquet"):
        request(shop, "aggregate", asked, form)
    request(shop, "aggregate", {**asked, "limit": 1_048_575}, "xlsx")


def test_a_report_that_outgrows_a_sheet_ends_with_the_part_that_shows_it(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.load("sales", SALES)
    monkeypatch.setattr(render, "_SHEET_ROWS", 5)
    asked: dict[str, Any] = {"dataset": "sales", "by": ["at"], "measures": [{"op": "count"}]}
    with pytest.raises(BadInput, match=r"12 rows or more, .* ask for csv or parquet, or set a limit"):
        ask(shop, "aggregate", asked, "xlsx")
    assert ask(shop, "aggregate", {**asked, "limit": 5}, "xlsx")[1]["rows"] == 5
    assert ask(shop, "aggregate", asked, "csv")[1]["rows"] == 12
