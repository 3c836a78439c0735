"""Both databases for the contract tests: a SQLite file, and a database on the session's PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.tracker import Tracker
from tests.contract.postgres import execute, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as folder:
        yield folder


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database."""
    name = f"t{uuid.uuid4().hex}"
    execute(postgres, f"CREATE DATABASE {name}")
    yield f"postgresql://haulier@/{name}?host={postgres}"
    execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(quick_folder: Path) -> str:
    return f"sqlite:///{quick_folder / 'haulier.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return found


@pytest.fixture
def tracker(url: str) -> Iterator[Tracker]:
    opened = Tracker.open(url)
    yield opened
    opened.close()
