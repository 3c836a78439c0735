"""Taking an ended job out of the tracker, with its history: for good, and only when somebody asks for it.

Functions on an open transaction. Results and how long they stay are `retention`'s.
"""

from __future__ import annotations

from sqlalchemy import delete, select

from service.model import TERMINAL
from service.tracker import retention
from service.tracker.tables import job
from service.tracker.transaction import Transaction

_ENDED = sorted(state.value for state in TERMINAL)


def erase(tx: Transaction, job_id: str) -> bool:
    """False when there is no such job, or it is active. Jobs that share its result lose that, and stay."""
    this = (job.c.id == job_id, job.c.state.in_(_ENDED))
    if tx.execute(select(job.c.id).where(*this).with_for_update()).one_or_none() is None:
        return False
    retention.remove(tx, job_id)
    tx.execute(delete(job).where(*this))
    tx.touched.add(job_id)
    return True
