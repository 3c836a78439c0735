"""What tables, execution log and disk say of jobs, held against the promises named in `checker`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.faults.history import ENDED

Row = Mapping[str, Any]
MOST_STRIKES = 2
_MOVES = {  # event: (states it may come from, state it leads to)
    "accepted": ({None}, "accepted"),
    "started": ({"accepted", "running"}, "running"),
    "requeued": ({"running", "accepted"}, "accepted"),
    "successful": ({"running", "accepted"}, "successful"),
    "failed": ({"running", "accepted"}, "failed"),
    "dismissed": ({"running", "accepted"}, "dismissed"),
}


@dataclass
class Verdict:
    """The four words of a queue's checker as counts, and every broken promise as a line."""

    accepted: int = 0
    lost: int = 0
    unexpected: int = 0
    duplicated: int = 0  # parts that ran more than once for an allowed reason: not promised otherwise
    recovered: int = 0  # submissions without an answer that did happen
    violations: list[str] = field(default_factory=list)

    def broken(self, name: str, said: str) -> None:
        self.violations.append(f"{name}: {said}")


def ends(verdict: Verdict, table: Mapping[str, Row]) -> None:
    for job, row in table.items():
        if row["state"] not in ENDED:
            verdict.lost += 1
            verdict.broken("I11", f"job {job} is still {row['state']} ({row['phase']}: {row['message']})")
        if row["strikes"] > MOST_STRIKES:
            verdict.broken("I10", f"job {job} had {row['strikes']} strikes")
        if (row["artifact"] is not None) != (row["state"] == "successful"):
            verdict.broken("I6", f"job {job} is {row['state']} with artifact {row['artifact']}")
        if row["state"] == "failed" and not (row["error"] or {}).get("code"):
            verdict.broken("I2", f"job {job} failed without saying why")
        path = (row["artifact"] or {}).get("path", "")
        epoch = row.get("run_epoch") or row["epoch"]
        if path.startswith(f"results/{job}/") and path.split("/")[2] != str(epoch):
            verdict.broken("I3", f"job {job} of epoch {epoch} shows the artifact of another: {path}")


def moves(verdict: Verdict, events: Iterable[Row], table: Mapping[str, Row]) -> dict[str, list[Row]]:
    history: dict[str, list[Row]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event["sequence"]):
        history[event["job_id"]].append(event)
    for job, found in history.items():
        state, epoch = None, 0
        for event in found:
            if event["name"] == "started":
                if event["data"]["epoch"] <= epoch:
                    verdict.broken("I4", f"job {job} went from epoch {epoch} to {event['data']['epoch']}")
                epoch = event["data"]["epoch"]
            if event["name"] in _MOVES:
                sources, target = _MOVES[event["name"]]
                if state not in sources:
                    verdict.broken("I4", f"job {job} went from {state} to {target}")
                state = target
        if job in table and table[job]["state"] != state:
            verdict.broken("I15", f"job {job} is {table[job]['state']}, its events say {state}")
    return history


def executions_of(
    verdict: Verdict,
    executions: Sequence[Row],
    table: Mapping[str, Row],
    history: Mapping[str, list[Row]],
    harmed: Collection[int],
) -> None:
    runs: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    hurt: dict[tuple[Any, ...], float] = {}  # when a worker that was harmed later first worked for a run
    for line in executions:
        if line["pid"] in harmed:
            hurt.setdefault((line["job"], line["epoch"]), line["at"])
        if line["event"] == "start" and line["part"] != "combine":
            runs[line["job"], line["epoch"], line["part"]].append(line)
    for (job, epoch, part), starts in runs.items():
        epochs = {e["data"]["epoch"] for e in history.get(job, ()) if e["name"] == "started"}
        if job not in table or epoch not in epochs:
            verdict.broken("I5", f"part {part} of job {job} ran in epoch {epoch}, which nobody leased")
        for first, second in pairwise(starts):
            if (
                hurt.get((job, epoch), second["at"]) >= second["at"]
            ):  # nobody died who may have had its result
                where = f"in {first['pid']} and {second['pid']}"
                verdict.broken("I5", f"part {part} of job {job} ran twice in epoch {epoch}: {where}")
    parts = Counter((job, part) for job, _, part in runs for _ in runs[job, _, part])
    verdict.duplicated = sum(count - 1 for count in parts.values())


def files_of(
    verdict: Verdict,
    table: Mapping[str, Row],
    files: Collection[str],
    damaged: Collection[str],
    digests: Mapping[str, str],
) -> None:
    artifacts = [row["artifact"] for row in table.values() if row["artifact"] and not row.get("removed")]
    named = {artifact["path"]: artifact["sha256"] for artifact in artifacts}
    for path in sorted(named):
        if any(damage in path for damage in damaged):
            continue
        if path not in files:
            verdict.broken("I13", f"{path} is named by a job and is not there")
        elif digests.get(path, named[path]) != named[path]:
            verdict.broken("I6", f"{path} has other bytes than its job says")
    given = [each for row in table.values() for each in row["spec"].get("files", ())]
    sources = {str(each["source"].get("store")) for each in given}
    for path in sorted(set(files) - set(named) - sources):
        if path.startswith(("results/", "scratch/", "uploads/", "datasets/")) or path.endswith(".part"):
            verdict.broken("I13", f"{path} is needed by nobody")
