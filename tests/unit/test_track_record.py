"""How right estimates were is measured as it is said to be."""

from __future__ import annotations

import pytest

from service.eta import Guess, Run
from service.track_record import Record, at_fifth, at_start, record


def test_the_record_is_the_middle_error_and_how_often_p90_held() -> None:
    guesses = [Guess(10, 15, 10), Guess(8, 9, 10), Guess(15, 20, 10)]
    assert record(guesses) == Record(3, 0.2, pytest.approx(0.667))
    assert record([]) is None


def test_half_a_second_in_a_quick_job_is_no_error_of_a_hundred_percent() -> None:
    found = record([Guess(0.6, 0.8, 0.1)])
    assert found is not None
    assert found.error == 0.5


def test_each_run_is_guessed_from_those_before_it() -> None:
    runs = [Run(100, 30), Run(100, 20), Run(100, 10)]  # the newest first
    assert [(guess.seconds, guess.truth) for guess in at_start(runs)] == [(15, 30), (10, 20)]


def test_what_was_foreseen_at_a_fifth_counts_where_there_is_something() -> None:
    told = Guess(5, 6, 5.5)
    assert at_fifth([Run(100, 30, guess=told), Run(100, 20)]) == [told]
