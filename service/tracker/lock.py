"""HomeLock: one process a home. The lock dies with its process, so no crash leaves a stale one."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType


class HomeInUse(Exception):
    """Another process owns the home. `address` is where it serves, None while it starts or serves nobody."""

    def __init__(self, address: str | None, pid: int | None) -> None:
        self.address = address
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        where = f", which serves {address}; use that address" if address else "; wait until it has ended"
        super().__init__(
            f"This Haulier home is in use by {who}{where}, or set HAULIER_HOME to another folder."
        )


class HomeLock:
    """Held from `acquire` to `release`. The file stays: without it two processes could lock two files."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, home: Path | str) -> HomeLock:
        """Take the home or raise HomeInUse; creates the folder when it is missing."""
        path = Path(home) / "haulier.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(descriptor)
            os.close(descriptor)
            raise HomeInUse(*holder) from None
        except BaseException:
            os.close(descriptor)
            raise
        lock = cls(descriptor)
        lock._write({"pid": os.getpid(), "address": None})
        return lock

    def publish(self, address: str) -> None:
        """Tell who comes later where this process serves."""
        self._write({"pid": os.getpid(), "address": address})

    def release(self) -> None:
        """May be called twice."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _write(self, holder: dict[str, str | int | None]) -> None:
        if self._descriptor is None:
            raise RuntimeError("the home lock was released")
        line = json.dumps(holder).encode() + b"\n"
        os.pwrite(self._descriptor, line, 0)
        os.ftruncate(self._descriptor, len(line))


def _read(descriptor: int) -> tuple[str | None, int | None]:
    """Address and pid of the holder; None each while it is just writing them."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return None, None
    return found.get("address"), found.get("pid")
