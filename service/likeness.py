"""Likeness: how much two requests of a type have in common, as far as their cost is concerned. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipelines.plan import Json

Traits = frozenset[str]
_LONGEST, _MOST = 60, 100  # characters of a trait, traits of a request
_NUMBER = re.compile(r"\d+(\.\d+)?")


def traits(parameters: Json) -> Traits:
    """What a request asks, leaf by leaf: `by=region`, `where.column=ordered_at`. Numbers are all alike."""
    found: set[str] = set()
    for trait in _leaves(parameters, ""):
        found.add(trait)
        if len(found) == _MOST:
            break
    return frozenset(found)


def unlikeness(one: Traits, other: Traits) -> float:
    """0 for the same traits, 1 for none in common; 0 where of one nothing is known."""
    if not one or not other:
        return 0.0
    return 1 - len(one & other) / len(one | other)


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(member, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member, path)
    else:
        yield _NUMBER.sub("#", f"{path}={value}"[:_LONGEST])
