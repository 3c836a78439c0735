"""The form of a request: pydantic models at the edge, and every fault of form as one sentence with a pointer.

`sift` validates what it can: an entry with a fault is left out and named, the others go on to the checks of
meaning, so that a user hears of both kinds at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from pipelines.errors import Fault, nearest
from pipelines.plan import Json

AT = "/parameters"


class Entry(BaseModel):
    """One object of a list in the parameters; knows where it stood."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)
    _at: str = PrivateAttr("")
    _bare: bool = PrivateAttr(False)

    @property
    def at(self) -> str:
        """Its JSON pointer."""
        return self._at

    def member(self, name: str) -> str:
        """The JSON pointer of one of its members; its own where the request had a bare text."""
        return self._at if self._bare else f"{self._at}/{name}"


class LookupEntry(Entry):
    """Columns of a small dataset, from the row whose `key` equals our column `on`; null where there is none.

    They are columns like our own, called as there after the `prefix`.
    """

    dataset: str
    version: int | None = Field(None, ge=0)
    on: str = Field(min_length=1, max_length=1_000)
    key: str = Field(min_length=1, max_length=1_000)
    columns: list[str] = Field(min_length=1, max_length=100)
    prefix: str = Field("", max_length=100)


class Parameters(BaseModel):
    """What a report type takes. Every type has a dataset, may pin its version and look up in others."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)
    STAND_INS: ClassVar[Json] = {}  # for required members that are wrong: the others are still checked
    _complete: bool = PrivateAttr(True)

    lookup: list[LookupEntry] = Field(default_factory=list, max_length=16)

    @property
    def complete(self) -> bool:
        """False when entries were left out for faults in their form."""
        return self._complete

    @property
    def dataset_name(self) -> str:
        """The member `dataset`, unless the type says otherwise."""
        return cast(str, vars(self)["dataset"])

    @property
    def dataset_version(self) -> int | None:
        return None


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Sifted(Generic[P]):
    """The parameters as far as their form is right (None: not at all), and what is wrong with the rest."""

    parameters: P | None
    faults: tuple[Fault, ...]


def sift(model: type[P], value: Any) -> Sifted[P]:
    """Validate parameters, leaving out what is wrong."""
    try:
        return Sifted(_placed(model.model_validate(value), value, {}), ())
    except ValidationError as error:
        faults = tuple(_fault(model, each, value) for each in error.errors(include_url=False))
        wrong = {tuple(each["loc"][:2]) for each in error.errors(include_url=False)}
    if not isinstance(value, dict):
        return Sifted(None, faults)
    rest, places = _without(value, wrong)
    rest = {**model.STAND_INS, **rest}
    try:
        parameters = _placed(model.model_validate(rest), rest, places)
    except ValidationError:
        return Sifted(None, faults)
    parameters._complete = False
    return Sifted(parameters, faults)


def pointer(*location: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(each).replace("~", "~0").replace("/", "~1") for each in location)


def _without(value: Json, wrong: set[tuple[Any, ...]]) -> tuple[Json, dict[str, list[int]]]:
    """A copy without the members and list entries that are wrong, and where the entries left stood."""
    rest: Json = {}
    places: dict[str, list[int]] = {}
    for name, member in value.items():
        bad = {location[1] for location in wrong if len(location) > 1 and location[0] == name}
        if (name,) in wrong or (bad and not isinstance(member, list)):
            continue
        if bad:
            kept = [index for index in range(len(member)) if index not in bad]
            if not kept:
                continue
            places[name], member = kept, [member[index] for index in kept]
        rest[name] = member
    return rest, places


def _placed(parameters: P, value: Mapping[str, Any], places: Mapping[str, Sequence[int]]) -> P:
    """Tell every entry of a list where it stood in the request."""
    for name, field in type(parameters).model_fields.items():
        member = getattr(parameters, name)
        if not isinstance(member, list | tuple):
            continue
        wire = field.alias or name
        for index, entry in enumerate(member):
            if isinstance(entry, Entry):
                place = places[wire][index] if wire in places else index
                entry._at = AT + pointer(wire, place)
                entry._bare = not isinstance(value[wire][index], dict)
    return parameters


def _fault(model: type[Parameters], error: Any, value: Any) -> Fault:
    location = list(error["loc"])
    at = AT + pointer(*location)
    name = repr(str(location[-1])) if location else "'parameters'"
    given, kind = error["input"], error["type"]
    if kind == "missing":
        return Fault(at, f"{name} is missing; add it.")
    if kind == "extra_forbidden":
        return Fault(
            at, f"{name} is not a member here{nearest(str(location[-1]), _members(model, location))}"
        )
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return Fault(at, f"{_short(given)} is no {location[-1]!s}{nearest(str(given), known)}")
    if kind == "value_error":
        return Fault(at, str(error["ctx"]["error"]))
    message = str(error["msg"])
    return Fault(at, f"{name} is {_short(given)}: {message[:1].lower()}{message[1:]}.")


def _members(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The members known where an unknown one stood."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    if len(location) <= 1:
        return names
    for name, field in model.model_fields.items():
        if (field.alias or name) == location[0]:
            for found in _models(field.annotation):
                return [each.alias or key for key, each in found.model_fields.items()]
    return []


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in getattr(annotation, "__args__", ()) for found in _models(each)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
