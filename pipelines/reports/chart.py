"""The one chart of a report: which fits the shape of its table, and its drawing.

    lines  along time, one for each of a few values of another key
    bars   of the largest values, one for each group
    heat   two keys across, or the columns of a pivot
    steps  a histogram: from, to, how many

A type may say which it means (`table.Chart`); else keys and measures tell. Drawn by Vega-Lite to SVG, twice:
for a wide window and for a telephone. Colours are readable on light and dark; text takes the colour of the
page. Altair and vl-convert are imported when a chart is drawn and not before: they are large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reports.cells import labels
from pipelines.reports.table import Chart, Shown

WIDE, NARROW = 900, 330  # pixels
_BARS, _SERIES, _POINTS = 20, 6, 2_000
_HEAT = (60, 80)  # columns, rows
_COLORS = ["#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#64748b"]
_TEXT = 26  # characters of a label
Points = list[dict[str, Any]]


def choose(shown: Shown) -> Chart | None:
    """The chart that fits the table, None where none does."""
    if shown.chart is not None:
        return shown.chart if shown.table.num_rows else None
    numbers = [name for name in shown.table.column_names if name not in shown.keys and _numeric(shown, name)]
    if not shown.keys or not numbers or shown.table.num_rows < 2:
        return None
    time = next((name for name in shown.keys if name in shown.grains), None)
    if time is None:
        return Chart("bars", shown.keys, numbers[:1])
    others = tuple(name for name in shown.keys if name != time)
    return Chart("lines", (time,), numbers[:1], others)


def draw(shown: Shown, chart: Chart, width: int) -> tuple[str, str] | None:
    """The chart as SVG and what it leaves out; None where there is nothing to see or far too much."""
    make = {"lines": _lines, "bars": _bars, "heat": _heat, "steps": _steps}[chart.kind]
    made = make(shown, chart)
    if made is None:
        return None
    spec, said = made
    return _svg(spec, width), said


def _svg(spec: Any, width: int) -> str:
    import vl_convert

    quiet = {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 11}
    lines = {"domainColor": "#8888", "gridColor": "#8883", "tickColor": "#8888", "labelLimit": 170}
    made = spec.properties(width=width, background="transparent", autosize={"type": "fit-x"}, padding=8)
    made = made.configure_axis(**quiet, **lines, titleFontWeight="normal")
    made = made.configure_legend(**quiet, orient="top", title=None, columns=2 if width < WIDE else 6)
    svg: str = vl_convert.vegalite_to_svg(made.configure_view(stroke=None).to_dict())
    return svg


def _lines(shown: Shown, chart: Chart) -> tuple[Any, str] | None:
    import altair as alt

    (time,) = chart.along
    column = shown.table[time].cast(pa.timestamp("ms"))
    if pc.count_distinct(column).as_py() > _POINTS:
        return None
    names, said = _series(shown, chart)
    whens = [None if each is None else f"{each.isoformat()}Z" for each in column.to_pylist()]
    points: Points = []
    for value in chart.values:
        numbers = _floats(shown.table[value])
        points += [
            {"x": when, "y": number, "s": name if len(chart.values) == 1 else value}
            for when, number, name in zip(whens, numbers, names, strict=True)
            if when is not None and name is not None
        ]
    made = alt.Chart(alt.Data(values=points)).mark_line(point=len(points) <= 60, strokeWidth=2)
    several = len({point["s"] for point in points}) > 1
    return made.encode(
        x=alt.X("x:T", title=time, scale=alt.Scale(type="utc")),
        y=alt.Y("y:Q", title=chart.values[0], axis=_axis(alt, chart.values[0])),
        color=alt.Color("s:N", scale=alt.Scale(range=_COLORS), legend=alt.Legend() if several else None),
    ).properties(height=280), said


def _series(shown: Shown, chart: Chart) -> tuple[list[str | None], str]:
    """The line each row belongs to; None for lines that are left out, which are those of least sum."""
    if not chart.split:
        return [""] * shown.table.num_rows, ""
    names = _joined(shown, chart.split)
    sums: dict[str, float] = {}
    for name, number in zip(names, _floats(shown.table[chart.values[0]]), strict=True):
        sums[name] = sums.get(name, 0.0) + abs(number or 0.0)
    kept = sorted(sums, key=lambda name: -sums[name])[:_SERIES]
    said = f"the {_SERIES} largest of {len(sums):,} {', '.join(chart.split)}" if len(sums) > _SERIES else ""
    return [name if name in kept else None for name in names], said


def _bars(shown: Shown, chart: Chart) -> tuple[Any, str] | None:
    import altair as alt

    names = _joined(shown, chart.along)
    numbers = [_floats(shown.table[value]) for value in chart.values]
    order = sorted(range(len(names)), key=lambda row: -abs(numbers[0][row] or 0.0))[:_BARS]
    shown_rows = sorted(order)
    points = [
        {"x": f"{place:03} {_short(names[row])}", "y": each[row], "s": value}
        for place, row in enumerate(shown_rows)
        for value, each in zip(chart.values, numbers, strict=True)
    ]
    said = f"the {_BARS} largest of {len(names):,}" if len(names) > _BARS else ""
    several = len(chart.values) > 1
    encoded: dict[str, Any] = {
        "y": alt.Y("x:N", title=None, sort=None, axis=alt.Axis(labelExpr="slice(datum.label, 4)")),
        "x": alt.X("y:Q", title=chart.values[0], axis=_axis(alt, chart.values[0])),
        "color": alt.Color(
            "s:N", sort=None, scale=alt.Scale(range=_COLORS), legend=alt.Legend() if several else None
        ),
    }
    if several:
        encoded["yOffset"] = alt.YOffset("s:N", sort=None)
    made = alt.Chart(alt.Data(values=points)).mark_bar().encode(**encoded)
    return made.properties(height=alt.Step(12 if several else 22)), said


def _heat(shown: Shown, chart: Chart) -> tuple[Any, str] | None:
    import altair as alt

    if len(chart.values) > 1:  # the columns of a pivot
        rows = _joined(shown, chart.along) or [""] * shown.table.num_rows
        columns = [_floats(shown.table[value]) for value in chart.values]
        cells = [
            (name, value, number)
            for value, each in zip(chart.values, columns, strict=True)
            for name, number in zip(rows, each, strict=True)
        ]
    else:
        down, across = _joined(shown, chart.along), _joined(shown, chart.split)
        cells = list(zip(down, across, _floats(shown.table[chart.values[0]]), strict=True))
    tall, broad = (list(dict.fromkeys(cell[side] for cell in cells)) for side in (0, 1))
    if len(tall) > _HEAT[1] or len(broad) > _HEAT[0]:
        return None
    points = [
        {"y": f"{tall.index(y):03} {_short(y)}", "x": f"{broad.index(x):03} {_short(x)}", "v": number}
        for y, x, number in cells
    ]
    plain = "slice(datum.label, 4)"
    title = chart.values[0] if len(chart.values) == 1 else ""
    made = alt.Chart(alt.Data(values=points)).mark_rect(color=_COLORS[0])
    return made.encode(
        x=alt.X("x:N", title=None, axis=alt.Axis(labelExpr=plain, labelAngle=-45)),
        y=alt.Y("y:N", title=None, axis=alt.Axis(labelExpr=plain)),
        fillOpacity=alt.FillOpacity("v:Q", scale=alt.Scale(type="sqrt", range=[0.06, 1]), legend=None),
    ).properties(height=alt.Step(20)), title


def _steps(shown: Shown, chart: Chart) -> tuple[Any, str] | None:
    import altair as alt

    low, high = (_floats(shown.table[name]) for name in chart.along)
    number = _floats(shown.table[chart.values[0]])
    points = [
        {"a": a, "b": b, "y": y} for a, b, y in zip(low, high, number, strict=True) if None not in (a, b, y)
    ]
    if not points:
        return None
    made = alt.Chart(alt.Data(values=points)).mark_bar(color=_COLORS[0], stroke="#8888", strokeWidth=0.5)
    return made.encode(
        x=alt.X("a:Q", title=None, bin="binned", axis=alt.Axis(tickCount=10)),
        x2="b:Q",
        y=alt.Y("y:Q", title=chart.values[0], axis=_axis(alt, chart.values[0])),
    ).properties(height=260), ""


def _axis(alt: Any, name: str) -> Any:
    return alt.Axis(format="%" if name.endswith("share") else "~s", tickCount=6)


def _numeric(shown: Shown, name: str) -> bool:
    type_ = shown.table.schema.field(name).type
    return bool(pa.types.is_integer(type_) or pa.types.is_decimal(type_) or pa.types.is_floating(type_))


def _floats(column: pa.ChunkedArray) -> list[float | None]:
    """Numbers for a picture; what has no place in one is left out."""
    found = column.cast(pa.float64()).to_pylist()
    return [each if each is not None and abs(each) < float("inf") else None for each in found]


def _joined(shown: Shown, names: Sequence[str]) -> list[str]:
    parts = [labels(shown.table[name], shown.grains.get(name)) for name in names]
    return [" · ".join(each) for each in zip(*parts, strict=True)]


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
