"""The client commands of `haulier` that start jobs: report, import, video, retry.

Each is one submission of the Python client over HTTP; with --wait or --output it stays for the result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.client_commands import TIMEOUT, client, connected, pour
from service.command_values import pairs, print_json, value

if TYPE_CHECKING:
    from service.client import JobHandle

_TEXT_FORMATS = ("csv", "json", "html")


def _waits(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that may stay until the job ends."""
    wait = click.option(
        "--wait", "stay", is_flag=True, help="Show the progress until the job ends, then print the result."
    )
    timeout = click.option("--timeout", type=float, metavar="SECONDS", help=TIMEOUT)
    return wait(timeout(command))


@click.command()
@click.argument("type")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--format", default="csv", show_default=True, help="csv, parquet, json, xlsx or html.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Wait, and save the result as this file."
)
@_waits
@client
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
    with connected(server) as (hauler, _):
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
@client
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
    with connected(server) as (hauler, _):
        job = hauler.import_file(files, dataset=dataset, mode=mode, columns=chosen, **more)
        _finish(job, stay=stay, output=None, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("operation")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--parameter",
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the operation, as preset=web-720p or start=2; may be repeated.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Wait, and save the result as this file or there."
)
@_waits
@client
def video(
    operation: str,
    files: Sequence[Path],
    parameters: Sequence[str],
    output: Path | None,
    stay: bool,
    timeout: float | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Start an operation on a video and print the id of its job.

    \b
    haulier video transcode film.mov -p preset=web-720p -o film.mp4
    haulier video thumbnail film.mov -p at=12.5 -o film.jpg
    haulier video concat one.mp4 two.mp4 -o both.mp4
    """
    if stay and not (output or as_json) and operation != "probe" and sys.stdout.isatty():
        raise click.UsageError("A video is nothing for a terminal; save it with --output FILE.")
    with connected(server) as (hauler, _):
        job = hauler.video(files, operation, pairs(parameters))
        _finish(job, stay=stay or output is not None, output=output, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("job_id")
@_waits
@client
def retry(job_id: str, stay: bool, timeout: float | None, server: str | None, as_json: bool) -> None:
    """Run a failed or canceled job again, as a new job; prints its id."""
    with connected(server) as (hauler, _):
        again = hauler.job(job_id).retry()
        _finish(again, stay=stay, output=None, timeout=timeout, as_json=as_json)


COMMANDS = (report, import_, video, retry)


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
        pour(job)
