"""Files made to hurt: they fail their own import with the place named, and the workers live on."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults import toy
from tests.faults.embedded import Embedded


def hostile() -> dict[str, tuple[str, bytes]]:
    """What each is, its file name and bytes. All small."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(50_000), "b": np.random.default_rng(1).random(50_000)}), sink)
    whole = sink.getvalue()
    flipped = bytearray(whole)
    for place in range(1000, len(flipped) - 2000, 997):
        flipped[place] ^= 0x55
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"a,b\n" + b"0" * (400 << 20))
    return {
        "truncated parquet": ("a.parquet", whole[: len(whole) // 2]),
        "flipped parquet": ("a.parquet", bytes(flipped)),
        "zip bomb": ("a.zip", packed.getvalue()),
        "gzip of one long line": ("a.csv.gz", gzip.compress(b"a,b\n" + b"x" * (300 << 20), 1)),
        "NULs": ("a.csv", b"a,b\n" + b"\0" * 100_000),
        "noise named csv": ("a.csv", np.random.default_rng(2).bytes(200_000)),
        "text named parquet": ("a.parquet", b"a,b\n1,2\n"),
        "empty": ("a.csv", b""),
    }


@pytest.mark.slow
@pytest.mark.faults
def test_hostile_files_fail_their_import_only(embedded: Embedded) -> None:
    """Row 34: failed with a code of its own or refused before; the worker processes stay the same."""
    workers = {process.pid for process in embedded.workers()}
    for n, (what, (name, data)) in enumerate(hostile().items()):
        path = f"/api/imports?dataset=hostile{n}&filename={name}"
        headers = {"Content-Type": "application/octet-stream"}
        call = embedded.client.call("submit", "POST", path, headers=headers, data=data, key=f"hostile-{n}")
        assert call.status in (202, 400, 413, 422), (what, call.status, call.answer)
        if call.status == 202:
            document = embedded.client.wait(call.answer["id"], 120)
            code = (document["error"] or {}).get("code")
            fine = document["status"] == "successful" or code in ("bad-input", "too-large", "no-space")
            assert fine, (what, document["status"], document["error"])
    assert {process.pid for process in embedded.workers()} == workers
    assert max(psutil.Process(pid).memory_info().rss for pid in workers) < 1 << 30
    assert embedded.client.wait(embedded.client.submit(toy.body(tag="after them")))["status"] == "successful"
