"""A workshop to import in, for every test here that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.importing import Workshop


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "home")
