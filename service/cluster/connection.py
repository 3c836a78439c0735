"""Connection: the distributed Client that comes back. A background thread connects; nobody ever waits for it.

A Client that lost its scheduler has lost all its futures too, so it is thrown away and a new one made, with
the topic subscribed again: a subscription does not survive either side.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

log = structlog.get_logger()

_RETRY = 0.2  # seconds between two attempts to connect


class Connection:
    """`client()` is the live Client or None. `topics` names who hears of which events, on the client's event
    loop: it must be quick."""

    def __init__(
        self,
        address: Callable[[], str],
        topics: Mapping[str, Callable[[Any], None]],
        on_connect: Callable[[], None],
        *,
        timeout: float,
    ) -> None:
        self._address, self._timeout = address, timeout
        self._topics, self._on_connect = topics, on_connect
        self._lock = threading.Lock()
        self._client: Any = None
        self._identity: str | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def client(self) -> Any:
        """The live Client; None while a background thread connects."""
        with self._lock:
            client, alive = self._client, self._client is not None and self._client.status == "running"
        if alive:
            return client
        if client is not None:
            self.drop()
        self._connect()
        return None

    def identity(self) -> str | None:
        """The id of the scheduler process we are connected to, None while we are not."""
        with self._lock:
            alive = self._client is not None and self._client.status == "running"
            return self._identity if alive else None

    def drop(self) -> None:
        """Throw the Client away; the next `client()` begins to make a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:  # closing waits for a peer that may be gone: not here
            threading.Thread(target=_close, args=(client, 1.0), name="haulier-close", daemon=True).start()

    def close(self) -> None:
        """Leave for good; waits a moment for an attempt under way."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(self._timeout + 1)
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            _close(client, 2.0)

    def _connect(self) -> None:
        with self._lock:
            if self._closed.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._connecting, name="haulier-connect", daemon=True)
            self._thread.start()

    def _connecting(self) -> None:
        import distributed

        connect: Any = distributed.Client
        while not self._closed.is_set():
            try:
                client = connect(self._address(), timeout=self._timeout, set_as_default=False, name="haulier")
            except (OSError, TimeoutError, ValueError):
                self._closed.wait(_RETRY)
                continue
            try:
                for topic, handler in self._topics.items():
                    client.subscribe_topic(topic, handler)
                identity = str(client.scheduler_info(n_workers=0)["id"])
            except Exception:  # it went again at once
                _close(client, 1.0)
                self._closed.wait(_RETRY)
                continue
            with self._lock:
                self._client, self._identity = client, identity
            self._on_connect()
            return


def _close(client: Any, timeout: float) -> None:
    with contextlib.suppress(Exception):  # whatever a dying Client says, we are done with it
        client.close(timeout=timeout)


def disconnected(future: Any) -> bool:
    """Whether a future was canceled because its Client lost the scheduler."""
    try:
        future.result(timeout=0)
    except Exception as error:
        return getattr(error, "reason", None) == "scheduler-connection-lost"
    return False


def infrastructure() -> tuple[type[BaseException], ...]:
    """What a call to a scheduler that is gone, or going, may raise."""
    from distributed.client import ClosedClientError  # a Client closes itself when its scheduler is gone

    canceled = (concurrent.futures.CancelledError, asyncio.CancelledError)
    return (OSError, TimeoutError, RuntimeError, ClosedClientError, *canceled)


async def quiet(coroutine: Any) -> None:
    """Await a call to a scheduler whose loss is the next poll's to notice."""
    try:
        await coroutine
    except infrastructure():
        pass
    except Exception:  # a scheduler of another version, perhaps
        log.exception("a call to the scheduler failed")
