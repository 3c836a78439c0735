"""Write sample sales: `python data/make_samples.py --rows 1e6 --format csv`. See data/README.md.

A thin command over `pipelines.samples`, which holds the generator.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pipelines.samples import write_sales_files

MOST = 100_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Write seeded, real-looking sales of four years.")
    parser.add_argument("--rows", type=_rows, default=1_000_000, help="how many, up to 1e8 (default 1e6)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "var" / "samples", help="folder")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--files", type=int, default=1, help="over how many files (default 1)")
    parser.add_argument("--processes", type=int, default=None, help="default: one a core")
    chosen = parser.parse_args()
    began = time.monotonic()
    for path in write_sales_files(
        chosen.out, chosen.rows, chosen.seed, chosen.format, chosen.files, chosen.processes
    ):
        print(f"{path}  {path.stat().st_size:,} bytes", flush=True)
    print(f"{chosen.rows:,} rows in {time.monotonic() - began:.1f} s")


def _rows(text: str) -> int:
    rows = int(float(text))
    if not 1 <= rows <= MOST:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {MOST:,}")
    return rows


if __name__ == "__main__":
    main()
