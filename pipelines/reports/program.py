"""Program: a question made ready to compute: parsed expressions, kinds, the states its measures need.

Measures that need the same (`sum` and `mean` of one column) share it. No data here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipelines.reports import arithmetic, grains
from pipelines.reports.expression import Node, columns, parse
from pipelines.reports.lookup import Dimension
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
    """`needed` are the states to keep, `tallies` what must be known of the values themselves.

    `tables` holds what the question looks up; it is there while rows are read, see `scan`.
    """

    question: Question
    kinds: dict[str, Kind]
    key_kinds: tuple[Kind, ...]
    needed: tuple[Needed, ...]
    tallies: tuple[Tallied, ...]
    nodes: dict[str, Node] = field(repr=False)
    tables: Mapping[str, Dimension] = field(default_factory=dict, repr=False)

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

    def reach(self, names: Iterable[str]) -> Iterator[str]:
        """Some columns and all that they are made of."""
        for name in names:
            yield name
            if name in self.question.bins:
                yield from self.reach(columns(self.nodes[self.question.bins[name].of]))
            elif name in self.question.lookups:
                yield from self.reach([self.question.lookups[name].on])

    def columns(self) -> Iterator[str]:
        """Columns the measures read."""
        for measure in self.question.measures:
            if measure.of is not None:
                yield from columns(self.nodes[measure.of])
        if self.time is not None:
            yield self.time


def prepare(question: Question) -> Program:
    """The program of a question that `draft` has checked."""
    kinds = {name: Kind.parse(text) for name, text in question.kinds.items()}
    key_kinds = tuple(
        grains.kind_of(key.grain, kinds[key.column]) if key.grain else kinds[key.column]
        for key in question.keys
    )
    measured = [measure.of for measure in question.measures if measure.of is not None]
    nodes = {of: parse(of) for of in (*measured, *(each.of for each in question.bins.values()))}
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
