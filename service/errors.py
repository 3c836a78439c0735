"""What the service refuses to do: HTTP status, stable code, title, and a sentence safe to show.

    ServiceError             status  code
    ├── UnknownJob           404     unknown-job
    ├── KeyReused            422     idempotency-key-reused
    ├── NotReady             409     not-ready          the job is still at work
    ├── NoPartial            409     no-partial         nothing can be told before the end
    ├── JobEnded             409     job-failed | job-canceled   it ended without a result
    ├── NotCancelable        409     not-cancelable     it has ended, or its result is being published
    ├── NotRetryable         409     not-retryable      it is active, or successful
    ├── Gone                 410     gone               the result has been removed
    ├── InputGone            410     input-gone         the file that was sent with it has been removed
    ├── TooFast              429     polling-too-fast   far more polls than Retry-After asked for
    ├── Unavailable          503     unavailable        database or store cannot be reached
    └── Refused              by its code: what is wrong with the HTTP request itself

Whatever is no ServiceError and no `pipelines.errors.PipelineError` is a bug and is shown as `internal`.
PROBLEMS lists every code there is; `problem` makes the document of RFC 9457 that all of them are shown as.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.errors import Fault
from pipelines.plan import Json
from service.model import Job

# code: (HTTP status, title, what to do about it). Also the page behind a problem's `type`.
PROBLEMS: dict[str, tuple[int, str, str]] = {
    "bad-request": (400, "Bad request", "The request is not HTTP as this service speaks it."),
    "malformed-json": (400, "Malformed JSON", "The body is not JSON; look at the line and column named."),
    "malformed-form": (
        400,
        "Malformed form",
        "The body is not multipart/form-data; let your client build it.",
    ),
    "incomplete-upload": (400, "Incomplete upload", "Fewer bytes came than were announced; send it again."),
    "bad-host": (400, "Bad Host header", "Send the host and port the service is reached at."),
    "foreign-origin": (403, "Foreign origin", "Another web site may not change things here."),
    "not-found": (404, "Not found", "Check the address; /docs lists all there are."),
    "unknown-job": (404, "Unknown job", "Check the id, or list the jobs with /api/jobs."),
    "unknown-dataset": (404, "Unknown dataset", "Check the name, or list the datasets with /api/datasets."),
    "method-not-allowed": (405, "Method not allowed", "Use a method that the Allow header names."),
    "not-ready": (409, "Not ready", "Ask again after the seconds in Retry-After."),
    "no-partial": (409, "No partial answer", "Ask again, or for the whole result once the job has ended."),
    "job-failed": (409, "No result", "The job failed; its document says why."),
    "job-canceled": (409, "No result", "The job was canceled; submit it again."),
    "not-cancelable": (409, "Not cancelable", "The job has ended already."),
    "not-retryable": (409, "Not retryable", "Only a failed or canceled job can be run again."),
    "gone": (410, "Gone", "The result was removed; submit the job again."),
    "input-gone": (
        410,
        "Input gone",
        "The file sent with the job was removed; send it again with a new job.",
    ),
    "length-required": (411, "Length required", "Send the file with Content-Length, or in a form."),
    "too-large": (413, "Too large", "Send less, or a file as an upload."),
    "unsupported-media-type": (415, "Unsupported media type", "Send one of the content types named."),
    "range-not-satisfiable": (416, "Range not satisfiable", "Ask for bytes that the file has."),
    "misdirected": (421, "Misdirected request", "Use the address the service is configured for."),
    "invalid-parameters": (422, "Invalid parameters", "Correct every member named in `errors`."),
    "idempotency-key-reused": (422, "Idempotency key reused", "Send a new key for a new request."),
    "bad-input": (422, "Bad input", "The data cannot be read as asked; correct the place named."),
    "canceled": (409, "Canceled", "Somebody canceled the job; submit it again if it is still wanted."),
    "timeout": (504, "Timeout", "Ask for less at once, add workers, or have the operator raise the limit."),
    "out-of-memory": (500, "Out of memory", "Ask for less at once, or give the workers more memory."),
    "worker-killed": (500, "Worker killed", "Its workers died more than once, probably for lack of memory."),
    "attempts-exhausted": (
        503,
        "Attempts exhausted",
        "The cluster kept failing; see its logs, submit again.",
    ),
    "version-skew": (503, "Version skew", "Bring service and workers to one version, then submit it again."),
    "no-ffmpeg": (503, "No ffmpeg", "Install haulier[video] where the service and its workers run."),
    "polling-too-fast": (429, "Polling too fast", "Wait the seconds in Retry-After, or ask with ?wait=60."),
    "internal": (500, "Internal error", "This is a fault of the service; give its log's owner the trace id."),
    "unavailable": (503, "Unavailable", "The same request may work after the seconds in Retry-After."),
    "no-space": (507, "No space", "The store is full; free some space and send it again."),
}


def problem(
    code: str,
    detail: str,
    instance: str,
    *,
    faults: Iterable[Fault] = (),
    status: int | None = None,
    title: str | None = None,
) -> Json:
    """The RFC 9457 document of a refused request (`instance`: its path) or of a failed job (its document)."""
    known = PROBLEMS.get(code, PROBLEMS["internal"])
    return {
        "type": f"/problems/{code}",
        "title": title or known[1],
        "status": status or known[0],
        "detail": detail,
        "instance": instance,
        "code": code,
        "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults],
    }


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


class NoPartial(ServiceError):
    """A partial answer was asked for where there is none: of no report, of a small or a very long one."""

    status = 409
    code = "no-partial"
    title = "No partial answer"

    def __init__(self, job: Job) -> None:
        what = "it is no report" if job.kind != "report" else "it is small, has many groups or has not begun"
        super().__init__(f"Nothing can be told of job {job.id} before its end: {what}.")
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
    """The job had ended, or come to its result, before the cancel came."""

    status = 409
    code = "not-cancelable"
    title = "Not cancelable"

    def __init__(self, job: Job) -> None:
        stands = job.state.value if job.ended else "done and its result is being published"
        super().__init__(f"Job {job.id} is {stands}; only an active job can be canceled.")
        self.job = job


class Gone(ServiceError):
    """There was a result, and it has been removed."""

    status = 410
    code = "gone"
    title = "Gone"

    def __init__(self, job: Job) -> None:
        super().__init__(f"The result of job {job.id} has been removed; submit the job again.")
        self.job = job


class NotRetryable(ServiceError):
    """The job is active, or has its result."""

    status = 409
    code = "not-retryable"
    title = "Not retryable"

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} is {job.state}; only a failed or canceled job can be run again.")
        self.job = job


class InputGone(ServiceError):
    """The job could be run again, but what was sent with it is no longer there."""

    status = 410
    code = "input-gone"
    title = "Input gone"

    def __init__(self, job: Job) -> None:
        super().__init__(f"The file sent with job {job.id} has been removed; send it again with a new job.")


class TooFast(ServiceError):
    """This client polls much faster than it was asked to."""

    status = 429
    code = "polling-too-fast"
    title = "Polling too fast"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Wait {seconds} s between two polls as Retry-After says, or use ?wait=60.")
        self.seconds = seconds


class Unavailable(ServiceError):
    """The database or the store cannot be reached, or is full; the same request may work later."""

    status = 503
    code = "unavailable"
    title = "Unavailable"


class Refused(ServiceError):
    """The HTTP request cannot be taken as it is; `code` is one of PROBLEMS."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, _ = PROBLEMS[code]
        self.code = code
