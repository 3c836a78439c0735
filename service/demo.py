"""`haulier demo`: the whole way once, on a machine that has nothing yet, and a check that it came out right.

A real server process in a home of its own: sample sales imported and reported over HTTP, the result compared
with what Python's csv and decimal modules say of the file; a short video encoded and counted. Prints for
people; the exit code is for programs.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from service.client import Hauler, HaulierError, JobHandle, connect
from service.words import bytes_in_words

YEAR = 2023
START_SECONDS = 60.0
Row = tuple[str, int, int, Decimal]  # month, orders, units, revenue


class DemoFailed(Exception):
    """A step did not give what it should."""


@dataclass(frozen=True, slots=True)
class Server:
    """`haulier serve` as a process of ours."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


def run_demo(*, keep: bool, rows: int) -> int:
    """0 when every step gave the right answer, else 1."""
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="haulier-demo-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service ends with the demo
    done = False
    try:
        with _server(home, keep=keep) as server:
            _walk(server, home, rows)
            done = True
            print(f"\nDone in {time.monotonic() - began:.0f} s. The web page: {server.url}/")
            if keep:
                print(f"The service goes on; end it with: kill {server.process.pid}")
                print(f"Its data: {home}")
            else:
                print("It ends with the demo; haulier demo --keep leaves it, haulier serve starts your own.")
    except (DemoFailed, HaulierError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        if not (keep and done):
            shutil.rmtree(home, ignore_errors=True)
    return 0


def _walk(server: Server, home: Path, rows: int) -> None:
    from pipelines.samples import IMPORT_OPTIONS, write_sales

    source = home / "sales.csv"
    _step("Sample sales", "four years of orders, generated with a fixed seed")
    write_sales(source, rows)
    _say(f"sales.csv, {rows:,} rows, {bytes_in_words(source.stat().st_size)}")
    _step("Service", "one process: API, dispatcher, database; workers beside it")
    _await(server)
    _say(server.url)
    with connect(server.url) as hauler:
        _step("Import", f"POST {server.url}/api/imports?dataset=sales -> 202 Accepted")
        receipt = _followed(hauler.import_file(source, dataset="sales", columns=IMPORT_OPTIONS)).result()
        if receipt["rowsLoaded"] != rows:
            raise DemoFailed(f"{receipt['rowsLoaded']:,} of {rows:,} rows were loaded.")
        found = _report(server, hauler)
        _video(server, home, hauler)
    _step("Check", "the same sums once more, with Python's csv and decimal modules")
    expected = expected_rows(source)
    if found != expected:
        raise DemoFailed(f"the report says {_first_difference(found, expected)}.")
    _say("equal to the last digit")


def _report(server: Server, hauler: Hauler) -> list[Row]:
    asked = {"reportType": "yearly-sales", "parameters": {"year": str(YEAR)}}
    _step("Report", f"POST {server.url}/api/reports {json.dumps(asked)} -> 202 Accepted")
    job = _followed(hauler.report("yearly-sales", year=str(YEAR), format="csv"))
    with job.open() as file:
        text = file.read().decode()
    _step("Result", f"GET {server.url}/api/reports/{job.id}/download")
    table = list(csv.reader(io.StringIO(text)))
    _print_table(table)
    return [
        (r["month"], int(r["orders"]), int(r["units"]), Decimal(r["revenue"]))
        for r in csv.DictReader(io.StringIO(text))
    ]


def _video(server: Server, home: Path, hauler: Hauler) -> None:
    """A film made on the spot, encoded, and counted frame by frame."""
    from pipelines.video.samples import write_film

    source = home / "film.mp4"
    frames = write_film(source)
    _step("Video", f"POST {server.url}/api/videos operation=transcode -> 202 Accepted")
    made = _followed(hauler.video(source, "transcode", codec="h265", width=320)).download(home)
    counted = hauler.video(made, "probe").result()["video"]
    if (counted["frames"], counted["codec"], counted["width"]) != (frames, "hevc", 320):
        raise DemoFailed(f"the video has {counted}, and {frames} frames of hevc were expected.")
    _say(f"{made.name}: all {frames} frames, {counted['width']}x{counted['height']}, H.265")


def _followed(job: JobHandle) -> JobHandle:
    job.progress(out=sys.stdout)
    job.check()
    return job


def expected_rows(source: Path) -> list[Row]:
    """The report of the year, computed row by row from the file: what the service must say."""
    months: dict[str, tuple[int, int, Decimal]] = {}
    with source.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        head = next(reader)
        when, units, price = (head.index(name) for name in ("ordered_at", "quantity", "unit_price"))
        for row in reader:
            if row[when][:4] == str(YEAR):
                month = row[when][:7]
                orders, sold, revenue = months.get(month, (0, 0, Decimal(0)))
                count = int(row[units] or 0)
                months[month] = (orders + 1, sold + count, revenue + count * Decimal(row[price] or 0))
    return [(month, *values) for month, values in sorted(months.items())]


def _first_difference(found: list[Row], expected: list[Row]) -> str:
    for left, right in zip(found, expected, strict=False):
        if left != right:
            return f"{left}, the file says {right}"
    return f"{len(found)} months, the file says {len(expected)}"


@contextmanager
def _server(home: Path, *, keep: bool) -> Iterator[Server]:
    """The service on a free loopback port; ended again unless it is to be kept and all went well."""
    from service.settings import Settings, environment

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings.from_env({}, home=home, port=port)
    log = home / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"],
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield Server(f"http://127.0.0.1:{port}", process, log)
    except BaseException:
        _end(process)
        raise
    if not keep:
        _end(process)


def _await(server: Server) -> None:
    """Until the service answers; workers may still be starting."""
    from service.transport import Unreachable
    from service.transport_http import HttpTransport

    deadline = time.monotonic() + START_SECONDS
    transport = HttpTransport(server.url)
    try:
        while True:
            if server.process.poll() is not None or time.monotonic() > deadline:
                said = server.log.read_text(errors="replace").strip().splitlines()[-5:]
                raise DemoFailed("the service did not start. Its last words:\n  " + "\n  ".join(said))
            try:
                transport.document("/healthz")
                return
            except Unreachable:
                time.sleep(0.05)
    finally:
        transport.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _step(title: str, what: str) -> None:
    print(f"\n{title}: {what}", flush=True)


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def _print_table(table: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print()
    for number, row in enumerate(table):
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
