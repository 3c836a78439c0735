"""All figures about faults in one go, each a short table: `python -m tests.faults.measure`.

`measure cancel pace --database sqlite` gives some of them. Prints as it goes; judges nothing. Wants a quiet
machine: the load before each table is printed beside it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable

import click

from tests.faults.backlog import MANY, queue
from tests.faults.embedded import Embedded
from tests.faults.figures import Table, again, cancel, pace
from tests.faults.scaled import Scaled
from tests.faults.site import Site

FIGURES: dict[str, Callable[[Site], Table]] = {"cancel": cancel, "again": again, "pace": pace, "queue": queue}
MAKE: dict[str, Callable[[], Site]] = {
    "sqlite": Embedded,
    "postgresql": lambda: Scaled(servers=2, dispatchers=2),
}


def measure(what: str, database: str, many: int) -> None:
    """One table, on a site of its own."""
    load, began = os.getloadavg()[0], time.monotonic()
    site = MAKE[database]()
    try:
        site.restore()
        found = queue(site, many) if what == "queue" else FIGURES[what](site)
    finally:
        site.close()
    click.echo(f"\n{what}, {database} (load before {load:.1f}; {time.monotonic() - began:.0f} s)")
    for line in found.lines():
        click.echo(line)


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures about faults.")
    names = [*FIGURES, []]  # none at all is a choice, too
    parser.add_argument("what", nargs="*", choices=names, metavar="|".join(FIGURES), help="default: all")
    parser.add_argument("--database", choices=[*MAKE, "both"], default="both")
    parser.add_argument("--many", type=int, default=MANY, help="jobs in the long queue")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing it started may stay
    for what in given.what or FIGURES:
        for database in MAKE if given.database == "both" else [given.database]:
            measure(what, database, given.many)


if __name__ == "__main__":
    main()
