"""What stands between a worker and ffmpeg: limits on, die with the parent, become the program.

Run as a file (`python -I -S launch.py PARENT LIMITS PROGRAM ARGUMENT...`), so a threaded worker needs no
code between fork and exec, and the process id the worker knows is that of the program. LIMITS is JSON:
{"AS": bytes, "CPU": seconds, ...}, names of RLIMIT_*. Standard library only, and little of it.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys

_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def main(parent: int, limits: dict[str, int], command: list[str]) -> None:
    """Never returns. Exit code 125: the parent was gone already."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the worker's own kill has to do
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(125)
    for name, wanted in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        _, most = resource.getrlimit(number)
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        with contextlib.suppress(OSError, ValueError):  # some systems know a limit and do not let it be set
            resource.setrlimit(number, (value, value))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:])
