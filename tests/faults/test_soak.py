"""A minute of the soak on each database; ten are `make soak`."""

from __future__ import annotations

import pytest

from tests.faults.soak import soak


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_short_soak_is_clean(database: str) -> None:
    """Row 40."""
    verdict, figures = soak(1.0, 40, database)
    assert not verdict.violations, verdict.violations
    assert verdict.accepted > 20 and figures["kills"] >= 2
