"""
Parse a folder of DAG files as the DAG processor does, and note what the files do meanwhile.

``python -m tests.unit.dag_files.parse_probe FOLDER`` prints one JSON object: ``dags``, ``errors`` by file, ``events``
(calls that leave the process or start another), ``lookups`` (Variables and Connections asked for), ``modules`` loaded
by the files.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.dag_processing.dagbag import DagBag

from tests.unit.dag_files.secrets_watcher import lookups

WATCHED = ("socket.", "sqlite3.", "subprocess.", "os.system", "os.posix_spawn", "os.exec", "os.fork")


def main(folder: str) -> None:
    before = set(sys.modules)
    events: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(WATCHED):
            events.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(watch)
    bag = DagBag(dag_folder=folder)
    found = {
        "dags": sorted(bag.dags),
        "errors": bag.import_errors,
        "events": list(events),
        "lookups": list(lookups),
        "modules": sorted(set(sys.modules) - before),
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
