"""
Run a command inside an Airflow's environment.

    python -m tools.with_airflow --home .demo/airflow -- python -m interchange effects list

Where ``AIRFLOW_HOME`` is set, that Airflow is meant and the command runs as it is; else the demo's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.airflow_home import environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the command; returns only if that is not possible."""
    parser = argparse.ArgumentParser(prog="with_airflow", description="run a command for the demo's Airflow")
    parser.add_argument("--home", type=Path, required=True, help="the demo's AIRFLOW_HOME")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    env = dict(os.environ)
    if not env.get("AIRFLOW_HOME"):
        saved = given.home / "environment.json"
        if not saved.exists():
            print(
                f"No demo has run in {given.home} yet. Start it with `make demo`, "
                "or set AIRFLOW_HOME (and that Airflow's other variables) to work on another one.",
                file=sys.stderr,
            )
            return 2
        env = environment(json.loads(saved.read_text()))
    try:
        os.execvpe(given.command[0], given.command, env)
    except OSError as error:
        print(f"cannot run {given.command[0]}: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
