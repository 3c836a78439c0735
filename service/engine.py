"""Engine: everything that runs behind the API or a notebook, opened, started and closed together.

Wiring only. Accepting and reading work from the moment it exists; workers come some seconds after `start`.
HTTP is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.store import open_store
from service.callbacks import CallbackRules
from service.cluster import Cluster, DaskCluster
from service.compute import LocalCompute
from service.dispatcher import Dispatcher
from service.errors import Unavailable
from service.jobs import Jobs
from service.runs import Limits
from service.settings import Settings
from service.tracker import HomeLock, Tracker
from service.webhooks import Sender, Signer

if TYPE_CHECKING:
    from pipelines.registry import Pipeline

log = structlog.get_logger()

_SWEEP = 60.0  # seconds between two looks for what may go


@dataclass(frozen=True, slots=True)
class Health:
    """What works right now. `workers` are the Dask worker processes last seen; None: it asks no cluster."""

    database: bool
    store: bool
    workers: int | None
    dispatching: bool


class Engine:
    """Opens database and store at once, `start` runs jobs. HomeInUse when another process has the home.

    With `dispatch=False` it only accepts and reads; another process's dispatcher does the work.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        dispatch: bool = True,
        pipelines: Mapping[str, Pipeline] | None = None,
        compute: LocalCompute | None = None,
    ) -> None:
        self.settings = settings
        self.cluster: Cluster | None = None
        self.lock: HomeLock | None = None
        self._dispatch, self._pipelines, self._compute = dispatch, pipelines, compute
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._closing = ExitStack()
        with ExitStack() as opening:  # whatever fails below, nothing stays open
            settings.home.mkdir(parents=True, exist_ok=True)
            if settings.database_url.startswith("sqlite"):
                self.lock = opening.enter_context(HomeLock.acquire(settings.home))
            self.tracker = Tracker.open(settings.database_url)
            opening.callback(self.tracker.close)
            self.tracker.listen()
            self.store = open_store(settings.store_url)
            self.jobs = Jobs(
                self.tracker,
                self.store,
                input_folders=settings.input_folders,
                ffmpeg=settings.ffmpeg,
                pipelines=pipelines,
                callbacks=CallbackRules(
                    enabled=settings.webhook_secret is not None, private=settings.webhook_allow_private
                ),
            )
            self._closing = opening.pop_all()

    @property
    def scheduler_address(self) -> str | None:
        """What an operator gives to `dask worker` to add one; None without a dispatcher."""
        if self.settings.scheduler:
            return self.settings.scheduler
        return self._compute.address if self._compute is not None else None

    def start(self) -> Engine:
        """Begin to run jobs; returns at once."""
        if self._dispatch and self._thread is None:
            if self.lock is not None:  # whoever had the home is gone, and its leases mean nothing
                self.tracker.expire_leases()
            self.cluster = cluster = self._connect()
            self._closing.callback(cluster.close)
            self.jobs.waiting.workers = cluster.workers
            dispatcher = self._dispatcher(cluster)
            self._thread = threading.Thread(target=dispatcher.run, name="haulier-dispatcher", daemon=True)
            self._closing.callback(self._stop, dispatcher, self._thread)
            self._thread.start()
            self._send_webhooks()
            # nobody else uploads into a home of our own: what lies there now, a dead process has left
            left = [stat.key for stat in self.store.list("uploads")] if self.lock is not None else []
            retain = threading.Thread(
                target=self._retain, args=(left,), name="haulier-retention", daemon=True
            )
            retain.start()
            self._closing.callback(self._stopping.set)
        return self

    def close(self) -> None:
        """Give running jobs back to the queue and end every thread and process; may be called twice."""
        self._closing.close()

    def __enter__(self) -> Engine:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def health(self) -> Health:
        try:
            self.tracker.ping()
            database = True
        except Unavailable:
            database = False
        workers = self.cluster.workers() if self.cluster is not None else None
        dispatching = self._thread is not None and self._thread.is_alive()
        return Health(database, self._store_answers(), workers, dispatching)

    def _connect(self) -> Cluster:
        if self.settings.scheduler:
            return DaskCluster(self.settings.scheduler, self.settings.store_url)
        compute = self._compute or LocalCompute(self.settings.workers, self.settings.home)
        self._compute = compute
        self._closing.callback(compute.close)
        compute.start()
        return DaskCluster(lambda: compute.address, self.settings.store_url)

    def _dispatcher(self, cluster: Cluster) -> Dispatcher:
        settings = self.settings
        return Dispatcher(
            self.tracker,
            cluster,
            self.store,
            pipelines=self._pipelines,
            limits=Limits(settings.job_seconds, settings.stall_seconds),
            lease=settings.lease_seconds,
            keep=timedelta(days=settings.keep_days),
            adoptable=bool(settings.scheduler),
        )

    def _send_webhooks(self) -> None:
        settings = self.settings
        if settings.webhook_secret is None:
            return
        signer = Signer.of(settings.webhook_secret)
        sender = Sender(
            self.tracker.outbox,
            signer,
            base_url=settings.base_url,
            private=settings.webhook_allow_private,
        )
        sender.start()
        self._closing.callback(sender.stop)

    def _retain(self, left: Sequence[str]) -> None:
        """Remove what is due, beside everything else; a sweep that fails is made up for by the next."""
        from service.retention import Retention  # brings Arrow: not before the service answers

        retention = Retention(
            self.tracker,
            self.store,
            keep_bytes=self.settings.keep_bytes,
            keep=timedelta(days=self.settings.keep_days),
            keep_versions=timedelta(days=self.settings.keep_version_days),
            left=left,
        )
        while True:
            try:
                retention.sweep()
            except Unavailable as error:
                log.warning("database not reachable", error=str(error))
            except Exception:
                log.exception("sweep failed")
            if self._stopping.wait(_SWEEP):
                return

    def _stop(self, dispatcher: Dispatcher, thread: threading.Thread) -> None:
        dispatcher.stop()
        thread.join(15)
        dispatcher.close()

    def _store_answers(self) -> bool:
        try:
            self.store.exists("results")
        except OSError:
            return False
        return True
