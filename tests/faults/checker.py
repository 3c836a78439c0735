"""Was a promise broken? Pure: from what clients saw, what the tables say, what ran and what lies on the disk.

Findings have the names of the project's invariants: I1 accepted means there, I2 nothing lost or unexpected,
I3 one artifact of the right epoch, I4 legal moves, I5 no part twice, I6 artifact iff successful and its bytes
right, I7 progress never falls, I8 canceled in the queue never starts, I9 one key one job, I10 bounded
attempts, I11 nothing active at the end, I13 no file that nobody needs, I15 events and table agree. No search
is needed: ids are unique.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from tests.faults.history import ENDED, Call
from tests.faults.ledger import Row, Verdict, ends, executions_of, files_of, moves

__all__ = ["Row", "Verdict", "check"]


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
    digests: Mapping[str, str] | None = None,
) -> Verdict:
    """`harmed` are processes that faults touched: their parts may run again. `damaged` ones lost files.

    `digests` are the sha256 of what lies on the disk, by path, where somebody looked.
    """
    verdict, table = Verdict(), {row["id"]: row for row in rows}
    _submissions(verdict, calls, table)
    _polls(verdict, calls)
    ends(verdict, table)
    history = moves(verdict, events, table)
    executions_of(verdict, executions, table, history, harmed)
    _cancels(verdict, calls, executions, history)
    _bytes(verdict, calls, table, reference, damaged)
    files_of(verdict, table, files, damaged, digests or {})
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
            if now["progress"] == 100 and now["status"] != "successful":
                verdict.broken("I7", f"job {job} is {now['status']} at 100 %")


def _later(best: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    if best is None or found["status"] in ENDED:
        return found
    rank = [(each["attempt"], each["units"]["done"]) for each in (best, found)]
    return found if best["status"] not in ENDED and rank[1] >= rank[0] else best


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
    done: dict[str, float] = {}  # when a client first knew that it was successful
    for call in calls:
        if call.op == "job" and call.type == "ok" and call.answer["status"] == "successful":
            done[str(call.job)] = min(call.ended, done.get(str(call.job), call.ended))
    for call in calls:
        if call.op != "download" or call.type != "ok" or call.status >= 500:
            continue
        if call.status != 200:
            kept = call.job in wanted and not table[call.job].get("removed") and call.job not in damaged
            if kept and done.get(str(call.job), call.began) < call.began:
                verdict.broken("I6", f"job {call.job} was successful and its download said {call.status}")
            continue
        if call.job not in wanted:
            verdict.broken("I6", f"job {call.job} was downloaded and has no artifact")
        elif hashlib.sha256(call.answer).hexdigest() != wanted[call.job]:
            note = " (its file was damaged)" if call.job in damaged else ""
            verdict.broken("I6", f"a download of job {call.job} had other bytes than its sha256{note}")
