"""Program: a question made ready to compute: parsed expressions, kinds, the states its measures need.

Measures that need the same (`sum` and `mean` of one column) share it. No data here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipelines.reports import arithmetic, grains
from pipelines.reports.expression import Node, columns, parse
from pipelines.reports.question import Measure, Question
from pipelines.reports.states import Count, Edge, Extreme, Moments, State, Sum
from pipelines.reports.tallies import Distinct, Quantile, Tallying
from pipelines.reports.vector import Kind

TALLYINGS: dict[str, Tallying] = {"distinct": Distinct(), "quantile": Quantile()}


@dataclass(frozen=True, slots=True)
class Needed:
    """A state of one of the program's expressions."""

    node: Node
    state: State


@dataclass(frozen=True, slots=True)
class Tallied:
    """A tally of one of the program's expressions."""

    node: Node
    tallying: Tallying


@dataclass(frozen=True)
class Program:
    """`needed` are the states to keep, `tallies` what must be known of the values themselves."""

    question: Question
    kinds: dict[str, Kind]
    key_kinds: tuple[Kind, ...]
    needed: tuple[Needed, ...]
    tallies: tuple[Tallied, ...]
    nodes: dict[str, Node] = field(repr=False)

    def kind(self, node: Node) -> Kind:
        """What an expression gives."""
        return arithmetic.kind_of(node, self.kinds)

    def state(self, node: Node, state: State) -> int:
        """Where a state is kept."""
        return self.needed.index(Needed(node, state))

    def tally(self, measure: Measure) -> int:
        """Which tally a measure is finished from."""
        return self.tallies.index(Tallied(self.nodes[measure.of or ""], TALLYINGS[measure.op]))

    @property
    def time(self) -> str | None:
        """The column that says what is first; None where nothing asks or the dataset has none."""
        return self.question.time if any(isinstance(each.state, Edge) for each in self.needed) else None

    def columns(self) -> Iterator[str]:
        """Columns the measures read."""
        for node in self.nodes.values():
            yield from columns(node)
        if self.time is not None:
            yield self.time


def prepare(question: Question) -> Program:
    """The program of a question that `draft` has checked."""
    kinds = {name: Kind.parse(text) for name, text in question.kinds.items()}
    key_kinds = tuple(
        grains.kind_of(key.grain, kinds[key.column]) if key.grain else kinds[key.column]
        for key in question.keys
    )
    nodes = {measure.of: parse(measure.of) for measure in question.measures if measure.of is not None}
    needed: dict[Needed, None] = {}
    tallies: dict[Tallied, None] = {}
    for measure in question.measures:
        if measure.of is None:
            continue
        node = nodes[measure.of]
        if measure.op in TALLYINGS:
            tallies[Tallied(node, TALLYINGS[measure.op])] = None
        for state in states_of(measure, arithmetic.kind_of(node, kinds)):
            needed[Needed(node, state)] = None
    return Program(question, kinds, key_kinds, tuple(needed), tuple(tallies), nodes)


def states_of(measure: Measure, kind: Kind) -> tuple[State, ...]:
    """The states a measure is finished from, in the order `answer` takes them."""
    match measure.op:
        case "count":
            return (Count(),)
        case "sum" | "mean":
            return (Count(), Sum(kind))
        case "stddev":
            return (Moments(),)
        case "min" | "max":
            return (Extreme(kind, measure.op == "max"),)
        case "first" | "last":
            return (Edge(kind, measure.op == "last"),)
    return ()
