"""
The command line: ``python -m interchange GROUP COMMAND …``.

Commands live in the modules named in :data:`GROUPS`; each has ``register(commands)``, which adds its parsers
and sets ``run`` on them, a function of the parsed arguments that returns the exit code. Modules load what is
heavy only when a command runs.

Exit codes
    0   done, or nothing to complain about
    1   a check found something wrong (``verify``: a receipt's effect is missing or altered)
    2   the command line is wrong (argparse)
    3   refused: no such effect, not in a state that allows it, a setting is wrong
    4   not possible now: the ledger cannot be reached, or somebody is at it; try again
"""

from __future__ import annotations

import argparse
import getpass
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from interchange.errors import InterchangeError, Unavailable

if TYPE_CHECKING:
    from interchange.ledger import Ledger

OK, FOUND_WRONG, USAGE, REFUSED, NOT_NOW = range(5)

GROUPS: tuple[str, ...] = ("interchange.ledger.commands", "interchange.doctor", "interchange.sync.commands")
"""Modules that add commands, in the order ``--help`` shows them."""


# argparse has no public name for what add_subparsers() returns and `register` gets.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m interchange",
        description="Look into the effect ledger and decide what only a person can.",
        epilog="Exit codes: 0 done; 1 a check found something wrong; 2 usage; 3 refused; 4 try again later.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in GROUPS:
        importlib.import_module(module).register(commands)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except Unavailable as exc:
        return _complain(exc, NOT_NOW)
    except InterchangeError as exc:
        return _complain(exc, REFUSED)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def common_options() -> argparse.ArgumentParser:
    """Return the options that every command on the ledger takes, for ``parents=``."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--database",
        metavar="URL",
        help="the ledger's database, such as sqlite:////path/interchange.db (default: Airflow's connection "
        "interchange_db, else interchange.db in AIRFLOW_HOME)",
    )
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return options


def open_from(arguments: argparse.Namespace) -> Ledger:
    """Open the ledger that ``--database`` or Airflow names, as the person given by ``--by``."""
    from interchange.ledger import Ledger

    owner = f"cli:{getattr(arguments, 'by', None) or operating_system_user()}"
    if arguments.database:
        return Ledger(arguments.database, owner=owner)
    see_airflows_database()
    from interchange.ledger.connection import open_ledger

    return open_ledger(owner=owner)


def see_airflows_database() -> None:
    """Let Airflow look for connections in its database, too; outside a task it looks in the environment only."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")


def operating_system_user() -> str:
    """Return who runs this, as far as the operating system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return f"uid {os.getuid()}"


def _complain(exc: InterchangeError, code: int) -> int:
    sys.stderr.write(f"{exc}\n")
    return code
