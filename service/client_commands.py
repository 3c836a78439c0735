"""The client commands of `haulier`: report, import, status, wait, download, cancel, retry, list,
datasets.

Each is one call of the Python client over HTTP and a way to print the answer: data on stdout, else on stderr.
Exit codes and errors are `service.cli`'s.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.command_values import pairs, print_json, print_table, value

if TYPE_CHECKING:
    from service.client import Hauler, JobHandle
    from service.transport_http import HttpTransport

_TEXT_FORMATS = ("csv", "json", "html")
_TIMEOUT = "Wait no longer than this; the job goes on."


def _client(command: Callable[..., Any]) -> Callable[..., Any]:
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


def _waits(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that may stay until the job ends."""
    wait = click.option(
        "--wait", "stay", is_flag=True, help="Show the progress until the job ends, then print the result."
    )
    timeout = click.option("--timeout", type=float, metavar="SECONDS", help=_TIMEOUT)
    return wait(timeout(command))


@click.command()
@click.argument("type")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--format", default="csv", show_default=True, help="csv, parquet, json, xlsx or html.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Wait, and save the result as this file."
)
@_waits
@_client
def report(
    type: str,
    parameters: Sequence[str],
    format: str,
    output: Path | None,
    stay: bool,
    timeout: float | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Start a report and print the id of its job.

    A VALUE that is JSON is sent as JSON, any other as text; @FILE takes it from a file.

    \b
    haulier report yearly-sales year=2023 --wait
    haulier report yearly-sales year=2023 'by=["month", "region"]' -o sales.csv
    haulier report aggregate dataset=sales 'by=["region"]' 'measures=[{"op": "count"}]' --wait
    """
    binary = format not in _TEXT_FORMATS
    if stay and binary and not (output or as_json) and sys.stdout.isatty():
        raise click.UsageError(f"A {format} file is nothing for a terminal; save it with --output FILE.")
    with _connected(server) as (hauler, _):
        job = hauler.report(type, pairs(parameters), format=format)
        _finish(job, stay=stay or output is not None, output=output, timeout=timeout, as_json=as_json)


@click.command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--dataset", required=True, help="Name of the dataset to load into.")
@click.option(
    "--mode",
    type=click.Choice(["create", "append", "replace"]),
    help="What becomes of the dataset [default: create].",
)
@click.option(
    "--columns", metavar="JSON", help='Types of columns, as {"day": {"type": "date"}}; @FILE reads them.'
)
@click.option(
    "--option",
    "-p",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other import option, as delimiter=';'; may be repeated.",
)
@_waits
@_client
def import_(
    files: Sequence[Path],
    dataset: str,
    mode: str | None,
    columns: str | None,
    options: Sequence[str],
    stay: bool,
    timeout: float | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Load a file into a dataset, or several files of the same columns.

    Prints the id of the job; with --wait the receipt.

    \b
    haulier import sales.csv --dataset sales --wait
    """
    chosen: Any = value(columns) if columns else None
    if columns and not isinstance(chosen, dict):
        raise click.UsageError('--columns must be a JSON object such as \'{"day": {"type": "date"}}\'.')
    more = pairs(options)
    if taken := sorted({"columns", "dataset", "key", "mode", "path", "priority"} & set(more)):
        raise click.UsageError(f"{taken[0]!r} is no import option for -p; see haulier import --help.")
    with _connected(server) as (hauler, _):
        job = hauler.import_file(files, dataset=dataset, mode=mode, columns=chosen, **more)
        _finish(job, stay=stay, output=None, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("job_id")
@_client
def status(job_id: str, server: str | None, as_json: bool) -> None:
    """Say how far a job is, in one line."""
    from service.progress_bar import line

    with _connected(server) as (_, transport):
        found = transport.status(job_id)
        print_json(found.document) if as_json else click.echo(line(found))


@click.command()
@click.argument("job_id")
@click.option("--timeout", type=float, metavar="SECONDS", help=_TIMEOUT)
@_client
def wait(job_id: str, timeout: float | None, server: str | None, as_json: bool) -> None:
    """Show a job's progress until it ends.

    The exit code says how it ended: 0 complete, 1 failed, 3 canceled, 4 not ended in time, 5 no answer.
    """
    with _connected(server) as (hauler, _):
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
@_client
def download(job_id: str, output: str, server: str | None, as_json: bool) -> None:
    """Save the result of a job, once it has ended."""
    with _connected(server) as (hauler, _):
        job = hauler.job(job_id)
        if not job.status().ended:
            job.progress(out=sys.stderr)
        if output == "-":
            _pour(job)
            return
        saved = job.download(output)
        print_json(job.status().document) if as_json else click.echo(str(saved))


@click.command()
@click.argument("job_id")
@_client
def cancel(job_id: str, server: str | None, as_json: bool) -> None:
    """Cancel a job that has not ended."""
    from service.progress_bar import line

    with _connected(server) as (_, transport):
        found = transport.cancel(job_id)
        print_json(found.document) if as_json else click.echo(line(found))


@click.command()
@click.argument("job_id")
@_waits
@_client
def retry(job_id: str, stay: bool, timeout: float | None, server: str | None, as_json: bool) -> None:
    """Run a failed or canceled job again, as a new job; prints its id."""
    with _connected(server) as (hauler, _):
        again = hauler.job(job_id).retry()
        _finish(again, stay=stay, output=None, timeout=timeout, as_json=as_json)


@click.command("list")
@click.option("--status", "state", help="Only those waiting, running, complete, failed or canceled.")
@click.option("--kind", help="Only this kind: report or import.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@_client
def list_(state: str | None, kind: str | None, limit: int, server: str | None, as_json: bool) -> None:
    """List the jobs, newest first."""
    from service.progress_bar import details, percent, title
    from service.transport import JobStatus
    from service.words import STATES, state_named

    known = state_named(state) if state else None
    if state and known is None:
        raise click.UsageError(f"{state!r} is no status; give one of {', '.join(STATES.values())}.")
    with _connected(server) as (_, transport):
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
@_client
def datasets(server: str | None, as_json: bool) -> None:
    """List the datasets with their rows and columns."""
    from service.words import bytes_in_words

    with _connected(server) as (hauler, transport):
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


COMMANDS = (report, import_, status, wait, download, cancel, retry, list_, datasets)


@contextmanager
def _connected(server: str | None) -> Iterator[tuple[Hauler, HttpTransport]]:
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


def _finish(job: JobHandle, *, stay: bool, output: Path | None, timeout: float | None, as_json: bool) -> None:
    """Leave the id on stdout, or stay until the end and leave the result there (or in `output`)."""
    if not stay:
        if as_json:
            print_json(job.status().document)
        else:
            click.echo(f"Accepted; watch it with `haulier wait {job.id}`.", err=True)
            click.echo(job.id)
        return
    click.echo(f"Job {job.id}", err=True)
    job.progress(timeout, out=sys.stderr)
    job.check()
    if output:
        click.echo(f"Saved {job.download(output)}", err=True)
    if as_json:
        print_json(job.status().document)
    elif not output:
        _pour(job)


def _pour(job: JobHandle) -> None:
    """The result's bytes to stdout, after they were checked."""
    with job.open() as file:
        sys.stdout.flush()
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
