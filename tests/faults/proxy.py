"""A proxy for TCP or Unix sockets that can hold all bytes, as a network that lost its way does."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from types import TracebackType

Address = tuple[str, int] | str


class Proxy:
    """Listens at `port` (TCP) or at `path` (Unix) and passes bytes on to `target` of the same kind."""

    def __init__(self, target: Address, path: str | None = None) -> None:
        self._target, self._path, self.port = target, path, 0
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = False

    def __enter__(self) -> Proxy:
        if self._path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self._path)
            os.chmod(self._path, 0o777)
        else:
            self._listener = socket.socket()
            self._listener.bind(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        self._listener.listen(64)
        self._sockets.append(self._listener)
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._open.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
        for thread in list(self._threads):
            thread.join(10)
        for each in self._sockets:
            each.close()
        if self._path is not None:
            os.unlink(self._path)

    def hold(self) -> None:
        """No byte passes either way, and no connection is made, until `let_go`."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(near)
            self._start(self._connect, near)

    def _connect(self, near: socket.socket) -> None:
        self._open.wait()
        far = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
        self._sockets.append(far)
        try:
            far.connect(self._target)
        except OSError:
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
            return
        self._start(self._copy, near, far)
        self._start(self._copy, far, near)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._open.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
