"""Kept partials: what a part computed, put aside so that a later run need not compute it again.

An object is `kept/<keep>/<version>-<part>`: a header (magic, sizes of the frames, sha256 of all that
follows), then a pickle of protocol 5 and its buffers. It is not synced: a torn one is noticed, removed and
computed again. Nothing here may fail a part. Only our own workers write below `kept/`, which is why a pickle
is safe to read there.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.store import Store

_VERSION = "v1"  # of the format and of what partials mean; others are simply not found
_MAGIC = b"haulier-kept"
_LARGEST = 64 << 20  # bytes; a larger partial costs the store more than computing it again costs anybody
_WORTH = 10.0  # a part is kept if computing it took this many times longer than keeping it
_FILE, _RATE = 0.001, 400e6  # what keeping costs: seconds a file, bytes a second
_HEAD = struct.Struct(f"<{len(_MAGIC)}s32sI")

log = logging.getLogger(__name__)


def through(store: Store, keep: str, part: int, compute: Callable[[], Any]) -> Any:
    """The kept partial of a part; else what `compute` gives, kept if that is worth while."""
    try:
        return get(store, keep, part)
    except LookupError:
        pass
    started = time.perf_counter()
    value = compute()
    put(store, keep, part, value, time.perf_counter() - started)
    return value


def get(store: Store, keep: str, part: int | str) -> Any:
    """The kept partial. KeyError when there is none, a torn one included, which is removed."""
    key = _key(keep, part)
    try:
        with store.open(key) as file:
            data = file.read()
    except FileNotFoundError:
        raise KeyError(key) from None
    except OSError as error:  # a store that cannot be read says so to those who need it
        log.warning("could not read %s: %s", key, error)
        raise KeyError(key) from error
    try:
        first, *buffers = _unframe(data)
        return pickle.loads(first, buffers=buffers)
    except Exception as error:
        log.warning("%s is of no use, computing it again: %s", key, error)
        _remove(store, key)
        raise KeyError(key) from error


def has(store: Store, keep: str, part: int | str) -> bool:
    """Whether something is kept of a part; it may be torn."""
    try:
        return store.exists(_key(keep, part))
    except OSError:
        return False


def put(
    store: Store, keep: str, part: int | str, value: Any, took: float, worth: float | None = None
) -> bool:
    """Keep a partial that took so many seconds, if that is worth while. Whether it is kept now.

    `worth`: how many times longer than keeping it computing it must have taken.
    """
    try:
        buffers: list[pickle.PickleBuffer] = []
        first = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        frames = [memoryview(first), *(buffer.raw() for buffer in buffers)]  # raw: no copy
        size = sum(frame.nbytes for frame in frames)
        if size > _LARGEST or took < (_WORTH if worth is None else worth) * (_FILE + size / _RATE):
            return False
        with store.put(_key(keep, part), sync=False) as sink:
            for piece in _frame(frames):
                sink.write(piece)
    except Exception as error:  # no space, no right, a value that cannot be pickled: the part is fine
        log.warning("could not keep part %s of %s: %s", part, keep, error)
        return False
    return True


def discard(store: Store, keep: str) -> None:
    """Remove all that is kept under a name or below it; nothing there is no error."""
    store.delete(f"kept/{keep}")


def _key(keep: str, part: int | str) -> str:
    return f"kept/{keep}/{_VERSION}-{part}"


def _frame(frames: Sequence[memoryview]) -> list[bytes | memoryview]:
    sizes = struct.pack(f"<{len(frames)}Q", *(frame.nbytes for frame in frames))
    digest = hashlib.sha256(sizes)
    for frame in frames:
        digest.update(frame)
    return [_HEAD.pack(_MAGIC, digest.digest(), len(frames)), sizes, *frames]


def _unframe(data: bytes) -> list[memoryview]:
    view = memoryview(data)
    magic, digest, count = _HEAD.unpack_from(view)
    body = view[_HEAD.size :]
    if magic != _MAGIC or hashlib.sha256(body).digest() != digest:
        raise ValueError("it is torn")
    start, frames = struct.calcsize(f"<{count}Q"), []
    for size in struct.unpack_from(f"<{count}Q", body):
        frames.append(body[start : start + size])
        start += size
    return frames


def _remove(store: Store, key: str) -> None:
    try:
        store.delete(key)
    except OSError as error:
        log.warning("could not remove %s: %s", key, error)
