"""All real sample files through an import without any option: expected, got, verdict, and why they differ.

`make samples` prints the table. The files lie beside the checkout in ../shared/samples/tables, or where
--folder says; without them there is nothing to do.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from pipelines.errors import PipelineError  # noqa: E402
from tests.pipelines.importing import SAMPLES, Workshop  # noqa: E402
from tests.samples.explained import EXPLAINED  # noqa: E402

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. `verdict`: same, explained, DIFFERS."""

    file: str
    expected: str
    got: str
    verdict: str
    why: str
    seconds: float


def outcomes(folder: Path, only: str = "") -> Iterator[Outcome]:
    """Every file of EXPECTED.json, in its order."""
    expected = json.loads((folder / "EXPECTED.json").read_text())["files"]
    for each in expected:
        if only in each["file"]:
            yield outcome(folder, each)


def outcome(folder: Path, expected: Json) -> Outcome:
    """Import one file and compare."""
    started = time.perf_counter()
    with TemporaryDirectory() as home:
        shop = Workshop(Path(home) / "home")
        try:
            receipt: Json | None = shop.load("t", _as_uploaded(shop, folder / expected["file"], expected))
            table, said = shop.table("t"), ""
        except PipelineError as error:
            receipt, table, said = None, None, error.detail
        complaints = list(_complaints(expected, receipt, table, said))
    why = EXPLAINED.get(expected["file"], "")
    verdict = "same" if not complaints else "explained" if why else "DIFFERS"
    got = _got(receipt, said)
    reason = "" if verdict == "same" else f"{'; '.join(complaints)} -- {why}"
    return Outcome(expected["file"], _wanted(expected), got, verdict, reason, time.perf_counter() - started)


def _as_uploaded(shop: Workshop, path: Path, expected: Json) -> Path:
    """As the README says: what was gzipped only to be stored is unpacked first."""
    if "stored" not in expected:
        return path
    name = expected.get("upload_name") or path.name.removesuffix(".gz")
    shop.home.parent.mkdir(exist_ok=True)
    return shop.file(gzip.decompress(path.read_bytes()), name)


def _wanted(expected: Json) -> str:
    shape = ""
    if expected.get("rows") is not None:
        shape = f" {expected['rows']} x {expected['columns']}"
        good = expected.get("rows_conforming", expected["rows"])
        shape += f" ({good} good)" if good != expected["rows"] else ""
    elif "tables" in expected:
        first = expected["tables"][0]
        shape = f" {first['rows']} x {first['columns']}"
    return expected["outcome"] + shape


def _got(receipt: Json | None, said: str) -> str:
    if receipt is None:
        return f"refused: {said}"
    dialect = receipt["dialect"]
    marks = {k: dialect[k] for k in ("delimiter", "quote", "escape", "encoding", "sheet") if k in dialect}
    odd = {
        k: v
        for k, v in marks.items()
        if (k, v) not in (("delimiter", ","), ("quote", '"'), ("encoding", "utf-8"))
        and (v is not None or k == "quote")
    }
    rejected = f", {receipt['rowsRejected']} rejected" if receipt["rowsRejected"] else ""
    return f"{receipt['rowsRead']} x {len(receipt['schema'])}{rejected} {odd or ''}".rstrip()


def _complaints(expected: Json, receipt: Json | None, table: pa.Table | None, said: str) -> Iterator[str]:
    kind = expected["outcome"]
    if receipt is None or table is None:
        if kind == "parse" or (kind == "refuse-or-explain" and not said):
            yield "refused"
        return
    if kind in ("refuse", "refuse-preferred", "empty", "header-only"):
        yield "loaded"
        return
    if (
        receipt["rowsRead"] != receipt["rowsLoaded"] + receipt["rowsRejected"]
        or table.num_rows != receipt["rowsLoaded"]
    ):
        yield "rows read are not rows loaded and rejected"
    if kind in ("refuse-or-explain", "report-errors"):
        if not receipt["warnings"]:
            yield "nothing said"
        return
    yield from _shape(expected, receipt)
    yield from _values(expected, table, receipt)


