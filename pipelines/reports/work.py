"""Work: one question of a report on its way over the workers, from its parts to its answer.

Where the strategy has buckets, partials are put aside in pieces and each bucket is combined on its own;
`pipeline` calls all this for every question of a report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.datasets import Catalog
from pipelines.plan import Json, Part
from pipelines.reports import bins, kernel, lookup, planning, reuse, spill, split, strategy
from pipelines.reports.answer import Answer, answer, join
from pipelines.reports.kernel import Partial
from pipelines.reports.program import Program, prepare
from pipelines.reports.question import Question
from pipelines.reports.reuse import Shelf
from pipelines.reports.scan import scan, stretches
from pipelines.reports.strategy import Strategy
from pipelines.store import Store


@dataclass(frozen=True, slots=True)
class Work:
    """A question, how it is computed, and where what earlier reports found out of it is kept."""

    program: Program
    strategy: Strategy
    shelf: Json | None

    def part(self, store: Store, payload: Json, progress: Callable[[int], None], key: str) -> Partial | Json:
        """The partial of some row groups; where there are buckets, what finds its pieces, put at `key`."""
        program, chosen = self.program, self.strategy
        shelf = Shelf(store, program, self.shelf) if self.shelf else None
        if chosen.by == "keys" and not program.tallies:
            # many groups hardly become fewer by merging them twice: that is left to their bucket
            found = stretches(program, store, payload, progress, chosen.batch, shelf)
            split_up = [split.by_keys(program, partial, chosen.cuts) for partial in found]
            return spill.put(store, key, list(zip(*split_up, strict=True)))
        partial = scan(program, store, payload, progress, chosen.batch, shelf)
        if not chosen.buckets:
            return partial
        pieces = (
            split.by_keys(program, partial, chosen.cuts)
            if chosen.by == "keys"
            else split.by_values(program, partial, chosen.buckets)
        )
        return spill.put(store, key, [(piece,) for piece in pieces])

    def takes(self, bucket: int | None) -> bool:
        """Whether there is something to combine in a bucket; what has no buckets is combined in the first."""
        return bucket is None or bucket < max(self.strategy.buckets, 1)

    def combined(self, store: Store, partials: Sequence[Any], bucket: int | None) -> Partial | Answer:
        """One partial of several, in part order; of a bucket by key already the answer."""
        if bucket is None or not self.strategy.buckets:
            return kernel.merge(self.program, partials)
        pieces = [piece for token in partials for piece in spill.get(store, token, bucket)]
        whole = kernel.merge(self.program, pieces)
        return (
            answer(self.program, whole) if self.strategy.by == "keys" else split.settle(self.program, whole)
        )

    def answer(self, combined: Sequence[Any]) -> Answer:
        """The answer, from what was combined last."""
        if self.strategy.by == "keys":
            return join(self.program, combined)
        return answer(self.program, kernel.merge(self.program, combined or [kernel.empty(self.program)]))

    def to_json(self) -> Json:
        question = self.program.question.to_json()
        return {"question": question, "strategy": self.strategy.to_json(), "shelf": self.shelf}

    @classmethod
    def from_json(cls, value: Json) -> Work:
        program = prepare(Question.from_json(value["question"]))
        return cls(program, Strategy.from_json(value["strategy"]), value["shelf"])


def work_of(store: Store, question: Question, shelved: int) -> tuple[Work, tuple[Part, ...]]:
    """How a question is computed, and its parts. What is found out is kept from `shelved` rows on."""
    fragments = Catalog(store).fragments(question.dataset, question.version)
    if question.bins:
        question = bins.settled(question, planning.wanted(question, fragments))
    lookup.load(store, question.lookups)  # so that a key that is there twice is told before the work
    found = planning.pieces(store, question, fragments)
    rows = sum(piece.rows for piece in found)
    shelf, before = (
        (None, None) if rows < shelved else (reuse.plan(store, question), reuse.remembered(store, question))
    )
    program = prepare(question)
    chosen = None if before is None else Strategy.from_json(before)
    if chosen is None or not chosen.fits(rows):
        chosen = strategy.choose(program, store, found)
        if shelf:
            reuse.remember(store, question, chosen.to_json())
    return Work(program, chosen, shelf), planning.cut(found, chosen.seconds_a_row)
