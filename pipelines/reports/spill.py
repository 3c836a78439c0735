"""Spilling: the pieces of a partial in one file of the store, each read alone by whoever combines its bucket.

So neither the workers' memory nor the wire between them grows with the number of groups. Only our own
workers write these files, which is why a pickle is safe to read here.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from pipelines.plan import Json
from pipelines.store import Store


def put(store: Store, key: str, pieces: Sequence[Any]) -> Json:
    """Write the pieces; what is returned is small and finds each again. Not synced: the run needs it only."""
    ends: list[list[int]] = []
    with store.put(key, sync=False, digest=False) as sink:
        for piece in pieces:
            buffers: list[pickle.PickleBuffer] = []
            first = pickle.dumps(piece, protocol=5, buffer_callback=buffers.append)
            frames = [memoryview(first), *(buffer.raw() for buffer in buffers)]
            start = sink.bytes
            for frame in frames:
                sink.write(frame)
            ends.append([start, *(frame.nbytes for frame in frames)])
    return {"key": key, "pieces": ends}


def get(store: Store, token: Json, piece: int) -> Any:
    """One piece; its arrays are views of the bytes read."""
    start, *sizes = token["pieces"][piece]
    view = memoryview(store.read_range(token["key"], start, sum(sizes)))
    frames, at = [], 0
    for size in sizes:
        frames.append(view[at : at + size])
        at += size
    return pickle.loads(frames[0], buffers=frames[1:])
