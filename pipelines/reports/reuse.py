"""Reuse: what earlier reports found out about a stretch of a fragment, kept for later ones.

A fragment never changes, so what a question found in it stays true: after an append only new fragments are
read. What is kept belongs to the question's core: its keys, what its measures are finished from, and its
conditions, where the statistics of the stretch do not decide them. A stretch kept for other questions serves
where their keys are at least as fine and they know at least as much.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipelines import kept
from pipelines.plan import Json
from pipelines.reports import grains, kernel
from pipelines.reports.kernel import Partial
from pipelines.reports.program import Program, prepare
from pipelines.reports.question import Key, Measure, Question
from pipelines.reports.states import Count, Extreme, Sum
from pipelines.reports.vector import FLOAT, from_arrow, stored
from pipelines.store import Store

_VERSION = 1  # raise it when partials come to mean something else
_WORTH = 2.0  # what is kept took this many times longer to compute than to keep
_KNOWN = 100  # earlier questions looked at
_TRIED = 3  # of those that answer, beside the question itself
_FORM = 2  # raise it when questions or strategies are written otherwise: older ones are let be
_ABOUT = "question.json"
# a time at one of these grains tells the time at all those behind it
_TELLS = {
    None: ("hour", "day", "week", "month", "quarter", "year"),
    "hour": ("day", "week", "month", "quarter", "year"),
    "day": ("week", "month", "quarter", "year"),
    "month": ("quarter", "year"),
    "quarter": ("year",),
}


@dataclass(frozen=True, slots=True)
class Core:
    """What of a question matters to the partials of its parts. `digest` names where they are kept."""

    question: Question

    @classmethod
    def of(cls, question: Question, *, filtered: bool) -> Core:
        """The core; not `filtered` where all rows are known to satisfy the conditions."""
        program = prepare(question)
        where = question.where if filtered else ()
        measures = {(each.op, each.of) for each in question.measures if each.of is not None}
        touched = {
            *program.columns(),
            *(key.column for key in question.keys),
            *(each.column for each in where),
        }
        touched = set(program.reach(touched))
        return cls(
            Question(
                question.dataset,
                0,
                {name: question.kinds[name] for name in sorted(touched)},
                program.time,
                tuple(Key(key.column, key.grain, "") for key in question.keys),
                tuple(Measure(op, of, None, "") for op, of in sorted(measures)),
                where,
                bins={name: each for name, each in sorted(question.bins.items()) if name in touched},
                lookups={name: each for name, each in sorted(question.lookups.items()) if name in touched},
            )
        )

    @property
    def digest(self) -> str:
        text = json.dumps([_VERSION, self.question.to_json()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def keep(self) -> str:
        return f"reports/{self.question.dataset}/{self.digest}"


class Shelf:
    """Where a report finds what earlier ones kept, and keeps what it finds out. `spec` is from `plan`."""

    def __init__(self, store: Store, program: Program, spec: Json) -> None:
        self._store, self._program = store, program
        self._cores = {
            whole: [Core(Question.from_json(each)) for each in spec[whole]] for whole in ("whole", "filtered")
        }

    def find(self, run: Json) -> Partial | None:
        """What is kept of a stretch, made into the partial of this question."""
        for core in self._cores[_which(run)]:
            try:
                partial = kept.get(self._store, core.keep, _name(run))
            except LookupError:
                continue
            partial = derive(prepare(core.question), self._program, partial)
            return replace(partial, read=0, reused=int(pa.compute.sum(partial.groups["rows"]).as_py() or 0))
        return None

    def has(self, run: Json) -> bool:
        """Whether something is kept of a stretch; whether it is of use, only `find` knows."""
        return any(kept.has(self._store, core.keep, _name(run)) for core in self._cores[_which(run)])

    def keep(self, run: Json, partial: Partial, took: float) -> None:
        """Keep what was found in a stretch in so many seconds, if that is worth while."""
        core = self._cores[_which(run)][0]
        partial = derive(self._program, prepare(core.question), partial)
        kept.put(self._store, core.keep, _name(run), partial, took, _WORTH)


def plan(store: Store, question: Question) -> Json:
    """For stretches whose rows all count, and for others: the cores whose kept partials answer the question,
    its own first, then those of fewest keys."""
    found = {}
    for name, filtered in (("whole", False), ("filtered", True)):
        core = Core.of(question, filtered=filtered)
        others = [each for each in _known(store, question.dataset) if each != core and answers(each, core)]
        others.sort(key=lambda each: (len(each.question.keys), each.digest))
        found[name] = [each.question.to_json() for each in (core, *others[:_TRIED])]
    return found


def remembered(store: Store, question: Question) -> Json | None:
    """What `remember` was given for this question last."""
    found = _read(store, f"kept/{Core.of(question, filtered=True).keep}/{_ABOUT}")
    return None if found is None else found["strategy"]


def remember(store: Store, question: Question, strategy: Json) -> None:
    """Let later questions know what is kept of this one; where that fails they just do not."""
    for filtered in (False, True):
        core = Core.of(question, filtered=filtered)
        key = f"kept/{core.keep}/{_ABOUT}"
        about = {"form": _FORM, "question": core.question.to_json(), "strategy": strategy}
        try:
            if _read(store, key) != about:
                with store.put(key, sync=False) as sink:
                    sink.write(json.dumps(about).encode())
        except Exception as error:
            kept.log.warning("could not keep %s: %s", key, error)


def answers(source: Core, core: Core) -> bool:
    """Whether partials of one core can be made into those of another, to the last bit."""
    has, asks = source.question, core.question
    if has.where != asks.where or any(has.kinds.get(name) != kind for name, kind in asks.kinds.items()):
        return False
    if any(
        (has.bins.get(name), has.lookups.get(name)) != (asks.bins.get(name), asks.lookups.get(name))
        for name in asks.kinds
    ):
        return False
    known, wanted = prepare(has), prepare(asks)
    if not set(wanted.needed) <= set(known.needed) or not set(wanted.tallies) <= set(known.tallies):
        return False
    if has.keys == asks.keys:
        return True
    # rounding, and which of two equal times is first, depend on the order in which rows are put together
    exact = all(isinstance(each.state, Count | Sum | Extreme) for each in wanted.needed)
    floats = any(isinstance(each.state, Sum) and FLOAT in each.state.kinds for each in wanted.needed)
    return exact and not floats and all(_place(has, key) is not None for key in asks.keys)


def derive(source: Program, program: Program, partial: Partial) -> Partial:
    """The partial of a question from that of a finer one."""
    columns: dict[str, Any] = {}
    for index, key in enumerate(program.question.keys):
        place = _place(source.question, key)
        assert place is not None, "only asked of sources that answer"
        vector = from_arrow(partial.groups[f"k{place}"], source.key_kinds[place])
        if key.grain != source.question.keys[place].grain and key.grain is not None:
            vector = grains.floor(vector, key.grain)
        columns[f"k{index}"] = stored(vector)
    columns["rows"] = partial.groups["rows"]
    for index, needed in enumerate(program.needed):
        at = source.needed.index(needed)
        for place in range(len(needed.state.kinds)):
            columns[f"s{index}_{place}"] = partial.groups[f"s{at}_{place}"]
    tallies = tuple(partial.tallies[source.tallies.index(each)] for each in program.tallies)
    made = Partial(pa.table(columns), tallies)
    same = [(key.column, key.grain) for key in source.question.keys] == [
        (key.column, key.grain) for key in program.question.keys
    ]
    return made if same else kernel.regroup(program, [made])


def _which(run: Json) -> str:
    return "whole" if run["whole"] else "filtered"


def _name(run: Json) -> str:
    """A stretch of a fragment, by the fragment's name, which is never used again."""
    stem = run["path"].rsplit("/", 1)[-1].removesuffix(".parquet")
    groups = run["row_groups"]
    return f"{stem}-{groups[0]}-{groups[-1]}-{len(groups)}"


def _known(store: Store, dataset: str) -> Iterator[Core]:
    """The cores that something may be kept for."""
    for digest in store.children(f"kept/reports/{dataset}")[-_KNOWN:]:
        about = _read(store, f"kept/reports/{dataset}/{digest}/{_ABOUT}")
        if about is not None and (core := Core(Question.from_json(about["question"]))).digest == digest:
            yield core


def _read(store: Store, key: str) -> Json | None:
    try:
        with store.open(key) as file:
            found: Json = json.load(file)
            return found if found.get("form") == _FORM else None
    except (OSError, ValueError):
        return None


def _place(question: Question, key: Key) -> int | None:
    """Which key of a question tells a key of another."""
    for place, each in enumerate(question.keys):
        if each.column == key.column and (each.grain == key.grain or key.grain in _TELLS.get(each.grain, ())):
            return place
    return None
