"""The notebook, run by a real kernel in both forms: over HTTP and with the engine inside.

`python -m tests.acceptance.test_notebook` runs it over HTTP and saves it with its outputs, to be committed.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.live import server

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_report.ipynb"


def run(values: dict[str, Any], folder: Path) -> nbformat.NotebookNode:
    """The notebook after a run in which the cell tagged "parameters" has these values."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    cell = next(each for each in notebook.cells if "parameters" in each.metadata.get("tags", ()))
    written, cell.source = cell.source, "\n".join(f"{name} = {value!r}" for name, value in values.items())
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    cell.source = written
    return notebook


def outputs(notebook: nbformat.NotebookNode, mime: str) -> list[str]:
    return [
        str(output.data[mime])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if mime in output.get("data", ())
    ]


def check(notebook: nbformat.NotebookNode) -> None:
    lines = outputs(notebook, "text/plain")
    cards = outputs(notebook, "text/html")
    done = [line for line in lines if "100 % complete" in line]
    titles = [line.partition(" █")[0] for line in done]
    assert titles == ["import into sample-sales", "yearly-sales", "aggregate"]
    assert all("█" * 24 in line for line in done)
    assert sum('<progress max="100" value="100"' in card and "100 % ·" in card for card in cards) == 3
    assert "True" in lines, "the cell that compares the report with pandas on the file"
    others = [o.output_type for cell in notebook.cells for o in cell.get("outputs", ())]
    assert set(others) <= {"display_data", "execute_result"}, "a clean run says nothing else"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HAULIER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HAULIER_WORKERS", "2")
    return tmp_path


def test_the_notebook_runs_over_http(home: Path) -> None:
    with server(2) as live:
        check(run({"url": live.url, "rows": 50_000}, home))


def test_the_notebook_runs_with_the_engine_inside(home: Path) -> None:
    check(run({"url": None, "rows": 50_000}, home))


def test_the_committed_notebook_is_a_finished_run_without_traces_of_a_machine() -> None:
    check(nbformat.read(NOTEBOOK, as_version=4))  # type: ignore[no-untyped-call]
    text = NOTEBOOK.read_text()
    assert not re.search(r"/(home|root|work|tmp|Users|var)/", text)
    assert "127.0.0.1:8480" in text


def main() -> None:
    os.chdir(NOTEBOOK.parent)
    with server(2) as live:
        live.wait_for_workers(2)
        notebook = run({"url": live.url, "rows": 200_000}, NOTEBOOK.parent)
    check(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]
    sys.stdout.write(f"saved {NOTEBOOK.name}\n")


if __name__ == "__main__":
    main()
