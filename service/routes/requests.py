"""What comes in with a request: the JSON body, the submission headers, `wait`, query strings.

JSON is parsed here and not by the framework, so that every refusal says where and what in our own words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from flask import request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import ClientDisconnected

from pipelines.errors import Fault, InvalidRequest
from pipelines.plan import Json
from service.errors import Refused

LONGEST_WAIT = 60
_BODY_BYTES = 1 << 20
_TYPES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


class Query(BaseModel):
    """Base of all query strings: what is unknown is a fault."""

    model_config = ConfigDict(extra="forbid")


class NoQuery(Query):
    """For addresses that take no query string."""


class WaitQuery(Query):
    wait: int | None = Field(None, ge=0, description=f"Seconds to wait for a change; {LONGEST_WAIT} at most.")


class JobPath(BaseModel):
    id: str = Field(description="The id of a job.")


def is_json() -> bool:
    kind = request.mimetype
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def json_object() -> Json:
    """The body as a JSON object; Refused or InvalidRequest for anything else."""
    if not is_json():
        given = f"not {request.mimetype!r}" if request.mimetype else "with that Content-Type"
        raise Refused("unsupported-media-type", f"Send the body as application/json, {given}.")
    return as_object(_body(), "The body", "")


def as_object(text: bytes | str, name: str, pointer: str) -> Json:
    """JSON text of a client as an object."""
    value = as_json(text, name, pointer)
    if not isinstance(value, dict):
        what = _TYPES.get(type(value), "a number")
        raise InvalidRequest([Fault(pointer, f"{name} must be a JSON object; it is {what}.")])
    return value


def as_json(text: bytes | str, name: str, pointer: str) -> Any:
    """JSON text of a client."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_members, parse_constant=_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Refused("malformed-json", f"{name} is not JSON: {error.msg} at {where}.") from None
    except UnicodeDecodeError as error:
        raise Refused("malformed-json", f"{name} is not UTF-8 at byte {error.start}; send UTF-8.") from None
    except RecursionError:
        raise Refused("malformed-json", f"{name} is nested too deeply.") from None
    except _Twice as error:
        said = f"{name} has the member {error.args[0]!r} twice; send it once."
        raise InvalidRequest([Fault(pointer, said)]) from None
    except ValueError as error:
        raise Refused("malformed-json", f"{name} is not JSON: {error}.") from None
    for string in _strings(value):
        if "\0" in string or any("\ud800" <= c <= "\udfff" for c in string):
            said = f"{name} has a NUL character or half a surrogate pair in {string[:40]!r}; leave it out."
            raise InvalidRequest([Fault(pointer, said)])
    return value


def read_or_note(
    text: str | None, name: str, pointer: str, faults: list[Fault], read: Callable[[str, str, str], Any]
) -> Any | None:
    """What JSON text says; None without it, and, with its faults noted, where it is wrong."""
    if text is None:
        return None
    try:
        return read(text, name, pointer)
    except InvalidRequest as error:
        faults += error.faults
    except Refused as error:
        faults.append(Fault(pointer, error.detail))
    return None


def idempotency_key() -> str | None:
    return request.headers.get("Idempotency-Key")


def priority() -> str | None:
    return request.headers.get("Haulier-Priority")


def preferred_wait() -> int | None:
    """N of `Prefer: wait=N` (RFC 7240), at most LONGEST_WAIT; what else is preferred is ignored."""
    for name, value in preferences():
        if name == "wait" and re.fullmatch(r"\d{1,9}", value, re.ASCII):
            return min(int(value), LONGEST_WAIT)
    return None


def preferences() -> Iterator[tuple[str, str]]:
    for part in ",".join(request.headers.getlist("Prefer")).split(","):
        name, _, value = part.split(";")[0].partition("=")
        yield name.strip().lower(), value.strip().strip('"')


def _body() -> bytes:
    request.max_content_length = _BODY_BYTES
    try:
        body = request.get_data(cache=False)
    except (ClientDisconnected, OSError):
        body = b""
    if request.content_length is not None and len(body) < request.content_length:
        said = f"Only {len(body)} of {request.content_length} announced bytes came; send the request again."
        raise Refused("incomplete-upload", said)
    return body


class _Twice(Exception):
    pass


def _members(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _float(text: str) -> float:
    """An infinite one could never be written as JSON again."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)
