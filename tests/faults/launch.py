"""The real service with what a fault test needs put on from outside: `python -m tests.faults.launch serve`.

Nothing in the product knows of this. Environment variables say what to add:
FAILPOINT=NAME   leave with os._exit(137) where tests.faults.failpoints says
MUTANT=NAME      break a promise on purpose (tests.faults.mutants): the harness must notice
GRACE=SECONDS    sweep each half second what has been an orphan for so long, instead of for an hour
CLOCK=FILE       shift what this process takes for the wall clock by the seconds in the file
"""

from __future__ import annotations

import os
import sys
from typing import Any


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["serve"]:
        _replace_app()
    else:
        wire()
    from service.cli import run

    sys.exit(run(arguments))


def wire() -> None:
    """Put everything on that the environment asks for; before the service opens anything."""
    from tests.faults import clock, failpoints, mutants, toy

    toy.install()
    if path := os.environ.get("CLOCK"):
        clock.install(path)
    if grace := os.environ.get("GRACE"):
        _sweep_soon(float(grace))
    if name := os.environ.get("MUTANT"):
        mutants.install(name)
    if name := os.environ.get("FAILPOINT"):
        failpoints.install(name)


def application() -> Any:
    wire()
    from service.app import application as real

    return real()


def accepting() -> Any:
    wire()
    from service.app import accepting as real

    return real()


def _sweep_soon(grace: float) -> None:
    """Tests cannot wait an hour, and a sweep that comes all the time meets more."""
    import functools

    import service.engine
    import service.retention

    service.engine._SWEEP = 0.5
    real: Any = service.retention.Retention
    service.retention.Retention = functools.partial(real, grace=grace)  # type: ignore[misc,assignment]


def _replace_app() -> None:
    """The server's own process imports the app by name; let that name be ours."""
    import granian

    real: Any = granian.Granian

    def ours(target: str, **options: Any) -> Any:
        return real(target.replace("service.app:", "tests.faults.launch:"), **options)

    granian.Granian = ours  # type: ignore[assignment,misc]


if __name__ == "__main__":
    main(sys.argv[1:])
