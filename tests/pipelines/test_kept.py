"""Kept partials: what a run computed serves the next one; a kept object never fails a part, torn or not."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import kept
from pipelines.plan import Json
from pipelines.run import Context, perform
from pipelines.store import Sink, Store

TABLE = pa.table({"k": list(range(1000)), "t": ["abc"] * 1000})
calls: list[int] = []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def slowly(context: Context, spec: Json, payload: Json) -> Json:
    """An entry that takes long enough to be kept."""
    calls.append(payload["n"])
    time.sleep(spec["seconds"])
    return {"n": payload["n"], "by": context.epoch}


def keep(store: Store, value: Any = TABLE, name: str = "q", part: int = 0, took: float = 1.0) -> Path:
    assert kept.put(store, name, part, value, took)
    return Path(store.path(f"kept/{name}/v1-{part}"))


@pytest.mark.parametrize("value", [TABLE, {"fragments": [{"rows": 3}]}, None, (TABLE, (TABLE,))])
def test_what_is_kept_comes_back_the_same(store: Store, value: Any) -> None:
    keep(store, value)
    assert kept.get(store, "q", 0) == value


def test_a_partial_is_found_by_its_name_and_part_only(store: Store) -> None:
    keep(store)
    for name, part in (("q", 1), ("other", 0)):
        with pytest.raises(KeyError):
            kept.get(store, name, part)


@pytest.mark.parametrize("length", [0, 3, 40, 60, -1])
def test_a_torn_one_is_a_miss_and_goes_away(store: Store, length: int) -> None:
    path = keep(store)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(KeyError):
        kept.get(store, "q", 0)
    assert not path.exists()


def test_a_damaged_one_is_a_miss_whichever_byte_it_is(store: Store) -> None:
    whole = keep(store, {"n": 1}).read_bytes()
    for place in range(len(whole)):
        path = keep(store, {"n": 1})
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(KeyError):
            kept.get(store, "q", 0)
        assert not path.exists()


def test_what_is_quick_or_huge_is_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not kept.put(store, "q", 0, {"n": 1}, took=0.005)
    assert kept.put(store, "q", 0, {"n": 1}, took=0.05)
    large = pa.table({"x": pa.array(range(1 << 20))})
    assert not kept.put(store, "q", 1, large, took=0.05)
    assert kept.put(store, "q", 1, large, took=5.0)
    monkeypatch.setattr(kept, "_LARGEST", 1 << 20)
    assert not kept.put(store, "q", 2, large, took=5.0)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), PermissionError("no"), ValueError("odd")])
def test_a_store_that_cannot_keep_fails_no_part(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    @contextmanager
    def put(self: Store, key: str, *, sync: bool = True) -> Iterator[Sink]:
        raise error
        yield

    monkeypatch.setattr(Store, "put", put)
    assert kept.through(store, "q", 0, lambda: time.sleep(0.02) or 7) == 7  # type: ignore[func-returns-value]


def test_a_store_that_cannot_be_read_fails_no_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Store, key: str) -> Any:
        raise OSError(errno.EIO, "broken")

    keep(store)
    monkeypatch.setattr(Store, "open", refuse)
    assert kept.through(store, "q", 0, lambda: 7) == 7


def test_a_value_that_cannot_be_pickled_is_no_trouble(store: Store) -> None:
    assert not kept.put(store, "q", 0, lambda: None, took=1.0)
    assert list(store.list("kept")) == []


def test_a_part_runs_once_whatever_run_asks(store: Store) -> None:
    calls.clear()
    spec = {"seconds": 0.02}

    def run(epoch: int, part: int | None, keep: str | None) -> Any:
        context = Context("job", epoch, store.url, part, keep)
        return perform(f"{__name__}:slowly", context, spec, {"n": part})

    assert run(1, 4, "q") == {"n": 4, "by": 1}
    assert run(2, 4, "q") == {"n": 4, "by": 1}
    assert calls == [4]
    assert run(2, 5, "q") == {"n": 5, "by": 2}
    assert run(3, 4, None) == {"n": 4, "by": 3}  # a plan that keeps nothing
    assert run(3, None, "q") == {"n": None, "by": 3}  # not a part
    assert calls == [4, 5, 4, None]


def test_discard_takes_all_below_a_name(store: Store) -> None:
    keep(store, name="job1/aa")
    keep(store, name="job1/bb", part=3)
    keep(store, name="job12/aa")
    kept.discard(store, "job1")
    assert [stat.key for stat in store.list("kept")] == ["kept/job12/aa/v1-0"]
    kept.discard(store, "job1")
