"""What all tests may use: a local Dask cluster of two workers, one the session shares or one of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from service.compute import LocalCompute

ROOT = Path(__file__).parents[1]
_ROOM = 1 << 30


@pytest.fixture(scope="session")
def compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCompute]:
    """Two workers that know this checkout. Leave it as you found it: no kills."""
    with LocalCompute(2, tmp_path_factory.mktemp("compute"), python_path=[ROOT]) as started:
        yield started


@pytest.fixture
def own_compute(tmp_path: Path) -> Iterator[LocalCompute]:
    """Two workers of a test's own, to be killed at will."""
    with LocalCompute(2, tmp_path / "home", python_path=[ROOT]) as started:
        yield started


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is room, for databases whose syncs are not the point: they cost most."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < _ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="haulier-") as folder:
        yield Path(folder)


# the machine may be busy: how long an example takes proves nothing
settings.register_profile("haulier", deadline=None)
settings.load_profile("haulier")
