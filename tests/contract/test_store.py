"""What every Store promises, on each file system that is at hand."""

from __future__ import annotations

import errno
import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Fault, InvalidRequest, NoSpace, PipelineError, UnknownDataset, foreseen, nearest
from pipelines.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}")


def put(store: Store, key: str, data: bytes) -> None:
    with store.put(key) as sink:
        sink.write(data)


def test_a_put_is_read_back_whole_and_in_ranges(store: Store) -> None:
    with store.put("a/b.bin") as sink:
        sink.write(b"hello ")
        sink.write(memoryview(b"world"))
    assert (sink.bytes, sink.sha256) == (11, hashlib.sha256(b"hello world").hexdigest())
    assert store.stat("a/b.bin").bytes == 11
    assert store.open("a/b.bin").read() == b"hello world"
    assert store.read_range("a/b.bin", 6, 100) == b"world"


def test_nothing_is_visible_before_the_put_ends(store: Store) -> None:
    with store.put("a/b") as sink:
        sink.write(b"x")
        assert not store.exists("a/b")
    assert store.exists("a/b")


def test_a_failed_put_leaves_nothing_and_keeps_the_old_object(store: Store) -> None:
    put(store, "a/b", b"old")
    with pytest.raises(ZeroDivisionError), store.put("a/b") as sink:
        sink.write(b"new" * (1 // 0))
    assert store.open("a/b").read() == b"old"
    assert [each.key for each in store.list("a")] == ["a/b"]


def test_a_put_that_is_not_synced_is_whole_all_the_same(store: Store) -> None:
    with store.put("k", sync=False) as sink:
        sink.write(b"x" * 100)
        assert not store.exists("k")
    assert store.open("k").read() == b"x" * 100


def test_a_full_disk_says_what_to_do_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(NoSpace, match="free some space") as caught, store.put("a/b"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.code == "no-space"
    assert list(store.list("a")) == []


def test_what_machines_at_their_limits_raise_is_foreseen() -> None:
    known = {
        OSError(errno.EDQUOT, "quota"): "no-space",
        ValueError("write failed: No space left on device (os error 28)"): "no-space",
        MemoryError("malloc"): "out-of-memory",
        UnknownDataset("x"): "unknown-dataset",
        OSError(errno.EIO, "broken"): None,
        KeyError("x"): None,
    }
    for error, code in known.items():
        assert getattr(foreseen(error), "code", None) == code
        copy = pickle.loads(pickle.dumps(foreseen(error)))
        assert getattr(copy, "code", None) == code


def test_a_second_put_replaces_the_object(store: Store) -> None:
    put(store, "k", b"one")
    put(store, "k", b"three")
    assert store.open("k").read() == b"three"


def test_list_is_sorted_and_children_are_folders(store: Store) -> None:
    for key in ("d/b/2", "d/a/1", "d/c"):
        put(store, key, b"x")
    assert [each.key for each in store.list("d")] == ["d/a/1", "d/b/2", "d/c"]
    assert store.children("d") == ("a", "b")
    assert list(store.list("missing")) == [] and store.children("missing") == ()


def test_delete_takes_objects_and_prefixes_and_forgives_missing_ones(store: Store) -> None:
    put(store, "d/a", b"x")
    put(store, "d/b", b"x")
    store.delete("d/a")
    assert not store.exists("d/a")
    store.delete("d")
    store.delete("d")
    assert list(store.list("d")) == []


def test_a_missing_object_is_a_file_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("nope").read()


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/.hidden", "a b", "a\x00b", "a/"]
)
def test_unsafe_keys_never_reach_the_file_system(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="not a store key"):
        store.exists(key)


def test_rename_moves_a_whole_prefix(store: Store) -> None:
    put(store, "old/a", b"1")
    store.rename("old", "new")
    assert store.exists("new/a") and not store.exists("old/a")


def test_pipeline_errors_survive_pickling_with_their_text() -> None:
    for error in (
        UnknownDataset("no such dataset"),
        InvalidRequest([Fault("/a", "wrong")]),
        PipelineError("x"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.detail, copy.code) == (type(error), error.detail, error.code)


def test_nearest_names_the_known_ones() -> None:
    assert nearest("regoin", ["region", "revenue"]) == "; did you mean 'region'?"
    assert nearest("Region", ["region"]) == "; did you mean 'region'?"
    assert nearest("zzz", ["a", "b"]) == "; known are 'a', 'b'"
    assert nearest("zzz", []) == ""


def test_others_at_the_same_folder_are_no_trouble(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble: list[OSError] = [OSError(errno.ENOTEMPTY, "one was added"), FileNotFoundError("one went first")]

    def troubled(method: str) -> None:
        real = getattr(store._fs, method)

        def call(*arguments: Any, **more: Any) -> Any:
            if trouble:
                raise trouble.pop()
            return real(*arguments, **more)

        monkeypatch.setattr(store._fs, method, call)

    put(store, "folder/a", b"x")
    troubled("rm")
    store.delete("folder")
    assert list(store.list("folder")) == []
    trouble = [FileNotFoundError("the folder was removed")]
    troubled("open")
    put(store, "folder/a", b"x")
    assert store.exists("folder/a")


def test_folders_that_hold_nothing_go_but_not_the_first(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    put(store, "a/b/c/d", b"x")
    put(store, "a/e", b"x")
    store.prune("a/b/c/d")
    assert store.exists("a/b/c/d")
    store.delete("a/b/c/d")
    store.prune("a/b/c/d")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["e"]
    store.delete("a/e")
    store.prune("a/e")
    store.prune("a/gone/long/ago")
    assert (tmp_path / "a").is_dir()
