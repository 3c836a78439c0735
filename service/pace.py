"""How quickly a video is being worked on, in words: frames a second, and how that compares with watching it.

Pure; made of what the job row says of progress.
"""

from __future__ import annotations

from service.model import Job, JobState

_SOON = 0.5  # seconds of work before a pace is more than a guess


def pace_in_words(job: Job) -> str | None:
    """`47 frames/s, 1.9x`, or None for other jobs and while there is nothing to go by."""
    if job.kind != "video" or job.state is not JobState.RUNNING or job.last_progress is None:
        return None
    since = max(filter(None, (job.started, job.pace_since)), default=None)
    done = job.progress.done - job.pace_done
    spent = 0.0 if since is None else (job.last_progress - since).total_seconds()
    if spent < _SOON or done <= 0:
        return None
    if job.progress.unit == "frames":
        rate = _rate_of(job)
        return f"{done / spent:.0f} frames/s" + (f", {done / spent / rate:.2g}x" if rate else "")
    return f"{done / spent / 1000:.2g}x" if job.progress.unit.startswith("ms") else None


def _rate_of(job: Job) -> float | None:
    """Frames a second when it is watched."""
    films = (job.plan or {}).get("spec", {}).get("media") or [{}]
    video = films[0].get("video") or {}
    return float(video.get("rate") or 0) or None
