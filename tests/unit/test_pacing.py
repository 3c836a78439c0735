"""What clients are asked to wait, and who is refused for not waiting."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from service.model import retry_after
from service.pacing import Pacing, pause


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(eta=st.floats(0, 1e6), chance=st.floats(0, 1))
def test_a_pause_is_the_contracts_or_up_to_15_percent_less(eta: float, chance: float) -> None:
    whole = retry_after(eta)
    assert max(1, math.ceil(0.85 * whole)) <= pause(eta, chance) <= whole
    assert pause(eta, 0) == whole


def test_the_pauses_of_many_clients_differ() -> None:
    assert len({pause(90) for _ in range(200)}) > 3
    assert pause(None) == 1


@given(st.integers(1, 30), st.integers(1, 500))
def test_who_polls_twice_as_fast_as_told_is_never_refused(told: int, polls: int) -> None:
    clock = Clock()
    pacing = Pacing(crowd=1, clock=clock)
    for _ in range(polls):
        assert pacing.too_fast("c", "j") is None
        pacing.told("c", "j", told)
        clock.now += told / 2 + 1e-6
    assert pacing.refused == 0


def test_who_polls_without_a_pause_is_refused_at_last() -> None:
    clock = Clock()
    pacing = Pacing(crowd=10, clock=clock)
    pacing.told("c", "j", 30)
    answers = [pacing.too_fast("c", "j") for _ in range(20)]
    assert answers == [None] * 10 + [30] * 10
    assert pacing.refused == 10
    clock.now += 1.5  # a tenth of half its pause, for a crowd of ten
    assert [pacing.too_fast("c", "j") for _ in range(2)] == [None, 30]


def test_one_client_is_never_refused_for_another() -> None:
    pacing = Pacing(crowd=1, clock=Clock())
    for client in "ab":
        pacing.told(client, "j", 30)
    assert [pacing.too_fast("a", "j") for _ in range(3)] == [None, 30, 30]
    assert pacing.too_fast("b", "j") is None
    assert pacing.too_fast("a", "another job") is None


def test_only_so_many_clients_are_remembered() -> None:
    pacing = Pacing(crowd=0, clients=2, clock=Clock())
    for client in "abc":
        pacing.told(client, "j", 30)
    assert pacing.too_fast("a", "j") is None
    assert pacing.too_fast("c", "j") == 30
