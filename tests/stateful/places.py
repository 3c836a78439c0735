"""Where the machine's tracker lives: a SQLite file or a PostgreSQL database, with a clock to be moved."""

from __future__ import annotations

import itertools
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.tracker import Tracker


class Place:
    """A database that can be emptied, whose time can pass, and whose process can be killed."""

    def open(self) -> Tracker:
        raise NotImplementedError

    def crash(self, tracker: Tracker) -> Tracker:
        raise NotImplementedError

    def advance(self, tracker: Tracker, seconds: float) -> None:
        raise NotImplementedError

    def moment(self) -> datetime:
        raise NotImplementedError


class SqlitePlace(Place):
    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()
        self._template = folder / "empty.db"
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        Tracker.open(f"sqlite:///{self._template}").close()

    def open(self) -> Tracker:
        self._file = self._folder / f"{next(self._numbers)}.db"
        shutil.copy(self._template, self._file)
        return Tracker.open(f"sqlite:///{self._file}", clock=self.moment)

    def crash(self, tracker: Tracker) -> Tracker:
        """What is on the disk at this moment is all that the next process gets."""
        file = self._folder / f"{next(self._numbers)}.db"
        for suffix in ("", "-wal"):
            source = Path(f"{self._file}{suffix}")
            if source.exists():
                shutil.copy(source, f"{file}{suffix}")
        tracker.close()
        self._file = file
        return Tracker.open(f"sqlite:///{file}", clock=self.moment)

    def advance(self, tracker: Tracker, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def moment(self) -> datetime:
        return self._now


class PostgresPlace(Place):
    """Its clock is the server's, which nobody sets: what is stored moves into the past instead."""

    def __init__(self, url: str) -> None:
        self._url = url

    def open(self) -> Tracker:
        tracker = Tracker.open(self._url)
        tracker.database.write(lambda c: c.exec_driver_sql("TRUNCATE job, event, callback, delivery"))
        return tracker

    def crash(self, tracker: Tracker) -> Tracker:
        tracker.close()
        return Tracker.open(self._url)

    def advance(self, tracker: Tracker, seconds: float) -> None:
        passed = f"interval '{seconds} seconds'"
        shift = f"UPDATE job SET lease_until = lease_until - {passed}, expires = expires - {passed}"
        tracker.database.write(lambda connection: connection.exec_driver_sql(shift))

    def moment(self) -> datetime:
        return datetime.now(UTC)
