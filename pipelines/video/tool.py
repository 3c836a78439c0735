"""Which ffmpeg there is: the configured one, that of PATH from 5.1 on, else the wheel's; and what it can do.

Asked once a process and program. Runs `ffmpeg -version` and the like, never with a file of anybody's.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache

from pipelines.errors import PipelineError

OLDEST = (5, 1)  # -fps_mode came with it
CODECS = {"h264": "libx264", "h265": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}
_SECONDS = 20.0
_INSTALL = "install haulier[video], or ffmpeg from 5.1 on (HAULIER_FFMPEG names one that is not on PATH)"


class NoTool(PipelineError):
    """No ffmpeg that could be used, or a part of it is missing."""

    code = "no-ffmpeg"


@dataclass(frozen=True, slots=True)
class Tool:
    """An ffmpeg. `origin` says where it came from: configured, PATH, imageio-ffmpeg."""

    path: str
    version: str
    origin: str
    encoders: frozenset[str]
    filters: frozenset[str]

    @property
    def codecs(self) -> tuple[str, ...]:
        """The video codecs it can encode, as the wire calls them."""
        return tuple(name for name, encoder in CODECS.items() if encoder in self.encoders)

    def missing(self, encoders: frozenset[str], filters: frozenset[str]) -> str | None:
        """A sentence about what it lacks; None when all is there."""
        lacks = sorted(encoders - self.encoders) + sorted(filters - self.filters)
        if not lacks:
            return None
        return f"ffmpeg {self.version} ({self.origin}) has no {', '.join(lacks)}; install haulier[video]."


@lru_cache(maxsize=8)
def find(configured: str | None = None) -> Tool:
    """The ffmpeg to use. NoTool with what to do when there is none."""
    if importlib.util.find_spec("ffmpeg") is None or importlib.util.find_spec("av") is None:
        raise NoTool(f"Video needs ffmpeg-python and av, which are not installed; {_INSTALL}.")
    passed = []
    for path, origin in _candidates(configured):
        version = _version(path)
        if version is not None and (origin == "configured" or _number(version) >= OLDEST):
            return Tool(path, version, origin, _words(path, "-encoders"), _words(path, "-filters"))
        passed.append(f"{path} is {f'ffmpeg {version}' if version else 'none that runs'}")
        if origin == "configured":
            break  # who names one wants that one
    said = f" ({'; '.join(passed)})" if passed else ""
    raise NoTool(f"There is no ffmpeg to use{said}; {_INSTALL}.")


def _candidates(configured: str | None) -> list[tuple[str, str]]:
    found = []
    if configured is not None:
        found.append((shutil.which(configured) or configured, "configured"))
    if (path := shutil.which("ffmpeg")) is not None:
        found.append((path, "PATH"))
    if (path := _of_the_wheel()) is not None:
        found.append((path, "imageio-ffmpeg"))
    return found


def _of_the_wheel() -> str | None:
    """The binary inside the package imageio-ffmpeg, and no other that the package might look for."""
    spec = importlib.util.find_spec("imageio_ffmpeg")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for name in sorted(_listed(f"{folder}/binaries")):
            if name.startswith("ffmpeg-"):
                return f"{folder}/binaries/{name}"
    return None


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _version(path: str) -> str | None:
    found = re.match(r"ffmpeg version (\S+)", _said(path, "-version"))
    return found[1] if found else None


def _number(version: str) -> tuple[int, int]:
    """(5, 1) of `5.1.9-0+deb12u1`; builds from git have no number and are taken for new ones."""
    found = re.match(r"n?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (99, 0)


def _words(path: str, option: str) -> frozenset[str]:
    """The names in a table of ffmpeg: flags, then a name, then words about it."""
    rows = re.findall(r"^ [A-Z.|]{2,7} +(\S+)", _said(path, "-hide_banner", option), re.MULTILINE)
    return frozenset(rows)


def _said(path: str, *arguments: str) -> str:
    try:
        ran = subprocess.run(
            [path, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.decode(errors="replace") if ran.returncode == 0 else ""
