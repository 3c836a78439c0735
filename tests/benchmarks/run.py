"""`make bench`: every figure that README quotes, measured side by side in one run."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.samples import write_sales
from tests.benchmarks import post_latency, ten_million


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e7, help="rows of the generated sales file")
    parser.add_argument("--folder", type=Path, help="where to keep the generated file and the homes")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {int(arguments.rows):,} rows")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        file, home = folder / "input" / f"sales-{int(arguments.rows)}.csv", folder / "home"
        file.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(exist_ok=True)
        if not file.exists():
            write_sales(file, int(arguments.rows))
        ten_million.measure(file, home)
        post_latency.measure(home)


if __name__ == "__main__":
    main()
