"""Was a promise broken? Pure: from what clients saw, what the tables say, what ran and what lies on the disk.

Names of findings follow the invariants of the project: I1 accepted means there, I2 nothing lost or unexpected,
I3 one artifact of the right epoch, I4 legal moves, I5 no part twice, I6 artifact iff successful and its bytes
right, I7 progress never falls, I8 canceled in the queue never starts, I9 one key one job, I10 bounded attempts,
I11 nothing active at the end, I13 no file that nobody needs. No search is needed: ids are unique.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.history import ENDED, Call

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


def check(
    calls: Sequence[Call],
    rows: Iterable[Row],
    events: Iterable[Row],
    executions: Sequence[Row],
    files: Collection[str],
    *,
    harmed: Collection[int] = (),
    reference: Callable[[Row], bytes | None] = lambda row: None,
    damaged: Collection[str] = (),
) -> Verdict:
    """`harmed` are processes that faults touched: their parts may run again. `damaged` jobs had their file hurt."""
    verdict, table = Verdict(), {row["id"]: row for row in rows}
    _submissions(verdict, calls, table)
    _polls(verdict, calls)
    _ends(verdict, table)
    history = _moves(verdict, events, table)
    _executions(verdict, executions, table, history, harmed)
    _cancels(verdict, calls, executions, history)
    _bytes(verdict, calls, table, reference, damaged)
    _files(verdict, table, files, damaged)
    return verdict


def _submissions(verdict: Verdict, calls: Sequence[Call], table: Mapping[str, Row]) -> None:
    attempts = [call for call in calls if call.op == "submit"]
    acked: dict[str, str | None] = {}
    of_key: dict[str, tuple[Any, str]] = {}
    for call in attempts:
        if call.type != "ok" or call.status != 202:
            continue
        job = call.answer["id"]
        acked[job] = call.key
        if job not in table:
            verdict.broken("I1", f"job {job} was accepted and is in no table")
            verdict.lost += 1
        if call.key is not None:
            body, first = of_key.setdefault(call.key, (call.body, job))
            if first != job:
                verdict.broken("I9", f"key {call.key} stands for {first} and {job}")
            if body != call.body:
                verdict.broken("I9", f"key {call.key} was taken with another body")
    verdict.accepted = len(acked)
    tried = {call.key for call in attempts if call.key is not None}
    unsure = any(call.key is None and call.type == "info" for call in attempts)
    for job, row in table.items():
        if job in acked:
            continue
        if row.get("idempotency_key") in tried or (row.get("idempotency_key") is None and unsure):
            verdict.recovered += 1
        else:
            verdict.unexpected += 1
            verdict.broken("I2", f"job {job} was asked for by nobody")


def _polls(verdict: Verdict, calls: Sequence[Call]) -> None:
    """Compare only calls that did not overlap: the second began when the first had ended."""
    seen: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.op in ("job", "cancel") and call.type == "ok" and call.status in (200, 202):
            seen[call.answer["id"]].append(call)
    for job, looks in seen.items():
        before = sorted(looks, key=lambda call: call.ended)
        best: dict[str, Any] | None = None
        index = 0
        for call in sorted(looks, key=lambda call: call.began):
            while before[index].ended <= call.began and index < len(before) - 1:
                best = _later(best, before[index].answer)
                index += 1
            now = call.answer
            if best is None:
                continue
            if best["status"] in ENDED and now["status"] != best["status"]:
                verdict.broken("I4", f"job {job} was {best['status']} and then {now['status']}")
            elif now["attempt"] < best["attempt"]:
                verdict.broken("I7", f"job {job} fell from attempt {best['attempt']} to {now['attempt']}")
            elif now["attempt"] == best["attempt"] and now["units"]["done"] < best["units"]["done"]:
                fell = f"{best['units']['done']} to {now['units']['done']}"
                verdict.broken("I7", f"job {job} fell from {fell} within attempt {now['attempt']}")
            if now["progress"] == 100 and now["status"] not in ("successful", "running"):
                verdict.broken("I7", f"job {job} is {now['status']} at 100 %")


def _later(best: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    if best is None or found["status"] in ENDED:
        return found
    rank = [(each["attempt"], each["units"]["done"]) for each in (best, found)]
    return found if best["status"] not in ENDED and rank[1] >= rank[0] else best


def _ends(verdict: Verdict, table: Mapping[str, Row]) -> None:
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


def _moves(verdict: Verdict, events: Iterable[Row], table: Mapping[str, Row]) -> dict[str, list[Row]]:
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


def _executions(
    verdict: Verdict,
    executions: Sequence[Row],
    table: Mapping[str, Row],
    history: Mapping[str, list[Row]],
    harmed: Collection[int],
) -> None:
    runs: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for line in executions:
        if line["event"] == "start":
            runs[line["job"], line["epoch"], line["part"]].append(line)
    for (job, epoch, part), starts in runs.items():
        epochs = {e["data"]["epoch"] for e in history.get(job, ()) if e["name"] == "started"}
        if job not in table or epoch not in epochs:
            verdict.broken("I5", f"part {part} of job {job} ran in epoch {epoch}, which nobody leased")
        for first, second in zip(starts, starts[1:], strict=False):
            if first["pid"] not in harmed:
                where = f"in {first['pid']} and {second['pid']}"
                verdict.broken("I5", f"part {part} of job {job} ran twice in epoch {epoch}: {where}")
    parts = Counter((job, part) for job, _, part in runs for _ in runs[job, _, part])
    verdict.duplicated = sum(count - 1 for count in parts.values())


def _cancels(
    verdict: Verdict, calls: Sequence[Call], executions: Sequence[Row], history: Mapping[str, list[Row]]
) -> None:
    ran = {line["job"] for line in executions if line["event"] == "start"}
    for call in calls:
        if call.op == "cancel" and call.type == "ok" and call.status == 200:
            names = [event["name"] for event in history.get(str(call.job), ())]
            if call.answer["status"] == "dismissed" and "started" not in names and call.job in ran:
                verdict.broken("I8", f"job {call.job} was canceled in the queue and ran")


def _bytes(
    verdict: Verdict,
    calls: Sequence[Call],
    table: Mapping[str, Row],
    reference: Callable[[Row], bytes | None],
    damaged: Collection[str],
) -> None:
    wanted: dict[str, str] = {}
    for job, row in table.items():
        if row["artifact"] is None:
            continue
        expected = reference(row)
        wanted[job] = row["artifact"]["sha256"]
        if expected is not None and hashlib.sha256(expected).hexdigest() != wanted[job]:
            verdict.broken("I6", f"job {job} has not the bytes of its question")
    for call in calls:
        if call.op != "download" or call.type != "ok" or call.status != 200:
            continue
        if call.job not in wanted:
            verdict.broken("I6", f"job {call.job} was downloaded and has no artifact")
        elif hashlib.sha256(call.answer).hexdigest() != wanted[call.job]:
            note = " (its file was damaged)" if call.job in damaged else ""
            verdict.broken("I6", f"a download of job {call.job} had other bytes than its sha256{note}")


def _files(
    verdict: Verdict, table: Mapping[str, Row], files: Collection[str], damaged: Collection[str]
) -> None:
    named = {row["artifact"]["path"] for row in table.values() if row["artifact"] and not row.get("removed")}
    for path in sorted(named - set(files)):
        if not any(damage in path for damage in damaged):
            verdict.broken("I13", f"{path} is named by a job and is not there")
    sources = {str((row["spec"].get("source") or {}).get("store")) for row in table.values()}
    for path in sorted(set(files) - named - sources):
        if path.startswith(("results/", "scratch/", "uploads/")) or path.endswith(".part"):
            verdict.broken("I13", f"{path} is needed by nobody")
