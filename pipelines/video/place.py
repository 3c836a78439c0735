"""Where a part of a job works: a folder of its own, removed at its end; and its sources as files in reach.

On a local store that is below the job's scratch, so what a killed worker leaves is found and removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.run import Context
from pipelines.store import Sink, Store
from pipelines.video.sniff import HEAD

_BLOCK = 1 << 20


@contextmanager
def workplace(context: Context, name: str) -> Iterator[Path]:
    """An empty folder with `out/` in it, gone when the block ends, however it ends."""
    local = context.store.local_path(f"{context.scratch}/{name}")
    if local is not None:
        shutil.rmtree(local, ignore_errors=True)  # of a run of this part that died
        local.mkdir(parents=True)
        folder = local.resolve()
    else:
        folder = Path(tempfile.mkdtemp(prefix="haulier-video-")).resolve()
    try:
        (folder / "out").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def paths_of(context: Context, files: Sequence[Json], folder: Path) -> list[str]:
    """Every source as a file of this machine; copied into the folder from a store that is elsewhere."""
    return [_path_of(context, each, folder, number) for number, each in enumerate(files)]


def _path_of(context: Context, given: Json, folder: Path, number: int) -> str:
    place = given["source"]
    try:
        if place.get("file") is not None:
            if given.get("stamp") not in (None, stamp_of(place["file"])):
                raise BadInput(f"The file {given['name']!r} changed while it was worked on; submit it again.")
            return os.path.realpath(str(place["file"]))
        store, key = context.store, str(place["store"])
        local = store.local_path(key)
        if local is not None:
            os.stat(local)
            return str(local.resolve())
        target = folder / f"source-{number}"
        with store.open(key) as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy, _BLOCK)
        return str(target)
    except FileNotFoundError:
        raise BadInput(f"The file {given['name']!r} is not there any more; submit it again.") from None


def stamp_of(path: str) -> str:
    """Changes when the file does."""
    status = os.stat(path)
    return f"{status.st_size}-{status.st_mtime_ns}"


def head_of(store: Store, place: Json) -> bytes:
    """The first bytes of a source."""
    if place.get("file") is not None:
        with open(place["file"], "rb") as file:
            return file.read(HEAD)
    return store.read_range(str(place["store"]), 0, HEAD)


def upload(context: Context, path: Path, key: str, *, sync: bool = True) -> Sink:
    """Put a file into the store: whole under its key, or not at all."""
    with context.store.put(key, sync=sync) as sink, path.open("rb") as file:
        while block := file.read(_BLOCK):
            sink.write(block)
            context.check()
    return sink


def fetch(context: Context, key: str, target: Path) -> None:
    """An object of the store as a file, without a copy where that can be."""
    local = context.store.local_path(key)
    if local is not None:
        try:
            os.link(local, target)
            return
        except FileNotFoundError:
            raise
        except OSError:  # another file system
            pass
    with context.store.open(key) as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, _BLOCK)
