"""
A command for the guard's tests: starts relatives of every kind, writes down their pids, then waits for ever.

    python family.py PIDS_FILE [--deaf] [--leave]

The pids: itself, a child of its process group, a child with a process group of its own, and a daemon (a
session of its own, parent gone). ``--deaf``: itself and the child ignore SIGTERM. ``--leave``: ends at once
with exit code 7, the others stay.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

SLEEP = ["sleep", "600"]


def daemon() -> int:
    """The pid of a process that nobody but a subreaper is responsible for."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        process = subprocess.Popen(SLEEP)
        os.write(write_end, str(process.pid).encode())
        os._exit(0)
    os.wait()
    return int(os.read(read_end, 20))


def main() -> int:
    """Start everybody, then wait."""
    pids_file = Path(sys.argv[1])
    if "--deaf" in sys.argv:
        # Inherited by the children.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids = {
        "itself": os.getpid(),
        "child": subprocess.Popen(SLEEP).pid,
        "group": subprocess.Popen(SLEEP, process_group=0).pid,
        "daemon": daemon(),
    }
    draft = pids_file.with_suffix(".draft")
    draft.write_text(json.dumps(pids))
    draft.rename(pids_file)
    if "--leave" in sys.argv:
        return 7
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
