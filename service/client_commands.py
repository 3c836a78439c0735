"""The client commands of `haulier`: report, import, status, wait, download, cancel, list, datasets.

Each is one call of the Python client over HTTP and a way to print the answer: data on stdout, else on stderr.
Exit codes and errors are `service.cli`'s.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from service.client import Hauler, JobHandle
    from service.transport_http import HttpTransport

_TEXT_FORMATS = ("csv", "json", "html")


def _client(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options every client command has."""
    server = click.option("--server", metavar="URL", help="Address of the service [HAULIER_BASE_URL].")
    wire = click.option("--json", "as_json", is_flag=True, help="Print what the service said, as JSON.")
    return server(wire(command))


def _waits(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that may stay until the job ends."""
    wait = click.option("--wait", "stay", is_flag=True, help="Stay until it ends and print the result.")
    timeout = click.option("--timeout", type=float, metavar="SECONDS", help="Stop waiting; the job goes on.")
    return wait(timeout(command))


@click.command()
@click.argument("type")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--format", default="csv", show_default=True, help="csv, parquet, json or xlsx.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Wait and save the result here.")
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
    """Start a report: haulier report yearly-sales year=2023 --wait.

    A VALUE is JSON where it can be read as JSON, else text; @FILE reads it from a file.
    """
    binary = format not in _TEXT_FORMATS
    if stay and binary and not (output or as_json) and sys.stdout.isatty():
        raise click.UsageError(f"A {format} file is nothing for a terminal; save it with --output FILE.")
    with _connected(server) as (hauler, _):
        job = hauler.report(type, _pairs(parameters), format=format)
        _finish(job, stay=stay or output is not None, output=output, timeout=timeout, as_json=as_json)


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dataset", required=True, help="The dataset to load into.")
@click.option("--mode", type=click.Choice(["create", "append", "replace"]), help="create is the default.")
@click.option("--columns", metavar="JSON", help="Names, types and formats of columns; @FILE reads them.")
@click.option("--option", "-p", "options", multiple=True, metavar="NAME=VALUE", help="Any other option.")
@_waits
@_client
def import_(
    file: Path,
    dataset: str,
    mode: str | None,
    columns: str | None,
    options: Sequence[str],
    stay: bool,
    timeout: float | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Load a file into a dataset: haulier import sales.csv --dataset sales --wait."""
    chosen: Any = _value(columns) if columns else None
    if columns and not isinstance(chosen, dict):
        raise click.UsageError('--columns must be a JSON object such as \'{"day": {"type": "date"}}\'.')
    with _connected(server) as (hauler, _):
        job = hauler.import_file(file, dataset=dataset, mode=mode, columns=chosen, **_pairs(options))
        _finish(job, stay=stay, output=None, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("job_id")
@_client
def status(job_id: str, server: str | None, as_json: bool) -> None:
    """Say where a job is."""
    from service.progress_bar import line

    with _connected(server) as (_, transport):
        found = transport.status(job_id)
        _print_json(found.document) if as_json else click.echo(line(found))


@click.command()
@click.argument("job_id")
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop waiting; the job goes on.")
@_client
def wait(job_id: str, timeout: float | None, server: str | None, as_json: bool) -> None:
    """Watch a job until it ends; the exit code says how."""
    with _connected(server) as (hauler, _):
        job = hauler.job(job_id)
        job.progress(timeout, out=sys.stderr)
        if as_json:
            _print_json(job.status().document)
        job.check()


@click.command()
@click.argument("job_id")
@click.option(
    "--output", "-o", default=".", show_default=True, help="File or folder; - writes to standard output."
)
@_client
def download(job_id: str, output: str, server: str | None, as_json: bool) -> None:
    """Save the result of a job, waiting for it if need be."""
    with _connected(server) as (hauler, _):
        job = hauler.job(job_id)
        if not job.status().ended:
            job.progress(out=sys.stderr)
        if output == "-":
            _pour(job)
            return
        saved = job.download(output)
        _print_json(job.status().document) if as_json else click.echo(str(saved))


@click.command()
@click.argument("job_id")
@_client
def cancel(job_id: str, server: str | None, as_json: bool) -> None:
    """End a job."""
    from service.progress_bar import line

    with _connected(server) as (_, transport):
        found = transport.cancel(job_id)
        _print_json(found.document) if as_json else click.echo(line(found))


@click.command("list")
@click.option("--status", "state", help="accepted, running, successful, failed or dismissed.")
@click.option("--kind", help="report or import.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@_client
def list_(state: str | None, kind: str | None, limit: int, server: str | None, as_json: bool) -> None:
    """List the newest jobs."""
    from service.progress_bar import details, percent

    with _connected(server) as (_, transport):
        found = transport.jobs(state=state, kind=kind, limit=limit)
    if as_json:
        _print_json({"jobs": [each.document for each in found]})
        return
    rows = [(j.id, j.kind, j.type, j.state.value, f"{percent(j)} %", details(j)) for j in found]
    _print_table(("ID", "KIND", "TYPE", "STATUS", "DONE", "DETAILS"), rows)


@click.command()
@_client
def datasets(server: str | None, as_json: bool) -> None:
    """List the datasets."""
    from service.progress_bar import bytes_in_words

    with _connected(server) as (hauler, transport):
        if as_json:
            _print_json(transport.document("/api/datasets"))
            return
        found = hauler.datasets()
    rows = [
        (d.name, str(d.version), f"{d.rows:,}", bytes_in_words(d.bytes), ", ".join(d.columns)) for d in found
    ]
    _print_table(("NAME", "VERSION", "ROWS", "SIZE", "COLUMNS"), rows)


COMMANDS = (report, import_, status, wait, download, cancel, list_, datasets)


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
            _print_json(job.status().document)
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
        _print_json(job.status().document)
    elif not output:
        _pour(job)


def _pour(job: JobHandle) -> None:
    """The result's bytes to stdout, after they were checked."""
    with job.open() as file:
        sys.stdout.flush()
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _pairs(given: Iterable[str]) -> dict[str, Any]:
    """NAME=VALUE arguments as parameters."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{each!r} is no parameter; write NAME=VALUE, such as year=2023.")
        if name in found:
            raise click.UsageError(f'{name!r} is given twice; a list is written {name}=\'["a", "b"]\'.')
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself; `@FILE` stands for what the file holds."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"{text[1:]!r} cannot be read: {error.strerror}.") from error
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        if text.lstrip()[:1] in ("{", "["):
            raise click.UsageError(f"{text[:60]!r} begins like JSON and is none; check its quotes.") from None
        return text


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
