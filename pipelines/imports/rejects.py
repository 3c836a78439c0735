"""Bad rows set aside: where they stood, what is wrong, what was written. CSV for whoever corrects them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.run import Context
from pipelines.store import Store

SHOWN = 20  # reasons that a failure tells
_RAW = 10_000  # characters of a raw record that are kept
FILE = "rejects.csv"
HEADER = "line,reason,text\r\n"


@dataclass(frozen=True, slots=True)
class Reject:
    """One bad row. `line` is the physical line it begins on (the row in a sheet, the element of an array)."""

    line: int
    reason: str
    text: str
    unit: str = "Line"

    @property
    def sentence(self) -> str:
        return f"{self.unit} {self.line}{'' if self.reason.startswith(', ') else ': '}{self.reason}"


def cut(value: str | None, length: int = 80) -> str:
    """A value short enough for a message."""
    text = value or ""
    return text if len(text) <= length else text[: length - 1] + "…"


def keep(context: Context, part: str, rejects: Sequence[Reject], file: str | None) -> Json:
    """Write down the rejects of a part; what `finish` needs of them. `file` tells many files apart."""
    if not rejects:
        return {"rejected": 0, "rejects": None, "reasons": []}
    key = f"{context.scratch}/rejects-{part}.csv"
    with context.store.put(key) as sink:
        for chunk in _chunks(rejects, file):
            sink.write(chunk.encode("utf-8", "replace"))
    said = [f"{file}: {each.sentence}" if file else each.sentence for each in rejects[:SHOWN]]
    return {"rejected": len(rejects), "rejects": key, "reasons": said}


def collect(context: Context, keys: Iterable[str], target: str) -> None:
    """All rejects of a job as one CSV object."""
    with context.store.put(target) as sink:
        sink.write(HEADER.encode())
        for key in keys:
            with context.store.open(key) as file:
                while block := file.read(1 << 20):
                    sink.write(block)


def stop_on(rejects: Sequence[Reject], file: str | None = None) -> BadInput:
    """The failure of an import that takes no bad row: the first one in the file."""
    first = min(rejects, key=lambda each: each.line)
    said = f"{file}: {first.sentence}" if file else first.sentence
    return BadInput(f"{said}; correct the row, or set options.onBadRow to 'quarantine'.")


def check_share(rejected: int, read: int, allowed: float, reasons: Sequence[str]) -> None:
    """BadInput with the first reasons when too many rows are bad."""
    if rejected <= allowed * read or not rejected:
        return
    said = " | ".join(reasons[:SHOWN])
    raise BadInput(
        f"{rejected:,} of {read:,} rows are bad ({rejected / read:.1%}), more than the {allowed:.0%} that "
        f"options.maxBadShare allows; GET /api/imports/{{id}}/rejects lists them all. {said}"
    )


def read_rejects(store: Store, artifact_path: str) -> str | None:
    """The key of the rejects beside a receipt, None when no row was rejected."""
    key = f"{artifact_path.rsplit('/', 1)[0]}/{FILE}"
    return key if store.exists(key) else None


def rejects_of_failed(store: Store, job_id: str) -> str | None:
    """The key of what the last run of a failed import rejected, None when it did not come to that."""
    found = [stat.key for stat in store.list(f"results/{job_id}") if stat.key.endswith(f"/{FILE}")]
    return max(found, key=lambda key: int(key.split("/")[2]), default=None)


def _chunks(rejects: Sequence[Reject], file: str | None) -> Iterable[str]:
    for start in range(0, len(rejects), 1000):
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        for each in rejects[start : start + 1000]:
            reason = each.reason.removeprefix(", ")
            reason = f"{file}: {reason}" if file else reason
            writer.writerow([each.line, reason, cut(each.text.rstrip("\r\n"), _RAW)])
        yield text.getvalue()
