"""The one module that runs ffmpeg: in a group of its own, limited, watched, and dead when its job is.

The launcher (`launch.py`) sets limits and ties the process to the thread that waits for it, so a worker that
dies takes it along; a cancel, a deadline or a stall kills the whole group. Exit code 0 proves nothing here:
who calls looks at what came out. Must not know operations.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import BadInput, NoSpace, OutOfMemory, PipelineError
from pipelines.video import launch, sandbox

STALL = 120.0  # seconds without a sign of life: no picture, no media time, no byte of a log
_LOOK = 0.1
_LOG = 64 << 10  # bytes of the end of the log that are kept
_BEGIN = ("-hide_banner", "-nostdin", "-nostats", "-progress", "pipe:1", "-stats_period", "0.25", "-y")
_ALLOCATION = 1 << 29  # bytes of one allocation
_LIMITS = {
    "AS": (8 << 30) + (os.cpu_count() or 1) * (256 << 20),  # loose: encoders map more than they use
    "FSIZE": 64 << 30,
    "CPU": 48 * 3600,
    "NOFILE": 256,
    "CORE": 0,
}
_LIBRARIES_LOG = ("Svt[", "x265 [", "SvtMalloc")  # they do not ask for the log level


class TookTooLong(PipelineError):
    """ffmpeg stood still or worked longer than it may."""

    code = "timeout"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: pictures written, milliseconds of media."""

    frames: int = 0
    milliseconds: int = 0


@dataclass
class Ended:
    """A run that ended well. `errors` counts lines about damage in what was read."""

    progress: Progress
    log: str
    errors: int
    seconds: float


@dataclass
class _Watch:
    """What has been heard of a run."""

    frames: int = 0
    milliseconds: int = 0
    lines: int = 0
    log: bytearray = field(default_factory=bytearray)
    pending: bytes = b""
    moved: float = field(default_factory=time.monotonic)

    def said(self, data: bytes) -> None:
        """Blocks of name=value on standard output."""
        *lines, self.pending = (self.pending + data).split(b"\n")
        before = (self.frames, self.milliseconds)
        for line in lines:
            name, _, value = line.partition(b"=")
            if name == b"frame":
                self.frames = max(self.frames, _number(value))
            elif name == b"out_time_us":
                self.milliseconds = max(self.milliseconds, _number(value) // 1000)
        if (self.frames, self.milliseconds) != before:
            self.moved = time.monotonic()

    def complained(self, data: bytes) -> None:
        self.lines += data.count(b"\n")
        self.log += data
        del self.log[:-_LOG]
        self.moved = time.monotonic()

    @property
    def progress(self) -> Progress:
        return Progress(self.frames, self.milliseconds)

    @property
    def text(self) -> str:
        return self.log.decode(errors="replace")


def run(
    program: str,
    arguments: Sequence[str],
    folder: Path,
    *,
    sources: Sequence[str] = (),
    tell: Callable[[Progress], None] = lambda progress: None,
    level: str = "error",
    stall: float = STALL,
) -> Ended:
    """Run ffmpeg in `folder`. `tell` is called five times a second at least; what it raises ends the run.

    BadInput, NoSpace, OutOfMemory or TookTooLong when it fails, with one sentence made of what it said.
    """
    started = time.monotonic()
    full = [*_BEGIN, "-v", level, "-max_alloc", str(_ALLOCATION), *arguments]
    command = sandbox.wrapped(program, full, folder, sources)
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), json.dumps(_LIMITS), *command]
    watch = _Watch()
    child = subprocess.Popen(
        launcher,
        cwd=folder,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", "SVT_LOG": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _follow(child, watch, tell, stall)
        code = child.wait()
    finally:
        _end(child)
    if code != 0:
        raise _failure(code, watch, folder)
    tell(watch.progress)
    return Ended(watch.progress, watch.text, _errors(watch), time.monotonic() - started)


def _follow(
    child: subprocess.Popen[bytes], watch: _Watch, tell: Callable[[Progress], None], stall: float
) -> None:
    """Until both of its pipes are closed."""
    assert child.stdout is not None and child.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ, watch.said)
        selector.register(child.stderr, selectors.EVENT_READ, watch.complained)
        while selector.get_map():
            for key, _ in selector.select(_LOOK):
                data = os.read(key.fd, 1 << 16)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
            tell(watch.progress)
            if time.monotonic() - watch.moved > stall:
                raise TookTooLong(
                    f"ffmpeg made no progress for {stall:,.0f} seconds and was stopped; try it again, and if "
                    "it stalls again show the file to the operator."
                )


def _end(child: subprocess.Popen[bytes]) -> None:
    """No process of the group outlives this."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def _failure(code: int, watch: _Watch, folder: Path) -> PipelineError:
    text = watch.text
    if "No space left on device" in text:
        return NoSpace()
    if code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ) or "File too large" in text:
        return BadInput(f"The result grew beyond {_LIMITS['FSIZE'] >> 30} GB and was given up; ask for less.")
    if code in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
        return TookTooLong("ffmpeg used all the processor time it may; ask for less at once.")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL) or "Cannot allocate memory" in text:
        return OutOfMemory()
    return BadInput(
        f"ffmpeg gave up: {_reason(text, folder)}. The file is damaged, or not what it says it is."
    )


def _reason(text: str, folder: Path) -> str:
    """The last thing it said that a person may see: no paths of this machine."""
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_LIBRARIES_LOG)
    ]
    telling = [line for line in lines if "Error" in line or "rror " in line or "nvalid" in line] or lines
    said = (telling or ["no reason given"])[-1].replace(str(folder), "").rpartition("] ")[2]
    return " ".join(word for word in said.split() if "/" not in word or len(word) < 4)[:160].rstrip(".:")


def _errors(watch: _Watch) -> int:
    ours = sum(line.startswith(_LIBRARIES_LOG) for line in watch.text.splitlines())
    return max(0, watch.lines - ours)


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:  # N/A before the first block of media
        return 0
