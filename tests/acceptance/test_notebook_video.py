"""The notebook about video, run by a real kernel over HTTP; and as it is committed.

`python -m tests.acceptance.test_notebook_video` runs it and saves it with its outputs, to be committed.
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

from tests.acceptance.test_notebook import outputs
from tests.live import server

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04_video.ipynb"


def run(values: dict[str, Any], folder: Path) -> nbformat.NotebookNode:
    """The notebook after a run in which the cell tagged "parameters" has these values."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    cell = next(each for each in notebook.cells if "parameters" in each.metadata.get("tags", ()))
    written, cell.source = cell.source, "\n".join(f"{name} = {value!r}" for name, value in values.items())
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()
    cell.source = written
    return notebook


def check(notebook: nbformat.NotebookNode) -> None:
    lines = outputs(notebook, "text/plain")
    done = [line.partition(" █")[0] for line in lines if "100 % complete" in line]
    assert done == ["transcode", "sprite"]
    assert "True" in lines, "the cell that counts the frames again"
    assert len(outputs(notebook, "image/jpeg")) == 1 and len(outputs(notebook, "image/gif")) == 1
    assert any("'crf' is 99" in line for line in lines)
    others = [o.output_type for cell in notebook.cells for o in cell.get("outputs", ())]
    assert set(others) <= {"display_data", "execute_result"}, "a clean run says nothing else"


@pytest.mark.slow
def test_the_video_notebook_runs_over_http(tmp_path: Path) -> None:
    with server(2) as live:
        check(run({"url": live.url}, tmp_path))


def test_the_committed_video_notebook_is_a_finished_run_without_traces_of_a_machine() -> None:
    check(nbformat.read(NOTEBOOK, as_version=4))  # type: ignore[no-untyped-call]
    assert not re.search(r"/(home|root|work|tmp|Users|var)/", NOTEBOOK.read_text())


def main() -> None:
    os.chdir(NOTEBOOK.parent)
    with server(2) as live:
        live.wait_for_workers(2)
        notebook = run({"url": live.url}, NOTEBOOK.parent)
    check(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]
    sys.stdout.write(f"saved {NOTEBOOK.name}\n")


if __name__ == "__main__":
    main()
