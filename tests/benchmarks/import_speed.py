"""`make bench-imports`: a CSV of sales into a dataset, beside other engines that make Parquet of it.

All in one run. Ours is the whole service over HTTP: accept, survey, parts on the workers, types decided on
every value, bad rows set aside, clustered layout, commit. With `--gigabytes N` instead: each worker's memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.samples import write_sales_files
from tests.benchmarks.import_engines import ENGINES
from tests.benchmarks.memory import Samples, family, sampled
from tests.live import MiB, Server, server

Run = Callable[[Path], tuple[float, int]]  # the file; wall seconds, peak bytes of all processes


def ours(workers: int, file: Path) -> tuple[float, int]:
    with server(workers, input_folder=file.parent) as live:
        live.wait_for_workers(workers)
        warm(live, file.parent)
        with sampled(lambda: family(live.process.pid)) as memory:
            seconds = imported(live, file.name)
    return seconds, memory.peak


def warm(live: Server, folder: Path) -> None:
    """A worker's first import loads its modules: no part of the speed of a service that runs for weeks."""
    (folder / "warm.csv").write_text("a,b\n" + "1,x\n" * 1000)
    for number in range(2):
        live.watch(
            live.submit("/api/imports", {"dataset": f"warm{number}", "source": "warm.csv"}), every=0.02
        )


def imported(live: Server, name: str) -> float:
    began = time.perf_counter()
    live.watch(live.submit("/api/imports", {"dataset": "sales", "source": name}), every=0.02)
    return time.perf_counter() - began


def theirs(name: str, file: Path) -> tuple[float, int]:
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        command = [sys.executable, "-m", "tests.benchmarks.import_engines", name, str(file)]
        process = subprocess.Popen(
            [*command, f"{folder}/out.parquet"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2"},
            cwd=Path(__file__).parents[2],
        )
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        with process, sampled(lambda: family(process.pid)) as memory:
            process.stdin.write("go\n")
            process.stdin.flush()
            seconds = float(process.stdout.readline())
    return seconds, memory.peak


def compare(file: Path, runs: int) -> None:
    contenders: dict[str, Run] = {
        "haulier, 2 workers": partial(ours, 2),
        "haulier, 1 worker": partial(ours, 1),
        **{name: partial(theirs, name) for name in ENGINES},
    }
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in contenders}
    loads = []
    for _ in range(runs):
        for name, run in contenders.items():
            loads.append(os.getloadavg()[0])
            found[name].append(run(file))
    base = [seconds for seconds, _ in found["haulier, 2 workers"]]
    base_peak = statistics.median(peak for _, peak in found["haulier, 2 workers"])
    size = file.stat().st_size / 1e9
    print(f"{file.name}, {size:.2f} GB; {runs} interleaved runs; load {min(loads):.1f} to {max(loads):.1f}")
    print(f"{'':24} wall s (min-max)      wall, ratio to ours (min-max)   peak MB   ratio")
    for name, results in found.items():
        walls = [seconds for seconds, _ in results]
        ratios = sorted(wall / own for wall, own in zip(walls, base, strict=True))
        peak = statistics.median(peak for _, peak in results)
        print(
            f"{name:24} {statistics.median(walls):6.2f} ({min(walls):.2f}-{max(walls):.2f})    "
            f"{statistics.median(ratios):5.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
            f"{peak / MiB:20.0f}   {peak / base_peak:5.2f}"
        )


def series(file: Path) -> None:
    """How much each worker holds, by tenths of the import."""
    with server(2, input_folder=file.parent) as live:
        live.wait_for_workers(2)
        warm(live, file.parent)
        workers = [process.pid for process in live.workers()]
        with sampled(lambda: family(live.process.pid)) as memory:
            seconds = imported(live, file.name)
    print(
        f"{file.name}, {file.stat().st_size / 1e9:.2f} GB in {seconds:.0f} s; load {os.getloadavg()[0]:.1f}"
    )
    print("peak MB of each tenth of the time:")
    for number, pid in enumerate(workers):
        print(f"  worker {number}: {' '.join(f'{peak / MiB:6.0f}' for peak in tenths(memory, pid, seconds))}")
    print(f"  all processes together at most {memory.peak / MiB:.0f}")


def tenths(memory: Samples, pid: int, seconds: float) -> list[int]:
    peaks = [0] * 10
    for at, held in memory.of(pid):
        place = min(9, int(10 * at / seconds))
        peaks[place] = max(peaks[place], held)
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=float, default=5e6)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--gigabytes", type=float, help="the memory of workers, over a file of about this size"
    )
    parser.add_argument("--folder", type=Path, help="where to keep the generated file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = int(given.gigabytes * 1e9 / 104) if given.gigabytes else int(given.rows)
        folder = (given.folder or Path(temporary)) / f"sales-{rows}"
        file = folder / "sales-0000.csv"
        if not file.exists():
            list(write_sales_files(folder, rows))
        series(file) if given.gigabytes else compare(file, given.runs)


if __name__ == "__main__":
    main()
