"""
A synchronisation in a process of its own, for tests that kill it.

    python -m tests.unit.sync.process LEDGER SETTINGS NUMBER
"""

from __future__ import annotations

import json
import sys
import time

from interchange.errors import InterchangeError
from interchange.ledger import Ledger, RunRef
from interchange.settings import load_settings
from interchange.sync.pages import WORKFLOW
from interchange.sync.run import SyncRun

LEASE_S = 1.0


def main() -> int:
    path, settings, number = sys.argv[1:]
    sync = load_settings(WORKFLOW, variable=lambda _: json.dumps({"syncs": [json.loads(settings)]})).syncs[0]
    ledger = Ledger(f"sqlite:///{path}", owner=f"process {number}")
    run = RunRef(dag_id=WORKFLOW, run_id=f"run-{number}", request=f"request-{number}")
    print("ready", flush=True)  # noqa: T201  # who started us waits for it
    for _ in range(20):
        try:
            with ledger.hold("sync", lease_s=LEASE_S) as held:
                work = SyncRun(sync, ledger=ledger, run=run, lease_s=LEASE_S, still_ours=held.check)
                try:
                    work.synchronise()
                    work.delete_originals()
                finally:
                    work.close()
            return 0
        except InterchangeError:
            # The claims of whoever was killed before.
            time.sleep(LEASE_S / 2)
    return 1


if __name__ == "__main__":
    sys.exit(main())
