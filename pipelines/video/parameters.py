"""What the parameters of all operations have in common, and their faults as sentences. Pydantic's edge.

`checked` gives every fault at once, with a JSON pointer into the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipelines.errors import Fault, InvalidRequest, nearest

AT = "/parameters"
_CLOCK = re.compile(r"(?:(\d{1,3}):)?([0-5]?\d):([0-5]?\d(?:\.\d{1,6})?)", re.ASCII)


class Parameters(BaseModel):
    """Base of all operations' parameters: what is unknown, or of another type, is a fault."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def conflicts(self) -> Iterator[Fault]:
        """What is wrong with members that are right each by itself."""
        yield from ()


def _seconds(value: Any) -> Any:
    if isinstance(value, str) and (found := _CLOCK.fullmatch(value)):
        return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])
    return value


Seconds = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=float | str),
    Field(ge=0, le=86_400, allow_inf_nan=False, description="Seconds, or a time such as '1:02.5'."),
]
Width = Annotated[int, Field(ge=16, le=7680, description="Pixels.")]
Height = Annotated[int, Field(ge=16, le=4320, description="Pixels.")]
Track = Annotated[int, Field(ge=1, le=32, description="Which audio stream, counted from 1.")]

P = TypeVar("P", bound=Parameters)


def checked(model: type[P], value: Any) -> P:
    """The parameters, or InvalidRequest with every fault."""
    if not isinstance(value, dict):
        raise InvalidRequest([Fault(AT, "'parameters' must be an object.")])
    try:
        found = model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        faults = [_fault(model, each) for each in errors]
        wrong = {str(each["loc"][0]) for each in errors if each["loc"]}
        faults += _conflicts(model, {name: each for name, each in value.items() if name not in wrong})
        raise InvalidRequest(_once(faults)) from None
    if conflicts := list(found.conflicts()):
        raise InvalidRequest(conflicts)
    return found


def _conflicts(model: type[P], rest: dict[str, Any]) -> list[Fault]:
    try:
        return list(model.model_validate(rest).conflicts())
    except ValidationError:  # something required is missing
        return []


def _once(faults: Sequence[Fault]) -> list[Fault]:
    """One fault a place: a union complains once for each of its members."""
    return list({fault.pointer: fault for fault in reversed(faults)}.values())[::-1]


def _fault(model: type[BaseModel], error: Any) -> Fault:
    location = [each for each in error["loc"] if not _is_branch(each)]
    at = AT + "".join("/" + str(each).replace("~", "~0").replace("/", "~1") for each in location)
    name = repr(str(location[-1])) if location else "'parameters'"
    kind, given = error["type"], _short(error["input"])
    if kind == "missing":
        return Fault(at, f"{name} is missing; add it.")
    if kind == "extra_forbidden":
        known = nearest(str(location[-1]), model.model_fields) or "; there is nothing to choose."
        return Fault(at, f"{name} is not a member here{known}")
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return Fault(at, f"{name} is {given}{nearest(str(error['input']), words)}")
    if kind == "value_error":
        return Fault(at, str(error["ctx"]["error"]))
    message = str(error["msg"])
    return Fault(at, f"{name} is {given}: {message[:1].lower()}{message[1:]}.")


def _is_branch(part: Any) -> bool:
    """Pydantic names the member of a union it tried; no request has that."""
    return isinstance(part, str) and (
        part in ("int", "float", "str", "bool") or "[" in part or part[:1].isupper()
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
