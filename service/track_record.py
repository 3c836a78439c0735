"""How right our estimates were: each finished job is compared with what was guessed of it. Pure.

Before work began: each run is guessed from the runs before it, as it was when it waited. Later: what was
guessed at a fifth of its units was written down then, and is compared with what came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from service.eta import Guess, Run, whole

_SHORTEST = 1.0  # seconds: whoever errs by half a second on a job of less is not wrong by 100 %


@dataclass(frozen=True, slots=True)
class Record:
    """Of so many jobs: the middle of the errors, as a share of the truth, and how often p90 held."""

    jobs: int
    error: float
    under_p90: float


def record(guesses: Iterable[Guess]) -> Record | None:
    """None without any."""
    given = list(guesses)
    if not given:
        return None
    errors = [abs(guess.seconds - guess.truth) / max(guess.truth, _SHORTEST) for guess in given]
    held = sum(guess.truth <= guess.p90 for guess in given)
    return Record(len(given), round(median(errors), 3), round(held / len(given), 3))


def at_start(runs: Sequence[Run]) -> list[Guess]:
    """Each run, the newest first, guessed from those before it."""
    found = []
    for number, run in enumerate(runs):
        known = whole(run.size, runs[number + 1 :], run.traits)
        if known is not None:
            found.append(Guess(known.middle, known.high, run.seconds))
    return found


def at_fifth(runs: Sequence[Run]) -> list[Guess]:
    """What was guessed of each run once a fifth of its units were done."""
    return [run.guess for run in runs if run.guess is not None]
