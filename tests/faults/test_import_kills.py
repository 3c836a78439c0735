"""kill -9 in the middle of a big import, again and again: the dataset is the old version or the new."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest

from pipelines.datasets import Catalog, read_row_groups, row_group_rows
from pipelines.samples import write_sales
from pipelines.store import Store
from tests.faults.processes import Node, end, eventually
from tests.faults.scaled import Scaled
from tests.faults.site import sound

ROWS = 5_000_000
KILLS = 20
LONGEST = 300.0  # seconds an import may take with all that happens to it
Whole = tuple[int, int]  # rows, and the sum of a column


def whole(store: Store) -> tuple[int, Whole]:
    """The newest version and what it holds, read to the last row group; fails when a piece is not there."""
    catalog = Catalog(store)
    dataset = catalog.get("sales")
    rows, total = 0, 0
    for fragment in catalog.fragments("sales", dataset.version):
        assert store.stat(fragment.path).bytes == fragment.bytes, fragment.path
        assert sum(row_group_rows(store, fragment.path)) == fragment.rows, fragment.path
        for table in read_row_groups(store, fragment.path, None, ["quantity"]):
            rows, total = rows + table.num_rows, total + (pc.sum(table["quantity"]).as_py() or 0)
    assert rows == dataset.rows
    return dataset.version, (rows, total)


def unaccounted(site: Scaled) -> list[str]:
    """Files that no version, no result and no running job needs."""
    store = Store(str(site.store))
    catalog, named = Catalog(store), set[str]()
    for version in catalog.versions("sales"):
        named |= {each.path for each in catalog.fragments("sales", version["version"])}
    own = {
        stat.key
        for prefix in ("uploads", "scratch", "kept", "datasets")
        for stat in store.list(prefix)
        if "/_delta_log/" not in stat.key and "/_kept/" not in stat.key
    }
    return sorted(own - named)


def replace(site: Scaled, source: str, key: str) -> str:
    body = {"dataset": "sales", "source": source, "options": {"mode": "replace"}}
    call = site.client.persist(60, lambda: site.client.call("submit", "POST", "/api/imports", body, key=key))
    assert call.status == 202, call
    return str(call.answer["id"])


def tell(line: str) -> None:
    """For `pytest -s`: the run takes long."""
    print(line, flush=True)  # noqa: T201


def kills(site: Scaled, dice: random.Random) -> dict[str, Callable[[], None]]:
    """How each is killed, and brought back as its supervisor would."""

    def again(node: Node) -> None:
        end(node.family())
        node.wait(30)  # a process of many threads may be a zombie long before it has ended
        node.start()

    def server() -> None:
        again(site.servers[0])

    def dispatcher() -> None:
        again(site.dispatchers[0])

    def worker() -> None:
        if workers := site.workers():
            chosen = dice.choice(workers)
            site.harmed.add(chosen.pid)
            end([chosen])

    return {"server": server, "dispatcher": dispatcher, "worker": worker}


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_big_import_killed_at_random_leaves_the_old_version_or_the_new_one(tmp_path: Path) -> None:
    """20 kills; SEED in the environment repeats a run. Old versions and strays are swept meanwhile."""
    seed = int(os.environ.get("SEED", "4"))
    dice = random.Random(seed)
    names = ("a.csv", "b.csv")
    for number, name in enumerate(names):
        write_sales(tmp_path / name, ROWS, seed=number)
    site = Scaled(HAULIER_INPUT_FOLDERS=str(tmp_path), HAULIER_KEEP_VERSION_DAYS="0.0001")
    try:
        site.start()
        store, how = Store(str(site.store)), kills(site, dice)
        holds, length = {}, 0.0
        for name in names:
            began = time.monotonic()
            assert site.client.wait(replace(site, name, name), LONGEST)["status"] == "successful"
            length = time.monotonic() - began
            version, holds[name] = whole(store)
        assert holds["a.csv"][0] == holds["b.csv"][0] == ROWS and holds["a.csv"] != holds["b.csv"]
        seen = Counter[str]()
        victims = [sorted(how)[n % len(how)] for n in range(KILLS)]
        dice.shuffle(victims)
        for number, victim in enumerate(victims):
            old, new = holds[names[(number + 1) % 2]], holds[names[number % 2]]
            job = replace(site, names[number % 2], f"kill-{number}")
            moment = dice.uniform(0, 1.05 * length)
            time.sleep(moment)
            phase = site.client.job(job)["phase"]
            how[victim]()
            after, found = whole(store)
            assert (after, found) in ((version, old), (version + 1, new)), (
                victim,
                moment,
                phase,
                after,
                found,
            )
            seen["new at once" if after > version else "old at first"] += 1
            ended = site.client.wait(job, LONGEST)
            assert ended["status"] == "successful", (victim, moment, phase, ended["error"])
            assert whole(store) == (version + 1, new), (victim, moment, phase)
            version += 1
            place = f"{number + 1:>2} {victim:<10} after {moment:4.1f} s, {phase}"
            tell(f"{place}: version {after}, then {version}")
        tell(json.dumps({"seed": seed, "seconds of an import": round(length, 1), **seen}))
        sound(site)
        eventually("every file accounted for", lambda: not unaccounted(site), 60, every=0.5)
        assert whole(store) == (version, new)
        tell("no file unaccounted")
    except BaseException:
        tell(site.tails())
        raise
    finally:
        site.close()
