"""Users of a soak: toys, real reports, imports and appends, cancels, repeated submissions; and what is right.

Everything a user asks for is drawn from its own seeded dice. The answers to real questions are computed here
from the rows that were imported, so a wrong result of any job is found.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from typing import Any

from tests.faults import toy
from tests.faults.history import ENDED, Client, NeverAnswered
from tests.faults.ledger import Row
from tests.faults.site import Site
from tests.faults.site import reference as toy_reference

ROWS = 60_000
REGIONS = ("East", "North", "South", "West")
LINES = 50  # of one append


def sales() -> list[tuple[int, str, int, float]]:
    """(id, region, quantity, price) of the dataset that the reports are about."""
    dice = random.Random(7)
    return [(n, dice.choice(REGIONS), dice.randint(1, 9), dice.randint(100, 9999) / 100) for n in range(ROWS)]


def csv_of(rows: list[tuple[int, str, int, float]]) -> bytes:
    lines = [f"{n},{region},{quantity},{price:.2f}" for n, region, quantity, price in rows]
    return ("id,region,quantity,price\n" + "\n".join(lines) + "\n").encode()


class Load:
    """Users in threads. `submitted` counts what each kind of job was asked for."""

    def __init__(self, site: Site, seed: int, users: int = 6) -> None:
        self.site, self.submitted = site, Counter[str]()
        self.ended: list[float] = []  # when a user saw a job of its own end well
        self.gave_up: list[str] = []
        self._rows = sales()
        self._stop = threading.Event()
        self._appends: dict[str, int] = {}
        self._threads = [
            threading.Thread(target=self._user, args=(random.Random(seed * 1000 + n),), name=f"user{n}")
            for n in range(users)
        ]

    def prepare(self) -> None:
        """Import the dataset, and the one that appends grow."""
        client = self.site.client
        for name, data in (("sales", csv_of(self._rows)), ("log", csv_of(self._rows[:LINES]))):
            document = client.wait(client.import_file(name, f"{name}.csv", data), 60)
            assert document["status"] == "successful", document["error"]
        job = client.submit(self._question(50.0))
        assert client.wait(job)["status"] == "successful"
        got, want = client.download(job).answer, self.reference({"spec": {}, "parameters": self._asked(50.0)})
        assert got == want, (got, want)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Users finish what they do."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def reference(self, row: Row) -> bytes | None:
        """The right bytes of a toy or of one of our questions."""
        if "toy" in row["spec"] or not isinstance(row["parameters"].get("where"), list):
            return toy_reference(row)
        least = row["parameters"]["where"][0]["value"]
        units: dict[str, int] = defaultdict(int)
        count: dict[str, int] = defaultdict(int)
        for _, region, quantity, price in self._rows:
            if price >= least:
                units[region] += quantity
                count[region] += 1
        lines = [f"{region},{units[region]},{count[region]}" for region in sorted(units)]
        return "".join(f"{line}\r\n" for line in ("region,units,rows", *lines)).encode()

    def misfits(self) -> list[str]:
        """Datasets that are not what their imports say: an import counts once or not at all."""
        rows = {row["id"]: row for row in self.site.rows() if row["kind"] == "import"}
        found, names = [], Counter[str]()
        for row in rows.values():
            if row["state"] == "successful":
                names[row["parameters"]["dataset"]] += 1
        for name in {row["parameters"]["dataset"] for row in rows.values()}:
            call = self.site.client.call("dataset", "GET", f"/api/datasets/{name}")
            have = call.answer["rows"] if call.status == 200 else 0
            want = ROWS if name == "sales" else names[name] * LINES
            if have != want:
                found.append(f"dataset {name} has {have} rows, its {names[name]} imports say {want}")
        return found

    def _user(self, dice: random.Random) -> None:
        client = Client(self.site.urls, self.site.history, timeout=15)
        while not self._stop.is_set():
            try:
                self._once(client, dice)
            except (NeverAnswered, AssertionError) as error:
                self.gave_up.append(str(error)[:300])
            self._stop.wait(dice.random() * 0.3)

    def _once(self, client: Client, dice: random.Random) -> None:
        kind = dice.choices(("toy", "report", "import", "append"), (60, 28, 6, 6))[0]
        self.submitted[kind] += 1
        if kind in ("toy", "report"):
            job = self._ask(client, kind, dice)
        else:
            start = dice.randrange(ROWS - LINES)
            name = "log" if kind == "append" else f"import{uuid.UUID(int=dice.getrandbits(128)).hex[:12]}"
            options = {"mode": "append"} if kind == "append" else None
            data = csv_of(self._rows[start : start + LINES])
            job = client.import_file(name, "more.csv", data, options=options)
        if dice.random() < 0.12:
            time.sleep(dice.random())
            client.cancel(job, 90)
            self.submitted["cancel"] += 1
        document = self._follow(client, job)
        if document["status"] == "successful":
            self.ended.append(time.monotonic())
            if dice.random() < 0.5:
                client.download(job, "report" if kind in ("toy", "report") else "import")

    def _ask(self, client: Client, kind: str, dice: random.Random) -> str:
        if kind == "toy":
            body = toy.body(
                tag=f"soak{dice.getrandbits(40)}",
                parts=dice.randint(1, 8),
                seconds=round(dice.random() * 0.3, 2),
                bytes=dice.choice((100, 5_000, 300_000)),
            )
        else:
            body = self._question(dice.randint(100, 9000) / 100)
        key = uuid.UUID(int=dice.getrandbits(128)).hex
        priority = dice.choice(("interactive", "batch"))
        job = client.submit(body, key=key, seconds=90, priority=priority)
        if dice.random() < 0.1:
            self.submitted["repeated"] += 1
            assert client.submit(body, key=key, seconds=90, priority=priority) == job
        return job

    def _follow(self, client: Client, job: str) -> dict[str, Any]:
        deadline = time.monotonic() + 180
        while True:
            document = client.job(job, 90)
            if document["status"] in ENDED:
                return document
            if time.monotonic() > deadline:
                raise NeverAnswered(f"job {job} is {document['status']} ({document['message']}) after 180 s")
            time.sleep(0.2)

    def _asked(self, least: float) -> dict[str, Any]:
        return {
            "dataset": "sales",
            "by": ["region"],
            "measures": [{"op": "sum", "of": "quantity", "as": "units"}, {"op": "count", "as": "rows"}],
            "where": [{"column": "price", "op": ">=", "value": least}],
            "orderBy": [{"column": "region"}],
        }

    def _question(self, least: float) -> dict[str, Any]:
        return {"reportType": "aggregate", "parameters": self._asked(least), "format": "csv"}
