"""Named places at which a process leaves as if by kill -9. Put around the product's methods from outside."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Leave = Callable[[], None]


def install(name: str) -> None:
    """Arm one place; it acts at the first call that gets there. KeyError for an unknown name."""
    PLACES[name](lambda: os._exit(137))


def _around(
    owner: Any, method: str, leave: Leave, *, before: bool, when: Callable[..., bool] = lambda *_: True
) -> None:
    real = getattr(owner, method)

    @functools.wraps(real)
    def armed(*args: Any, **named: Any) -> Any:
        if before:
            leave()
        value = real(*args, **named)
        if when(value, *args):
            leave()
        return value

    setattr(owner, method, armed)


def _tracker(method: str, *, before: bool = False, when: Callable[..., bool] = lambda *_: True) -> Any:
    def arm(leave: Leave) -> None:
        from service.tracker import Tracker

        _around(Tracker, method, leave, before=before, when=when)

    return arm


def _cluster(method: str) -> Any:
    def arm(leave: Leave) -> None:
        from service.cluster import DaskCluster

        _around(DaskCluster, method, leave, before=False)

    return arm


def _publish(*, before: bool) -> Any:
    def arm(leave: Leave) -> None:
        import dataclasses

        from pipelines.registry import PIPELINES

        for kind, pipeline in list(PIPELINES.items()):
            real = pipeline.publish

            def armed(*args: Any, real: Any = real) -> Any:
                if before:
                    leave()
                value = real(*args)
                leave()
                return value

            PIPELINES[kind] = dataclasses.replace(pipeline, publish=armed)

    return arm


def _upload(leave: Leave) -> None:
    from pipelines.store import Store

    real = Store.put

    @contextmanager
    def put(self: Store, key: str) -> Iterator[Any]:
        with real(self, key) as sink:
            yield sink
        if key.startswith("uploads/"):
            leave()

    Store.put = put  # type: ignore[method-assign]


def _has_done(value: Any, tracker: Any, updates: Any) -> bool:
    return any(each.done > 0 for each in updates)


PLACES: dict[str, Callable[[Leave], None]] = {
    "upload-renamed": _upload,
    "before-accept": _tracker("accept", before=True),
    "after-accept": _tracker("accept"),
    "leased": _tracker("lease", when=lambda jobs, *_: bool(jobs)),
    "plan-submitted": _cluster("plan"),
    "planned": _tracker("planned"),
    "work-submitted": _cluster("start"),
    "first-progress": _tracker("progress", when=_has_done),
    "sealed": _tracker("seal"),
    "before-publish": _publish(before=True),
    "published": _publish(before=False),
    "before-succeed": _tracker("succeed", before=True),
    "after-succeed": _tracker("succeed"),
}
AT_API = ("upload-renamed", "before-accept", "after-accept")
AT_DISPATCHER = tuple(name for name in PLACES if name not in AT_API)
