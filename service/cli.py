"""The `haulier` command: serve, demo, dispatch, doctor; the client commands are `client_submissions`' and
`client_commands`'.

Data goes to stdout, all else to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 3 canceled, 4 timed out (the job
goes on), 5 nobody answers. Nothing heavy is imported before a command needs it: `haulier --help` is quick.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from service import client_commands, client_submissions

if TYPE_CHECKING:
    from service.transport import HaulierError

FAILED, USAGE, CANCELED, TIMED_OUT, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 5, 130


class _InOrder(click.Group):
    """Lists the commands in the order a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="haulier")
def haulier() -> None:
    """Heavy reports, imports and videos behind a polite HTTP API: post, poll, download.

    `haulier COMMAND --help` says more. Settings are HAULIER_* variables; the README lists them.
    """


def main() -> None:
    """The entry point: errors of the user and of the network become one line and an exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    from service.settings import SettingsError
    from service.transport import HaulierError

    try:
        return int(haulier.main(list(arguments), prog_name="haulier", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:
        return _complain(str(error), USAGE)
    except HaulierError as error:
        return _complain(str(error), _code(error))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `haulier list | head`: nobody reads on, and Python would complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:  # a file or folder of the user's
        return _complain(f"{error.filename}: {error.strerror}." if error.filename else str(error), FAILED)


def _complain(text: str, code: int) -> int:
    click.echo(f"haulier: {text}", err=True)
    return code


def _code(error: HaulierError) -> int:
    from service.transport import JobCanceled, Rejected, StillRunning, Unreachable

    if isinstance(error, Rejected):
        return USAGE if error.status in (400, 413, 415, 422) else FAILED
    codes = {JobCanceled: CANCELED, StillRunning: TIMED_OUT, Unreachable: UNREACHABLE}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED)


@haulier.command()
@click.option("--keep", is_flag=True, help="Leave the service running and its data in place afterwards.")
@click.option(
    "--rows",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(1000, 100_000_000),
    help="How many sales to generate.",
)
def demo(keep: bool, rows: int) -> int:
    """Show the whole way once: sales, import, report, video, check.

    Starts a service of its own on a free port, imports generated sales, runs the yearly-sales report, checks
    it against Python's own arithmetic, and ends the service. Exit code 0: every step gave the right answer.
    """
    from service.demo import run_demo

    return run_demo(keep=keep, rows=rows)


@haulier.command()
@click.option("--host", help="Loopback address to listen at [default: HAULIER_HOST, else 127.0.0.1].")
@click.option("--port", type=int, help="Port to listen at [default: HAULIER_PORT, else 8480].")
@click.option(
    "--no-dispatch", is_flag=True, help="Accept and answer only; a `haulier dispatch` runs the jobs."
)
def serve(host: str | None, port: int | None, no_dispatch: bool) -> None:
    """Run the service: API, pages, dispatcher and workers.

    Ends with Ctrl-C; jobs that have not ended go on at the next start.
    """
    from service.server import serve as run_server
    from service.settings import current

    run_server(current(host=host, port=port), dispatch=not no_dispatch)


@haulier.command()
def dispatch() -> None:
    """Run a dispatcher alone, with PostgreSQL.

    Any number of them works beside any number of `haulier serve --no-dispatch` on one database.
    """
    from service.settings import SettingsError, current

    settings = current()
    if settings.database_url.startswith("sqlite"):
        raise SettingsError(
            "a SQLite home belongs to one process, and `haulier serve` dispatches in it; "
            "set HAULIER_DATABASE_URL=postgresql://... to run dispatchers of their own"
        )
    from service.engine import Engine

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Engine(settings) as engine:
        click.echo(f"Dispatching to {engine.scheduler_address}; Ctrl-C gives running jobs back.", err=True)
        ended.wait()


@haulier.command()
def doctor() -> int:
    """Say which parts are here: ffmpeg and its codecs, the sandbox, where data lies.

    Exit code 0: everything that this installation needs is there.
    """
    from service.doctor import findings
    from service.settings import current

    found = findings(current())
    for each in found:
        click.echo(f"{'ok  ' if each.good else 'MISS'} {each.name}: {each.said}")
    return 0 if all(each.good or each.optional for each in found) else FAILED


for _command in (*client_submissions.COMMANDS, *client_commands.COMMANDS):
    haulier.add_command(_command)


if __name__ == "__main__":
    main()