def _shape(expected: Json, receipt: Json) -> Iterator[str]:
    known = expected if expected.get("rows") is not None else (expected.get("tables") or [{}])[0]
    if not known or known.get("rows") is None:
        return
    bad = known["rows"] - known.get("rows_conforming", known["rows"])
    if receipt["rowsRead"] != known["rows"]:
        yield f"{receipt['rowsRead']} rows, not {known['rows']}"
    if receipt["rowsRejected"] != bad:
        yield f"{receipt['rowsRejected']} rejected, not {bad}"
    if len(receipt["schema"]) != known["columns"]:
        yield f"{len(receipt['schema'])} columns, not {known['columns']}"


def _values(expected: Json, table: pa.Table, receipt: Json) -> Iterator[str]:
    """First and last row (twelve cells are known) and the sums of number columns."""
    known = expected if expected.get("first_row") else (expected.get("tables") or [{}])[0]
    rows = table.to_pylist() if table.num_rows <= 10_000 else table.slice(0, 2000).to_pylist()
    wanted = known.get("first_row")
    if wanted and not any(_alike(row, wanted) for row in rows):
        yield f"no row like the first one {wanted[:6]}"
    for name, total in expected.get("sums", {}).items():
        found = [each for each in table.column_names if each.strip() == name.strip()]
        values = [v for v in table[found[0]].to_pylist() if v is not None] if found else []
        if any(isinstance(v, str) for v in values):
            yield f"{name} is text"
        elif not found or sum(Decimal(str(v)) for v in values) != Decimal(
            str(total["sum"] if isinstance(total, dict) else total)
        ):
            yield f"sum of {name} differs"


def _alike(row: Json, wanted: list[str]) -> bool:
    return all(_same(cell, text) for cell, text in zip(row.values(), wanted, strict=False))


def _same(cell: Any, text: str) -> bool:
    """Is a value what the text says, whatever its type?"""
    plain = " ".join(text.removesuffix("...").split())
    if cell is None:
        return plain in ("", "NA", "NULL", "\\N", "N/A", "-", ".", "None") or set(plain) <= {"*", "."}
    if isinstance(cell, str):
        return " ".join(cell.split()).startswith(plain) or (not plain and not cell.strip())
    if isinstance(cell, bool):
        return str(cell).lower() == plain.lower()
    if isinstance(cell, int | float | Decimal):
        digits = plain.replace("\u00a0", "").translate({ord(mark): None for mark in "$£€%"})
        digits = f"-{digits[1:-1]}" if digits[:1] + digits[-1:] == "()" else digits
        for spelled in (digits, digits.replace(",", ""), digits.replace(".", "").replace(",", ".")):
            try:
                if Decimal(spelled) == Decimal(str(cell)) or float(spelled) == float(cell):
                    return True
            except ArithmeticError:
                continue
        return False
    return bool(plain)  # dates come in too many coats to compare here


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Import every real sample file and compare with what is expected."
    )
    parser.add_argument("--folder", type=Path, default=SAMPLES)
    parser.add_argument("--only", default="", help="files whose name contains this")
    given = parser.parse_args()
    if not (given.folder / "EXPECTED.json").is_file():
        print(f"no sample files at {given.folder}; nothing to do")
        return 0
    count: dict[str, int] = {}
    for each in outcomes(given.folder, given.only):
        count[each.verdict] = count.get(each.verdict, 0) + 1
        print(
            f"{each.verdict:9} {each.file}\n          expected {each.expected} | got {each.got[:230]} "
            f"| {each.seconds:.2f} s"
        )
        if each.why:
            print(f"          {each.why[:600]}")
    print(", ".join(f"{number} {verdict}" for verdict, number in sorted(count.items())))
    return 1 if count.get("DIFFERS") else 0


if __name__ == "__main__":
    raise SystemExit(main())
