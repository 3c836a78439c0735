"""The client with the engine inside: the same answers as over HTTP, one engine a process, quiet logs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from service.client import Hauler, HaulierError, Rejected, connect
from service.tracker import HomeInUse, HomeLock

ROWS = "ordered_at,category,quantity,unit_price\n2023-01-05 10:00:00,a,2,1.10\n2023-02-01 00:00:00,b,1,0.10\n"
COLUMNS = {"ordered_at": {"type": "timestamp"}, "unit_price": {"type": "decimal(10,2)"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def hauler(home: Path) -> Iterator[Hauler]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAULIER_WORKERS", "1")
        with connect(home=home) as found:
            source = home / "sales.csv"
            source.write_text(ROWS)
            found.import_file(source, dataset="sales", columns=COLUMNS).result(timeout=120)
            yield found


def test_a_report_comes_back_as_exact_numbers(hauler: Hauler) -> None:
    job = hauler.report("yearly-sales", year=2023, by=["month", "category"])
    frame = job.result(timeout=60)
    assert frame["category"].tolist() == ["a", "b"]
    assert frame["revenue"].tolist() == [Decimal("2.20"), Decimal("0.10")]
    assert [f"{month:%Y-%m}" for month in frame["month"]] == ["2023-01", "2023-02"]
    assert hauler.job(job.id).status().state == "successful"
    assert job.id in {each.id for each in hauler.jobs(kind="report", status="successful")}


def test_a_download_has_the_name_of_the_report(hauler: Hauler, tmp_path: Path) -> None:
    saved = hauler.report("yearly-sales", year="2023", format="csv").download(tmp_path, timeout=60)
    assert saved.name == "yearly-sales-2023.csv"
    assert saved.read_text().splitlines()[1:] == ["2023-01,1,2,2.20", "2023-02,1,1,0.10"]


def test_datasets_say_what_they_hold(hauler: Hauler) -> None:
    (found,) = hauler.datasets()
    assert (found.name, found.version, found.rows, found.time_column) == ("sales", 0, 2, "ordered_at")
    assert found.columns["unit_price"] == "decimal(10,2)"


def test_several_files_are_one_import(hauler: Hauler, home: Path) -> None:
    paths = [home / "one.csv", home / "two.csv"]
    for path in paths:
        path.write_text(ROWS)
    receipt = hauler.import_file(paths, dataset="both", dryRun=True).result(timeout=60)
    assert receipt["rowsLoaded"] == 4
    assert [each["rowsLoaded"] for each in receipt["source"]["files"]] == [2, 2]


def test_refusals_name_every_fault_as_over_http(hauler: Hauler) -> None:
    with pytest.raises(Rejected) as caught:
        hauler.report("yearly-sales", year="20x3", yaer=2023)
    assert caught.value.status == 422
    assert [each["pointer"] for each in caught.value.problem["errors"]] == [
        "/parameters/year",
        "/parameters/yaer",
    ]
    with pytest.raises(Rejected, match="no job 'nonsense'") as missing:
        hauler.job("nonsense")
    assert missing.value.status == 404
    with pytest.raises(Rejected, match="such"):
        hauler.jobs(status="such")


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"measures": ["count"]}, "/parameters/measures/0"),
        ({"measures": {"op": "cuont"}}, "/parameters/measures/0/op"),
        ({"measures": {"op": "count"}, "order_by": "count"}, "/parameters/orderBy/0"),
    ],
)
def test_a_list_of_nothing_but_faults_is_refused(hauler: Hauler, asked: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Rejected) as caught:
        hauler.aggregate("sales", **asked)
    assert [each["pointer"] for each in caught.value.problem["errors"]] == [pointer]


def test_one_entry_may_stand_without_its_list(hauler: Hauler) -> None:
    job = hauler.aggregate("sales", measures={"op": "count"}, by="category", orderBy={"column": "category"})
    assert job.result(timeout=60).to_dict("list") == {"category": ["a", "b"], "count": [1, 1]}


def test_jobs_are_found_by_the_words_people_read(hauler: Hauler) -> None:
    assert hauler.jobs(status="complete") and not hauler.jobs(status="canceled")


def test_the_same_key_is_the_same_job(hauler: Hauler) -> None:
    first = hauler.report("yearly-sales", year=2023, key="q3")
    assert hauler.report("yearly-sales", year=2023, key="q3").id == first.id
    with pytest.raises(Rejected, match="new key"):
        hauler.report("yearly-sales", year=2022, key="q3")


def test_connecting_again_finds_the_running_engine(
    hauler: Hauler, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAULIER_WORKERS", "1")
    with connect(home=home) as again:
        assert [each.name for each in again.datasets()] == ["sales"]
    assert [each.name for each in hauler.datasets()] == ["sales"]


def test_a_home_that_another_process_serves_is_reached_over_http(tmp_path: Path) -> None:
    code = (
        "import sys; from service.tracker import HomeLock; lock = HomeLock.acquire(sys.argv[1]);"
        "lock.publish('http://127.0.0.1:9'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdin
        assert holder.stdout.readline() == "held\n"
        with connect(home=tmp_path) as attached:
            assert repr(attached) == "<Hauler at http://127.0.0.1:9 (another process serves this home)>"
        holder.stdin.close()


def test_a_home_that_another_process_holds_without_serving_is_explained(tmp_path: Path) -> None:
    with HomeLock.acquire(tmp_path), pytest.raises(HaulierError, match="HAULIER_HOME"):
        connect(home=tmp_path)
    with HomeLock.acquire(tmp_path), pytest.raises(HomeInUse):
        HomeLock.acquire(tmp_path)


def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HaulierError, match="give tcp://HOST:PORT"):
        connect(home=tmp_path, scheduler="localhost:8786")


def test_the_engine_says_nothing_on_the_streams(tmp_path: Path) -> None:
    code = (
        "import sys; from service.client import connect\n"
        "with connect(home=sys.argv[1]) as hauler: print(len(hauler.jobs()))\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert (json.loads(run.stdout), run.stderr) == (0, "")
