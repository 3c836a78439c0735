"""Soak: random jobs and random kills from a printed seed, then one question: was anything lost?

`python -m tests.faults.soak --minutes 10 --seed 1 --database postgresql`. Exit code 1 on any broken promise.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import psutil

from tests.faults.embedded import Embedded
from tests.faults.history import ENDED
from tests.faults.ledger import Verdict
from tests.faults.load import Load
from tests.faults.nemesis import Nemesis
from tests.faults.processes import marked
from tests.faults.scaled import Scaled
from tests.faults.site import Site

QUIET = 20.0  # seconds without faults, for the pace before and after
RECOVERY = 30.0  # seconds after the last fault in which to come back


def soak(
    minutes: float, seed: int, database: str, logs: Path | None = None
) -> tuple[Verdict, dict[str, Any]]:
    """What the checker says, and the figures to print. `logs` is where all logs go in the end."""
    site: Site = Embedded() if database == "sqlite" else Scaled(servers=2, dispatchers=2)
    try:
        site.restore()
        load = Load(site, seed)
        site.reference = load.reference
        load.prepare()
        load.start()
        time.sleep(QUIET)
        began, nemesis = time.monotonic(), Nemesis(site, seed)
        nemesis.start()
        while time.monotonic() < began + minutes * 60 and nemesis.error is None:
            time.sleep(0.5)
        nemesis.stop()
        ended = time.monotonic()
        site.restore()
        time.sleep(max(0.0, ended + RECOVERY + QUIET - time.monotonic()))
        load.stop()
        verdict = site.verdict(drain=180, settle=30)
        verdict.violations += load.misfits()
        verdict.violations += [f"a user gave up: {said}" for said in load.gave_up]
        if nemesis.error is not None:
            verdict.broken("harness", f"the nemesis broke: {nemesis.error!r}")
        figures = {
            "seed": seed,
            "database": database,
            "seconds": round(ended - began),
            "accepted": verdict.accepted,
            "asked": dict(load.submitted),
            "kills": nemesis.kills,
            "faults": dict(sorted(nemesis.counts.items())),
            "lost": verdict.lost,
            "unexpected": verdict.unexpected,
            "duplicatedParts": verdict.duplicated,
            "recovered": verdict.recovered,
            "ends": dict(Counter(row["state"] for row in site.rows())),
            "errors": dict(
                Counter((row["error"] or {}).get("code", "") for row in site.rows() if row["error"])
            ),
            "attempts": dict(Counter(row["strikes"] + 1 for row in site.rows())),
            "pace": pace(load.ended, began, ended),
            **leaks(site),
        }
        verdict.violations += [f"left behind: {line}" for line in figures["processesLeft"]]
        figures["explained"] = explained(site)
        return verdict, figures
    finally:
        if logs is not None:
            shutil.copytree(site.logs, logs, dirs_exist_ok=True)
            if (site.home / "logs").exists():
                shutil.copytree(site.home / "logs", logs, dirs_exist_ok=True)
        site.close()


def explained(site: Site) -> list[str]:
    """What logs and events say of jobs that did not end, or ended as nobody foresaw."""
    odd = [
        row
        for row in site.rows()
        if row["state"] not in ENDED or (row["error"] or {}).get("code") == "internal"
    ]
    said = [line for node in site.nodes for line in node.text().splitlines()]
    found: list[str] = []
    for row in odd:
        events = [
            f"{event['name']} {event['data']}" for event in site.events() if event["job_id"] == row["id"]
        ]
        found.append(f"{row['id']} {row['type']} {row['state']}: {'; '.join(events)}"[:1500])
        found += [line[:4000] for line in said if row["id"] in line][-8:]
    return found


def pace(ends: list[float], began: float, ended: float) -> dict[str, Any]:
    """Jobs a second that users saw end well: before the faults, under fire, 30 s after the last."""

    def rate(low: float, high: float) -> float:
        return sum(low <= end < high for end in ends) / (high - low)

    before = rate(began - QUIET + 5, began)
    after = rate(ended + RECOVERY, ended + RECOVERY + QUIET)
    return {
        "before": round(before, 2),
        "underFire": round(rate(began, ended), 2),
        "30sAfter": round(after, 2),
        "ratio": round(after / before, 2) if before else None,
    }


def leaks(site: Site) -> dict[str, Any]:
    """Stop all in order; what is still there was forgotten."""
    memory = {process.pid: process.memory_info().rss >> 20 for process in marked(site.mark)}
    sessions = None
    if isinstance(site, Scaled):
        sessions = site.query("SELECT count(*) AS n FROM pg_stat_activity WHERE client_port = -1")[0]["n"]
        for node in (*site.dispatchers, *site.servers):
            node.signal(15)
        for node in (*site.dispatchers, *site.servers):
            node.wait(40)
        for node in (*site.nannies, *site.schedulers):
            node.leave()
    else:
        assert isinstance(site, Embedded)
        site.terminate()
    left = [" ".join(_command(process))[:120] for process in marked(site.mark)]
    return {"processesLeft": left, "largestProcessMiB": max(memory.values()), "databaseSessions": sessions}


def _command(process: psutil.Process) -> list[str]:
    try:
        return [str(process.pid), *process.cmdline()]
    except psutil.Error:
        return [str(process.pid)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Random jobs, random kills; exit 1 when a promise broke.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--logs", type=Path, help="a folder to copy all logs to")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing it started may stay
    click.echo(f"seed {given.seed}, {given.database}, {given.minutes:g} minutes")
    verdict, figures = soak(given.minutes, given.seed, given.database, given.logs)
    click.echo(json.dumps(figures, indent=2))
    for line in verdict.violations:
        click.echo(line)
    click.echo("clean" if not verdict.violations else f"{len(verdict.violations)} promises broken")
    sys.exit(1 if verdict.violations else 0)


if __name__ == "__main__":
    main()
