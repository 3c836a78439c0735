"""Retention: what may go, goes: results past their time, uploads nobody needs, what a crash left behind.

A result goes when it expires, or oldest first while all results and kept partials together are too many
bytes; its job then says so (410). Whatever no living job refers to is an orphan: it goes once it has been
one, unchanged, for `grace` seconds, so that an upload under way or a run just begun is never touched.
Repeating a sweep, or sweeping from several processes, does no harm. When to sweep is the engine's business.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from pipelines.datasets.model import is_dataset_name
from pipelines.datasets.strays import Committed, written_files
from pipelines.datasets.vacuum import Vacuum
from pipelines.imports.rejects import FILE as REJECTS
from pipelines.store import Stat, Store
from service.model import TERMINAL, Job, JobState
from service.tracker import Tracker

log = structlog.get_logger()

GRACE = 3600.0
_WITH_UPLOADS = ("import", "video")
_BATCH = 200  # results removed between two looks
_KEPT_FOR = 24 * 3600.0  # seconds that partials of a run are worth keeping
_RETRY = 24 * 3600.0  # seconds after a failure in which its upload may be wanted again


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep removed: results, orphans (keys in the store) and kept partials."""

    results: int
    orphans: int
    partials: int


class Retention:
    """`keep_bytes` is for results and kept partials together, `keep` for what failed imports rejected,
    `keep_versions` for versions of datasets since another took over. `left` are keys that a process which is
    known to be dead had left: as orphans they go at once. Belongs to one thread."""

    def __init__(
        self,
        tracker: Tracker,
        store: Store,
        *,
        keep_bytes: int,
        keep: timedelta = timedelta(days=7),
        keep_versions: timedelta = timedelta(days=30),
        grace: float = GRACE,
        left: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker, self._store = tracker, store
        self._keep_bytes, self._grace, self._clock = keep_bytes, grace, clock
        self._keep, self._keep_versions = keep, keep_versions
        self._left, self._committed, self._vacuum = frozenset(left), Committed(store), Vacuum(store)
        self._seen: dict[str, tuple[int, float]] = {}  # orphan: its bytes, and since when it has had them

    def sweep(self) -> Swept:
        """Remove what is due. Raises Unavailable and OSError; the next sweep goes on."""
        results = sum(self._remove(job) for job in self._tracker.expired(_BATCH))
        partials, more = self._trim()
        orphans = self._sweep_orphans()
        swept = Swept(results + more, orphans, partials)
        if swept != Swept(0, 0, 0):
            log.info("swept", results=swept.results, orphans=orphans, partials=partials)
        return swept

    def _remove(self, job: Job) -> bool:
        """The row first: who reads it before sees the file, who reads it after is told that it went."""
        if not self._tracker.remove_result(job.id):
            return False
        self._store.delete(f"results/{job.id}")
        return True

    def _trim(self) -> tuple[int, int]:
        """Partials first, they only save time; then the oldest results. (partials, results) removed."""
        kept = list(self._store.list("kept"))
        over = self._tracker.result_bytes() + sum(stat.bytes for stat in kept) - self._keep_bytes
        partials = results = 0
        for stat in kept:
            if over > 0 or self._due(stat, _KEPT_FOR):
                self._delete(stat.key)
                over, partials = over - stat.bytes, partials + 1
        while over > 0 and (oldest := self._tracker.oldest_results(_BATCH)):
            for job in oldest:
                if over > 0 and self._remove(job):
                    over, results = over - (job.artifact.bytes if job.artifact else 0), results + 1
        return partials, results

    # --- orphans

    def _sweep_orphans(self) -> int:
        orphans = list(self._orphans())
        gone = 0
        for stat in orphans:
            if self._due(stat, self._grace):
                self._delete(stat.key)
                gone += 1
        now, known = self._clock(), {stat.key for stat in orphans}
        longest = max(self._grace, _KEPT_FOR)
        self._seen = {
            key: seen for key, seen in self._seen.items() if key in known or now - seen[1] < longest
        }
        return gone

    def _due(self, stat: Stat, after: float) -> bool:
        """Whether this has been here, with these bytes, for so many seconds, or since a dead process."""
        if stat.key in self._left:
            return True
        now = self._clock()
        size, since = self._seen.get(stat.key, (-1, now))
        if size != stat.bytes:
            since = now
        self._seen[stat.key] = (stat.bytes, since)
        return now - since >= after

    def _delete(self, key: str) -> None:
        self._store.delete(key)
        self._store.prune(key)
        self._seen.pop(key, None)

    def _orphans(self) -> Iterator[Stat]:
        specs = [
            spec for kind in _WITH_UPLOADS for spec in self._tracker.active_specs(kind, failed_within=_RETRY)
        ]
        needed = {each["source"].get("store") for spec in specs for each in spec.get("files", [spec])}
        yield from (stat for stat in self._store.list("uploads") if f"{_folder(stat.key)}/data" not in needed)
        scratch = {stat: stat.key.split("/")[1] for stat in self._store.list("scratch")}
        yield from (stat for stat, job, _ in self._without_work(scratch))
        yield from self._orphaned_results()
        written = {each.stat: each for each in written_files(self._store)}
        for stat, _, _ in self._without_work({stat: each.job_id for stat, each in written.items()}):
            if self._committed.lacks(written[stat]):
                yield stat
        yield from self._superseded()

    def _superseded(self) -> Iterator[Stat]:
        """Files of which only versions are made that are too old, and that no job reads."""
        specs = [*self._tracker.active_specs("report"), *self._tracker.active_specs("import")]
        pinned = {pin for spec in specs for pin in _pins(spec)}
        before = (datetime.now(UTC) - self._keep_versions).timestamp()
        for name in filter(is_dataset_name, self._store.children("datasets")):
            versions = {version for dataset, version in pinned if dataset == name}
            yield from self._vacuum.superseded(name, before, versions)

    def _wanted(self, stat: Stat, job_id: str) -> bool:
        """Whether this is what a failed import rejected, and somebody may still want to see it."""
        if not stat.key.endswith(f"/{REJECTS}"):
            return False
        job = self._tracker.get(job_id)
        failed = job.finished if job is not None and job.state is JobState.FAILED else None
        return failed is not None and datetime.now(UTC) - failed < self._keep

    def _orphaned_results(self) -> Iterator[Stat]:
        """Results of jobs that have none, or none any more, and what other runs of successful jobs left."""
        kept: dict[str, str] = {}
        results = {stat: stat.key.split("/")[1] for stat in self._store.list("results")}
        runs = {"/".join(stat.key.split("/")[:3]) for stat in results}
        several = {job for job, count in Counter(run.split("/")[1] for run in runs).items() if count > 1}
        idle = list(self._without_work(results))
        keepers = self._keepers(job for _, job, state in idle if state is JobState.SUCCESSFUL)
        for stat, job, _ in idle:
            if job not in keepers:  # also when a crash came between its row and its file
                if not self._wanted(stat, job):
                    yield stat
            elif job in several or stat.key.endswith(".part"):
                if job not in kept:
                    found = self._tracker.get(job)
                    kept[job] = found.artifact.path if found is not None and found.artifact else ""
                if stat.key != kept[job]:
                    yield stat

    def _without_work(self, jobs: Mapping[Stat, str]) -> Iterator[tuple[Stat, str, JobState | None]]:
        """Objects whose job has ended or was never accepted."""
        states = self._states(jobs.values())
        for stat, job in jobs.items():
            state = states.get(job)
            if state is None or state in TERMINAL:
                yield stat, job, state

    def _states(self, jobs: Iterable[str]) -> dict[str, JobState]:
        found: dict[str, JobState] = {}
        for ids in _batches(jobs):
            found |= self._tracker.states(ids)
        return found

    def _keepers(self, jobs: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for ids in _batches(jobs):
            found |= self._tracker.keepers(ids)
        return found


def _batches(jobs: Iterable[str]) -> Iterator[list[str]]:
    ids = sorted(set(jobs))
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


def _pins(spec: Any) -> Iterator[tuple[str, int]]:
    """The versions of datasets that a spec names, however deep."""
    if isinstance(spec, Mapping):
        name, version = spec.get("dataset"), spec.get("version")
        if isinstance(name, str) and isinstance(version, int):
            yield name, version
        spec = spec.values()
    elif not isinstance(spec, list | tuple):
        return
    for each in spec:
        yield from _pins(each)


def _folder(key: str) -> str:
    return "/".join(key.split("/")[:2])
