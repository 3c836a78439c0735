"""serve: the web server process around `service.app`, and how it begins and ends with its parent.

    parent (granian's watch) -> one worker: the app, the dispatcher -> Dask's scheduler and workers

Settings reach the worker by the environment. Nothing of Flask, Dask or SQL is imported in the parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from service.settings import Settings, SettingsError, hand_down

if TYPE_CHECKING:
    from service.engine import Engine

_THREADS = (
    352  # a poll that waits or a stream holds one (`routes.site` says how many may); idle ones are cheap
)
_HEADER_BYTES = 1 << 16  # a request line and headers of more are refused with 431
_GRACE_SECONDS = 15  # for open requests and for giving jobs back; then the worker is killed


def serve(settings: Settings, *, dispatch: bool = True) -> None:
    """Run the service until SIGTERM or Ctrl-C. SettingsError when the port is taken."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings

    settings = settings.with_port(_checked_port(settings))
    hand_down(settings)
    # spawn: the worker starts clean, and runs its atexit when it ends
    multiprocessing.set_start_method("spawn", force=True)
    Granian(
        "service.app:application" if dispatch else "service.app:accepting",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        factory=True,
        workers=1,
        blocking_threads=_THREADS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=_HEADER_BYTES),
        workers_kill_timeout=_GRACE_SECONDS,
        log_enabled=False,
    ).serve()


def announce(settings: Settings, engine: Engine) -> None:
    """Say where the service is once it answers: on standard output, and to who finds the home locked."""
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{name}:{settings.port}"

    def tell() -> None:
        while not _answers(settings):
            time.sleep(0.02)
        if engine.lock is not None:
            engine.lock.publish(address)
        sys.stdout.write(f"Haulier is at {address}/\n")
        sys.stdout.flush()

    threading.Thread(target=tell, name="haulier-announce", daemon=True).start()


def when_told_to_leave(act: Callable[[], None]) -> None:
    """Have `act` called by a thread at the first SIGTERM, whoever handles it. For the main thread."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def listen() -> None:
        while (told := os.read(read, 1)) and told[0] != signal.SIGTERM:
            pass
        act()

    threading.Thread(target=listen, name="haulier-leave", daemon=True).start()


def end_with_parent() -> None:
    """A parent that dies, even by kill -9, takes this process along: else it would serve on unwatched."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="haulier-parent", daemon=True).start()


def _checked_port(settings: Settings) -> int:
    """The port to serve at. The server itself would share a taken one with its owner without a word."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(
                f"cannot serve at {settings.host} port {settings.port}: {error.strerror}; choose another port"
            ) from None
        return int(probe.getsockname()[1])


def _answers(settings: Settings) -> bool:
    try:
        socket.create_connection((settings.host, settings.port), timeout=1).close()
    except OSError:
        return False
    return True
