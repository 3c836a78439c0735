"""What the service refuses to do: HTTP status, stable code, title, and a sentence safe to show.

    ServiceError             status  code
    ├── UnknownJob           404     unknown-job
    ├── KeyReused            422     idempotency-key-reused
    ├── NotReady             409     not-ready          the job is still at work
    ├── JobEnded             409     job-failed | job-canceled   it ended without a result
    ├── NotCancelable        409     not-cancelable     it has ended already
    ├── Gone                 410     gone               the result has been removed
    └── Unavailable          503     unavailable        database or store cannot be reached

Whatever is no ServiceError and no `pipelines.errors.PipelineError` is a bug and is shown as `internal`.
"""

from __future__ import annotations

from service.model import Job


class ServiceError(Exception):
    """Base: `status` and `title` for HTTP, `code` for programs, `detail` for people."""

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class UnknownJob(ServiceError):
    """No job of that id (and kind)."""

    status = 404
    code = "unknown-job"
    title = "Unknown job"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}; check the id, or list the jobs with /api/jobs.")


class KeyReused(ServiceError):
    """The Idempotency-Key came before with another request."""

    status = 422
    code = "idempotency-key-reused"
    title = "Idempotency key reused"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key {key!r} was used before with another request; send a new key for a new request."
        )


class NotReady(ServiceError):
    """The result was asked for while the job is still at work."""

    status = 409
    code = "not-ready"
    title = "Not ready"

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} is {job.state}; its result is there once it is successful.")
        self.job = job


class JobEnded(ServiceError):
    """The result was asked for, and the job ended without one."""

    status = 409
    code = "job-failed"
    title = "No result"

    def __init__(self, job: Job) -> None:
        if job.error is not None:
            super().__init__(f"Job {job.id} failed ({job.error.code}): {job.error.detail}")
        else:
            super().__init__(f"Job {job.id} was canceled and has no result.")
            self.code = "job-canceled"
        self.job = job


class NotCancelable(ServiceError):
    """The job had ended before the cancel came."""

    status = 409
    code = "not-cancelable"
    title = "Not cancelable"

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} is {job.state} already; only an active job can be canceled.")
        self.job = job


class Gone(ServiceError):
    """There was a result, and it has been removed."""

    status = 410
    code = "gone"
    title = "Gone"

    def __init__(self, job: Job) -> None:
        super().__init__(f"The result of job {job.id} has been removed; submit the job again.")
        self.job = job


class Unavailable(ServiceError):
    """The database or the store cannot be reached, or is full; the same request may work later."""

    status = 503
    code = "unavailable"
    title = "Unavailable"
