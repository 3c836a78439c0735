"""`distribution`: how a number is spread: a histogram, quantiles, and what it is on the whole.

Bins have given edges, a given width, or a round one (1, 2 or 5 times a power of ten) of which as many as are
asked for hold all values. A bin has its lower end; the last of given edges has both. Counts are exact.
Quantiles are exact while values are few, see `tallies`; the notes say where they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, FiniteFloat, model_validator

from pipelines.datasets import Dataset
from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.reports import bins as binning
from pipelines.reports.bins import FINEST
from pipelines.reports.draft import Draft
from pipelines.reports.entries import Asking, add_conditions
from pipelines.reports.question import Bins, Question
from pipelines.reports.shape import AT
from pipelines.reports.table import Chart, Reply, Shown
from pipelines.reports.vector import Array

NAME = "distribution"
TITLE = "Distribution"
DESCRIPTION = "How a number is spread: histogram, quantiles, smallest, largest, mean and deviation."
EXAMPLE: Json = {"dataset": "sales", "of": "quantity * unit_price", "bins": 20, "quantiles": [0.5, 0.95]}
_WHOLE = ("min", "max", "mean", "stddev")


class DistributionParameters(Asking):
    """Parameters of `distribution`. `bins` is how many there may be at most, without `width` and `edges`."""

    STAND_INS: ClassVar[Json] = {"of": "1"}

    of: str = Field(description="a column or an expression")
    bins: int = Field(20, ge=1, le=1_000)
    width: FiniteFloat | None = Field(None, gt=0)
    edges: list[FiniteFloat] | None = Field(None, min_length=2, max_length=1_000)
    quantiles: list[float] = Field(default_factory=lambda: [0.05, 0.25, 0.5, 0.75, 0.95], max_length=50)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.edges is not None and self.width is not None:
            raise ValueError("'edges' and 'width' exclude each other; leave one of them out.")
        if self.edges is not None and any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("'edges' do not grow; give each of them once, the smallest first.")
        if any(not 0 <= q <= 1 for q in self.quantiles) or len(set(self.quantiles)) < len(self.quantiles):
            raise ValueError("'quantiles' are numbers from 0 to 1, each once, such as 0.95.")
        return self


def question(parameters: DistributionParameters, dataset: Dataset) -> Sequence[Question]:
    """The rows of each bin, and the numbers of the whole; or InvalidRequest."""
    spread, whole = Draft(dataset), Draft(dataset)
    edges = tuple(_decimal(edge) for edge in parameters.edges or ())
    width = None if parameters.width is None else _decimal(parameters.width)
    whole.measure("count", None, None, "rows", AT)
    if whole.number(parameters.of, f"{AT}/of"):
        if not edges and width is None and not binning.bounded(parameters.of):
            said = "can be of any size, for it divides by a column; give 'width' or 'edges' of the bins."
            whole.fault(f"{AT}/of", f"{parameters.of!r} {said}")
        for op in ("count", *_WHOLE):
            whole.measure(op, parameters.of, None, op, AT)
        for q in parameters.quantiles:
            whole.measure("quantile", parameters.of, q, f"p{q * 100:g}", AT)
    add_conditions(whole, parameters.where)
    found = whole.question()
    spread.binned(Bins(parameters.of, edges, width), "bin")
    spread.measure("count", None, None, "rows", AT)
    add_conditions(spread, parameters.where)
    return [spread.question(), found]


def _decimal(number: float) -> str:
    """The decimal a person wrote: the shortest that is this float."""
    return repr(number)


def file_name(parameters: DistributionParameters) -> str:
    return f"distribution-{parameters.dataset}"


@dataclass(frozen=True, slots=True)
class _Row:
    part: str
    start: float | None = None
    end: float | None = None
    value: float | None = None
    rows: int | None = None


def finish(parameters: DistributionParameters, replies: Sequence[Reply]) -> Shown:
    """A row for each bin, then for each number of the whole, then what is in no bin."""
    spread, whole = replies[0], replies[1].table.to_pylist()[0]
    (bins,) = spread.question.bins.values()
    in_bins = spread.table.filter(spread.table["bin"].is_valid())
    numbers, rows = (in_bins[name].to_numpy() for name in ("bin", "rows"))
    values = int(whole["count"])
    histogram = _edged(bins, numbers, rows) if bins.edges else _wide(parameters, bins, numbers, rows)
    names = ["min", *(name for name in whole if name.startswith("p")), "max", "mean", "stddev"]
    summary = [_Row(name, value=None if whole[name] is None else float(whole[name])) for name in names]
    odd = [("null", whole["rows"] - values), ("NaN or infinite", values - int(rows.sum()))]
    rest = [*summary, *(_Row(part, rows=count) for part, count in odd if count)]
    counts = np.array([row.rows for row in histogram], np.int64)
    shares = [float(each) for some in (counts, np.cumsum(counts)) for each in some / max(values, 1)]
    table, nothing = [*histogram, *rest], [None] * len(rest)
    real = pa.float64()
    columns = {
        "part": pa.array([row.part for row in table], pa.string()),
        "from": pa.array([row.start for row in table], real),
        "to": pa.array([row.end for row in table], real),
        "value": pa.array([row.value for row in table], real),
        "rows": pa.array([row.rows for row in table], pa.int64()),
        "share": pa.array([*shares[: len(counts)], *nothing], real),
        "cumulative_share": pa.array([*shares[len(counts) :], *nothing], real),
    }
    return Shown(pa.table(columns), keys=["part"], chart=Chart("steps", ["from", "to"], ["rows"]))


def _edged(bins: Bins, numbers: Array, rows: Array) -> list[_Row]:
    """Every bin between two edges, and what is below the first or above the last, if there is any."""
    counts = dict(zip(numbers.tolist(), rows.tolist(), strict=True))
    edges = [float(edge) for edge in bins.edges]
    found = [
        _Row("bin", *pair, rows=counts.get(number + 1, 0)) for number, pair in enumerate(pairwise(edges))
    ]
    below = [_Row("below", None, edges[0], rows=counts[0])] if 0 in counts else []
    above = [_Row("above", edges[-1], None, rows=counts[len(edges)])] if len(edges) in counts else []
    return [*below, *found, *above]


def _wide(parameters: DistributionParameters, bins: Bins, numbers: Array, rows: Array) -> list[_Row]:
    """Every bin of one width from the smallest value to the largest, empty ones too."""
    if not len(numbers):
        return []
    low, high = int(numbers.min()), int(numbers.max())
    step = 1 if parameters.width is not None else binning.coarser(low, high, parameters.bins)
    first, last = low // step, high // step
    if last - first >= FINEST:
        raise BadInput(
            f"{parameters.of!r} would have {last - first + 1:,} bins of width {bins.width}, and {FINEST:,} "
            "are the most there may be; make 'width' larger."
        )
    counts = np.zeros(last - first + 1, np.int64)
    np.add.at(counts, numbers // step - first, rows)
    edges = binning.ends(np.arange(first, last + 2) * step, Fraction(bins.width or "1")).tolist()
    return [_Row("bin", *pair, rows=int(count)) for pair, count in zip(pairwise(edges), counts, strict=True)]
