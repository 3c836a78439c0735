"""What `haulier doctor` finds: the parts an installation is made of, and what to do about those missing.

Looks and reports; starts nothing, changes nothing.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from dataclasses import dataclass

from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One part. `optional`: the service is whole without it."""

    name: str
    good: bool
    said: str
    optional: bool = False


def findings(settings: Settings) -> list[Finding]:
    """All parts, the most basic first."""
    return [_python(), _home(settings), _database(settings), *_video(settings)]


def _python() -> Finding:
    cores = os.cpu_count() or 1
    return Finding("Python", True, f"{sys.version.split()[0]}, {cores} core{'' if cores == 1 else 's'}")


def _home(settings: Settings) -> Finding:
    folder = settings.home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    good = os.access(folder, os.W_OK)
    fix = "" if good else f", and {folder} cannot be written; set HAULIER_HOME"
    return Finding("Home", good, f"{settings.home}{fix}")


def _database(settings: Settings) -> Finding:
    if not settings.database_url.startswith("sqlite"):
        return Finding("Database", True, f"PostgreSQL at {settings.database_url.rpartition('@')[2]}")
    return Finding("Database", True, f"SQLite {sqlite3.sqlite_version}")


def _video(settings: Settings) -> list[Finding]:
    from pipelines.video import sandbox, tool

    try:
        found = tool.find(settings.ffmpeg)
    except tool.NoTool as error:
        return [Finding("ffmpeg", False, error.detail, optional=True)]
    lacking = [name for name in tool.CODECS if name not in found.codecs]
    fonts = "subtitles" if "subtitles" in found.filters else "no subtitles"
    codecs = ", ".join(found.codecs) or "none of ours"
    codecs += f" (not {', '.join(lacking)})" if lacking else ""
    fence = sandbox.find()
    return [
        Finding("ffmpeg", True, f"{found.version} from {found.origin}, {found.path}"),
        Finding("Codecs", bool(found.codecs), f"{codecs}; {fonts}"),
        Finding(
            "Sandbox",
            fence is not None,
            f"bubblewrap, {fence}" if fence else "no bubblewrap that works; ffmpeg runs with limits alone",
            optional=True,
        ),
    ]
