"""The tracker remembers: jobs and their history on SQLite or PostgreSQL. The one importer of SQLAlchemy."""

from service.eta import Run
from service.tracker.changes import Changes, Mark
from service.tracker.clock import SteadyClock, utcnow
from service.tracker.deliveries import Outbox
from service.tracker.lock import HomeInUse, HomeLock
from service.tracker.migrations import WrongSchema
from service.tracker.records import Page, ProgressUpdate
from service.tracker.tracker import Tracker
from service.tracker.workload import Work, Workload

__all__ = [
    "Changes",
    "HomeInUse",
    "HomeLock",
    "Mark",
    "Outbox",
    "Page",
    "ProgressUpdate",
    "Run",
    "SteadyClock",
    "Tracker",
    "Work",
    "Workload",
    "WrongSchema",
    "utcnow",
]
