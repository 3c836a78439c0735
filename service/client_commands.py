"""The client commands of `haulier` that look after jobs: status, wait, download, cancel, list, datasets.

Each is one call of the Python client over HTTP and a way to print the answer: data on stdout, else on stderr.
Exit codes and errors are `service.cli`'s.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from service.command_values import print_json, print_table

if TYPE_CHECKING:
    from service.client import Hauler, JobHandle
    from service.transport_http import HttpTransport

TIMEOUT = "Wait no longer than this; the job goes on."


def client(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options every client command has."""
    server = click.option(
        "--server",
        metavar="URL",
        help="Address of the service; default: HAULIER_BASE_URL, else http://HAULIER_HOST:HAULIER_PORT.",
    )
    wire = click.option(
        "--json", "as_json", is_flag=True, help="Print the answer of the service, the JSON of its wire."
    )
    return server(wire(command))


@click.command()
@click.argument("job_id")
@client
def status(job_id: str, server: str | None, as_json: bool) -> None:
    """Say how far a job is, in one line."""
    from service.progress_bar import line

    with connected(server) as (_, transport):
        found = transport.status(job_id)
        print_json(found.document) if as_json else click.echo(line(found))


@click.command()
@click.argument("job_id")
@click.option("--timeout", type=float, metavar="SECONDS", help=TIMEOUT)
@client
def wait(job_id: str, timeout: float | None, server: str | None, as_json: bool) -> None:
    """Show a job's progress until it ends.

    The exit code says how it ended: 0 complete, 1 failed, 3 canceled, 4 not ended in time, 5 no answer.
    """
    with connected(server) as (hauler, _):
        job = hauler.job(job_id)
        job.progress(timeout, out=sys.stderr)
        if as_json:
            print_json(job.status().document)
        job.check()


@click.command()
@click.argument("job_id")
@click.option(
    "--output",
    "-o",
    default=".",
    show_default=True,
    help="File, or folder to save it in under its own name; - prints it.",
)
@client
def download(job_id: str, output: str, server: str | None, as_json: bool) -> None:
    """Save the result of a job, once it has ended."""
    with connected(server) as (hauler, _):
        job = hauler.job(job_id)
        if not job.status().ended:
            job.progress(out=sys.stderr)
        if output == "-":
            pour(job)
            return
        saved = job.download(output)
        print_json(job.status().document) if as_json else click.echo(str(saved))


@click.command()
@click.argument("job_id")
@client
def cancel(job_id: str, server: str | None, as_json: bool) -> None:
    """Cancel a job that has not ended."""
    from service.progress_bar import line

    with connected(server) as (_, transport):
        found = transport.cancel(job_id)
        print_json(found.document) if as_json else click.echo(line(found))


@click.command("list")
@click.option("--status", "state", help="Only those waiting, running, complete, failed or canceled.")
@click.option("--kind", help="Only this kind: report, import or video.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@client
def list_(state: str | None, kind: str | None, limit: int, server: str | None, as_json: bool) -> None:
    """List the jobs, newest first."""
    from service.progress_bar import details, percent, title
    from service.transport import JobStatus
    from service.words import STATES, state_named

    known = state_named(state) if state else None
    if state and known is None:
        raise click.UsageError(f"{state!r} is no status; give one of {', '.join(STATES.values())}.")
    with connected(server) as (_, transport):
        document = transport.jobs_document(state=known, kind=kind, limit=limit)
    if as_json:
        print_json(document)
        return
    found = [JobStatus.from_document(each) for each in document["jobs"]]
    if not found:
        click.echo("There are no such jobs." if state or kind else "There are no jobs yet.", err=True)
        return
    rows = [(j.id, title(j), STATES[j.state], f"{percent(j)} %", details(j)) for j in found]
    print_table(("ID", "JOB", "STATUS", "DONE", "DETAILS"), rows)


@click.command()
@client
def datasets(server: str | None, as_json: bool) -> None:
    """List the datasets with their rows and columns."""
    from service.words import bytes_in_words

    with connected(server) as (hauler, transport):
        if as_json:
            print_json(transport.document("/api/datasets"))
            return
        found = hauler.datasets()
    if not found:
        click.echo("There are no datasets yet; make one with `haulier import FILE --dataset NAME`.", err=True)
        return
    rows = [
        (d.name, str(d.version), f"{d.rows:,}", bytes_in_words(d.bytes), ", ".join(d.columns)) for d in found
    ]
    print_table(("NAME", "VERSION", "ROWS", "SIZE", "COLUMNS"), rows)


COMMANDS = (status, wait, download, cancel, list_, datasets)


@contextmanager
def connected(server: str | None) -> Iterator[tuple[Hauler, HttpTransport]]:
    """The service at --server, else where the settings say it is."""
    from service.client import Hauler
    from service.settings import current
    from service.transport_http import HttpTransport

    if server is None:
        settings = current()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        server = settings.base_url or f"http://{host}:{settings.port}"
    if not server.startswith(("http://", "https://")):
        raise click.UsageError(f"{server!r} is no address; write --server http://host:port.")
    transport = HttpTransport(server)
    with Hauler(transport) as hauler:
        yield hauler, transport


def pour(job: JobHandle) -> None:
    """The result's bytes to stdout, after they were checked."""
    with job.open() as file:
        sys.stdout.flush()
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
