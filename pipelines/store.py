"""Store: where bytes live. Puts are atomic, reads may start anywhere, keys are relative POSIX paths.

One class over fsspec serves every URL; local files get what fsspec lacks (fsync before the rename). Must not
know what the bytes mean.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import fsspec

from pipelines.errors import NoSpace, is_full

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*(/[A-Za-z0-9_][A-Za-z0-9_.=-]*)*")
_BLOCK = 1 << 20
_TRIES = 5  # to write into or remove a folder that others change meanwhile


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of a stored object without reading it. Size in bytes."""

    key: str
    bytes: int


class Sink:
    """A file being put: counts and hashes what is written. `bytes` and `sha256` are final after the put."""

    def __init__(self, file: IO[bytes], digest: bool = True) -> None:
        self._file = file
        self._digest = digest
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        if self._digest:
            self._hash.update(view)
        self.bytes += len(view)
        return len(view)

    # pyarrow and zipfile ask these of a file they write to
    closed = False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Left to `Store.put`: closing early must not publish."""


class Store:
    """Objects under one root. Raises FileNotFoundError for a missing key, ValueError for an unsafe one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        protocols = self._fs.protocol
        self._local = "file" in ((protocols,) if isinstance(protocols, str) else protocols)

    @contextmanager
    def put(self, key: str, *, sync: bool = True, digest: bool = True) -> Iterator[Sink]:
        """Write an object; it appears under `key`, whole and synced, only when the block ends well.

        Without `sync` it is whole for every reader, but a machine that loses power may leave it torn. Without
        `digest` the sink's sha256 is not that of what was written.
        """
        path = self.path(key)
        temporary = self.path(f"{key}.{uuid.uuid4().hex}.part")
        try:
            with self._create(temporary) as file:
                yield Sink(file, digest)
                file.flush()
                if sync and self._local:
                    os.fsync(file.fileno())
            self._publish(temporary, path, sync)
        except BaseException as error:
            self._discard(temporary)
            if is_full(error):
                raise NoSpace() from error
            raise

    def open(self, key: str) -> IO[bytes]:
        """A readable, seekable binary file."""
        file: IO[bytes] = self._fs.open(self.path(key), "rb")
        return file

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`; fewer at the end of the object."""
        with self.open(key) as file:
            file.seek(start)
            return file.read(length)

    def stat(self, key: str) -> Stat:
        return Stat(key, int(self._fs.size(self.path(key))))

    def exists(self, key: str) -> bool:
        return bool(self._fs.exists(self.path(key)))

    def list(self, prefix: str) -> Iterator[Stat]:
        """Every object below a prefix, in key order."""
        root = self.path(prefix)
        if not self._fs.exists(root):
            return
        for path, info in sorted(self._fs.find(root, detail=True).items()):
            yield Stat(str(path)[len(self._root) + 1 :], int(info["size"]))

    def children(self, prefix: str) -> tuple[str, ...]:
        """Names of the folders directly below a prefix, sorted."""
        root = self.path(prefix)
        if not self._fs.exists(root):
            return ()
        found = self._fs.ls(root, detail=True)
        return tuple(sorted(str(e["name"]).rsplit("/", 1)[-1] for e in found if e["type"] == "directory"))

    def delete(self, key: str) -> None:
        """Remove an object or all below a prefix; a missing one is no error."""
        self._discard(self.path(key))

    def prune(self, key: str) -> None:
        """Remove the folders above an object that hold nothing any more, up to but without the first."""
        if not self._local:
            return  # there are no folders elsewhere
        folders = key.split("/")[:-1]
        while len(folders) > 1:
            try:
                os.rmdir(self.path("/".join(folders)))
            except FileNotFoundError:
                pass
            except OSError:  # it is in use
                return
            folders.pop()

    def rename(self, old: str, new: str) -> None:
        """Move an object or a whole prefix; on a local store in one atomic step."""
        target = self.path(new)
        self._fs.makedirs(os.path.dirname(target), exist_ok=True)
        self._publish(self.path(old), target, sync=True)

    def path(self, key: str) -> str:
        """The file system's own path of a key: for libraries (Arrow, Delta) that open files themselves."""
        if not _KEY.fullmatch(key) or ".." in key.split("/"):
            raise ValueError(f"{key!r} is not a store key")
        return f"{self._root}/{key}"

    def local_path(self, key: str) -> Path | None:
        """The object as a file of this machine, or None for a remote store."""
        return Path(self.path(key)) if self._local else None

    def _create(self, path: str) -> Any:
        """A new file and its folder, which others may be removing because it was empty or of no use."""
        for left in reversed(range(_TRIES)):
            self._fs.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                return self._fs.open(path, "wb")
            except FileNotFoundError:
                if not left:
                    raise

    def _publish(self, temporary: str, path: str, sync: bool) -> None:
        if not self._local:
            self._fs.mv(temporary, path, recursive=True)
            return
        os.replace(temporary, path)
        if not sync:
            return
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _discard(self, path: str) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self._fs.rm(path, recursive=True)
                return
            except FileNotFoundError:  # it is gone, or others remove it with us
                if not self._fs.exists(path):
                    return
            except OSError as error:  # a straggler wrote into a folder that was going
                if error.errno != errno.ENOTEMPTY or not left:
                    raise


@lru_cache(maxsize=16)
def open_store(url: str) -> Store:
    """The Store of an fsspec URL or a plain local path; one instance a URL."""
    return Store(url)
