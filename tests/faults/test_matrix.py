"""No row of the fault matrix is forgotten, and none names a test that is not there."""

from __future__ import annotations

import ast

import pytest

from tests.faults.matrix import ROWS
from tests.faults.site import ROOT


def test_every_row_is_there() -> None:
    assert list(ROWS) == list(range(1, 41))
    assert all(row.tests or row.reason for row in ROWS.values())


@pytest.mark.parametrize("number", [number for number, row in ROWS.items() if row.tests])
def test_the_tests_of_a_row_exist(number: int) -> None:
    for name in ROWS[number].tests:
        file, function = name.split("::")
        defined = {
            node.name
            for node in ast.parse((ROOT / file).read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        assert function in defined, name
