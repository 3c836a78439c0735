"""Answers that stay good for a moment."""

from __future__ import annotations

from service.remembered import Remembered


def test_an_answer_is_read_once_while_it_is_good() -> None:
    now, read = [0.0], []

    def look(key: str) -> str:
        read.append(key)
        return f"{key}{len(read)}"

    remembered = Remembered(2.0, look, lambda: now[0])
    assert [remembered["a"], remembered["a"], remembered["b"]] == ["a1", "a1", "b2"]
    now[0] = 2.0
    assert [remembered["a"], remembered["a"]] == ["a3", "a3"]


def test_nothing_is_not_remembered() -> None:
    answers: list[list[int]] = [[], [1], [2]]
    remembered = Remembered(2.0, lambda _: answers.pop(0), lambda: 0.0)
    assert [remembered[None], remembered[None], remembered[None]] == [[], [1], [1]]
