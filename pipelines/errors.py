"""Errors of the worker side. Their text is safe to show a user; anything else is a bug, shown as `internal`.

    PipelineError            code        what it says
    ├── InvalidRequest       invalid-parameters   the submission is wrong: every fault, with a JSON pointer
    ├── BadInput             bad-input   the data is wrong: file, line, column
    │   └── UnknownDataset   unknown-dataset
    ├── NoSpace              no-space    the store is full
    ├── OutOfMemory          out-of-memory   a worker has not enough
    └── Canceled             canceled    the job was canceled while a part ran

Standard library only; every error survives pickling.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


class PipelineError(Exception):
    """Base: `detail` is one sentence for the user, `code` a stable word for programs."""

    code = "internal"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a request: RFC 6901 `pointer` into the body and a sentence with value and fix."""

    pointer: str
    detail: str


class InvalidRequest(PipelineError):
    """All faults of a submission at once; becomes a 422."""

    code = "invalid-parameters"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in self.faults))

    def __reduce__(self) -> tuple[type[InvalidRequest], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


class BadInput(PipelineError):
    """The data cannot be read as asked."""

    code = "bad-input"


class UnknownDataset(BadInput):
    """No dataset (or no such version) of that name."""

    code = "unknown-dataset"


class NoSpace(PipelineError):
    """The store or scratch disk is full."""

    code = "no-space"

    def __init__(self, detail: str = "The disk is full; free some space, or remove old results, and retry."):
        super().__init__(detail)


class OutOfMemory(PipelineError):
    """A worker could not have the memory it asked for."""

    code = "out-of-memory"

    def __init__(
        self,
        detail: str = "A worker ran out of memory; give each worker more, use fewer workers, or ask for less "
        "at once.",
    ):
        super().__init__(detail)


class Canceled(PipelineError):
    """Raised inside a part when its job was canceled."""

    code = "canceled"


def is_full(error: BaseException) -> bool:
    """Whether a disk without space (or a quota) is what an error means."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(error, Exception) and "No space left on device" in str(error)  # libraries without errno


def foreseen(error: BaseException) -> PipelineError | None:
    """What to tell a user of an error; None when nobody foresaw it."""
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, MemoryError):  # those of Arrow and NumPy are
        return OutOfMemory()
    return NoSpace() if is_full(error) else None


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'a' or 'b'?` for the nearest known names, else the known ones, else an empty string."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5) or get_close_matches(
        name.lower(), [each.lower() for each in names], n=3, cutoff=0.5
    )
    close = [each for each in names if each in close or each.lower() in close]
    if close:
        return "; did you mean " + " or ".join(repr(each) for each in close[:3]) + "?"
    return f"; known are {', '.join(repr(each) for each in names[:20])}" if names else ""
