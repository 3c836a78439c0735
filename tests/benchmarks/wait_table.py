"""How long a status and the list take with a million finished jobs in the table, against a thousand.

Both databases. The rows are copies of one job that really ran, put in by SQL with times of their own; then
each question is asked through the routes, sizes in turn, so that the machine's mood strikes both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import psycopg
from sqlalchemy import text

from service.app import create_app
from service.cluster import InlineCluster
from service.dispatcher import Dispatcher
from service.engine import Engine
from service.settings import Settings
from tests.contract.postgres import execute, postgres_server
from tests.service.routing import SALES, House

_ASKED = 200  # times each question is asked in a round
_COLUMNS = "kind, owner, priority, parameters, spec, size, state, epoch, attempt, strikes"
_COLUMNS += ", cancel_requested, done, total, unit, phase, artifact, revision, run_epoch, losses, cached"
_COLUMNS += ", pace_done, leader"


@contextmanager
def house(home: Path, url: str | None) -> Iterator[House]:
    home.mkdir(parents=True)
    more = {} if url is None else {"database_url": url}
    settings = Settings.from_env({}, home=str(home), **more)
    with Engine(settings, dispatch=False) as engine:
        cluster = InlineCluster(settings.store_url)
        dispatcher = Dispatcher(engine.tracker, cluster, engine.store)
        found = House(engine, create_app(engine).test_client(), dispatcher, cluster)
        found.run(found.upload("sales", SALES))
        found.run(found.post())
        yield found
        dispatcher.close()


def fill(found: House, rows: int) -> None:
    """Copies of the report that has ended, a second apart, with a line of history each."""
    database = found.engine.tracker.database
    lite = database.in_order
    moment = (
        "datetime('2020-01-01', '+' || n || ' seconds') || '.000000'"
        if lite
        else "timestamptz '2020-01-01' + n * interval '1 second'"
    )
    numbers = (
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :rows)"
        if lite
        else "WITH s AS (SELECT n FROM generate_series(1, :rows) n)"
    )
    identity = "printf('00copy%020d', n)" if lite else "'00copy' || lpad(n::text, 20, '0')"
    columns = f"id, type, {_COLUMNS}, created, started, updated, finished"
    values = f"{identity}, 'type-' || (n % 20), {_COLUMNS}, {moment}, {moment}, {moment}, {moment}"
    jobs = f"INSERT INTO job ({columns}) {numbers} SELECT {values} FROM s, job WHERE job.id = :like"
    lines = (
        f"INSERT INTO event (job_id, at, name, data) {numbers} "
        f"SELECT {identity}, {moment}, 'accepted', '{{}}' FROM s"
    )
    like = found.jobs()[0]["id"]

    def put(connection: object) -> None:
        run = connection.execute  # type: ignore[attr-defined]
        if not lite:
            run(text("SET LOCAL statement_timeout = 0"))
        run(text(jobs), {"rows": rows, "like": like})
        run(text(lines), {"rows": rows})

    database.write(put)
    if not lite:
        with psycopg.connect(found.engine.settings.database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE job, event")


def questions(found: House) -> dict[str, Callable[[], object]]:
    """Each takes the routes' whole way, from a request to the bytes of its answer."""
    waiting = found.post({"reportType": "yearly-sales", "parameters": {"year": "2020"}}).json["id"]
    ended = "00copy" + "500".zfill(20)
    tag = found.get(f"/api/reports/{ended}/status").headers["ETag"]
    return {
        "status of an ended job": lambda: found.get(f"/api/reports/{ended}/status"),
        "the same, 304": lambda: found.get(f"/api/reports/{ended}/status", If_None_Match=tag),
        "document of a waiting job": lambda: found.get(f"/api/jobs/{waiting}"),
        "list": lambda: found.get("/api/jobs?limit=50"),
        "list of a kind": lambda: found.get("/api/jobs?kind=report&limit=50"),
        "list of a state": lambda: found.get("/api/jobs?status=successful&limit=50"),
        "list of a type": lambda: found.get("/api/jobs?kind=report&type=type-7&limit=50"),
        "changes": lambda: found.get("/api/jobs/changes"),
    }


def milliseconds(ask: Callable[[], object]) -> float:
    """The median of many."""
    took = []
    for _ in range(_ASKED):
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


def measure(folder: Path, name: str, urls: tuple[str | None, str | None], rows: tuple[int, int]) -> None:
    print(f"\n{name}: ms, medians of {_ASKED}; ratio of rounds: median (lowest-highest)")
    with ExitStack() as stack:
        small, large = (
            stack.enter_context(house(folder / f"{name}-{count}", url))
            for count, url in zip(rows, urls, strict=True)
        )
        for found, count in zip((small, large), rows, strict=True):
            began = time.monotonic()
            fill(found, count)
            print(f"  filled with {count:,} jobs in {time.monotonic() - began:.0f} s", flush=True)
        for what, (few, many) in zip(
            questions(small),
            zip(questions(small).values(), questions(large).values(), strict=True),
            strict=True,
        ):
            rounds = [(milliseconds(few), milliseconds(many)) for _ in range(5)]
            ratios = sorted(b / a for a, b in rounds)
            ours, theirs = (statistics.median(each) for each in zip(*rounds, strict=True))
            spread = f"{ratios[2]:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
            print(f"  {what:28} {ours:7.2f} {theirs:7.2f}   {spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()}")
    rows = arguments.few, arguments.many
    with tempfile.TemporaryDirectory() as folder:
        if arguments.database != "postgresql":
            measure(Path(folder), "sqlite", (None, None), rows)
        if arguments.database != "sqlite":
            with postgres_server() as socket:
                for name in ("few", "many"):
                    execute(socket, f"CREATE DATABASE {name}")
                few, many = (f"postgresql://haulier@/{name}?host={socket}" for name in ("few", "many"))
                measure(Path(folder), "postgresql", (few, many), rows)


if __name__ == "__main__":
    main()
