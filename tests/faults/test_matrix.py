"""No row of the fault matrix is forgotten, and none names a test that is not there."""

from __future__ import annotations

import ast

import pytest

from tests.faults.matrix import ROWS, Outcome, table
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


def test_the_table_tells_the_worst_of_each_test_and_why_a_row_is_left_out() -> None:
    found = Outcome()
    for verdict, seconds in (("passed", 1.0), ("failed", 2.0), ("passed", 0.5)):
        found.add(verdict, seconds)
    name = ROWS[11].tests[0]
    lines = list(table({name: found}))
    assert f" 11  failed      3.5 s  {ROWS[11].fault} | {name.split('::test_')[1]}" in lines
    assert any(line.startswith(" 38  left out") and "webhooks" in line for line in lines)
    assert any(line.startswith("  9  not run") for line in lines)
    assert {int(line[:3]) for line in lines} == set(ROWS)
