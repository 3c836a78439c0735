"""What ffmpeg may see where bubblewrap works: its own libraries, its sources, the job's folder. No network.

Elsewhere the fence is that of `sniff` (one demuxer, local files) and the limits of the launcher alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

_LIBRARIES = ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives", "/etc/ld.so.cache")
_FONTS = ("/etc/fonts", "/var/cache/fontconfig")
_FLAGS = ("--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")


def wrapped(program: str, arguments: Sequence[str], folder: Path, sources: Sequence[str]) -> list[str]:
    """The command that runs a program with read access to `sources` and write access to `folder`."""
    command = [program, *arguments]
    bubblewrap = find()
    if bubblewrap is None:
        return command
    binds = [part for path in (*_LIBRARIES, *_FONTS) for part in ("--ro-bind-try", path, path)]
    real = os.path.realpath(program)
    binds += ["--ro-bind", real, program]
    for source in sources:
        binds += ["--ro-bind", source, source]
    return [bubblewrap, *_FLAGS, *binds, "--bind", str(folder), str(folder), "--chdir", str(folder), *command]


@lru_cache(maxsize=1)
def find() -> str | None:
    """bubblewrap, if it is there and may be used: many containers forbid new name spaces."""
    path = shutil.which("bwrap")
    if path is None:
        return None
    try:
        tried = subprocess.run(
            [path, *_FLAGS, "--ro-bind", "/", "/", "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if tried.returncode == 0 else None
