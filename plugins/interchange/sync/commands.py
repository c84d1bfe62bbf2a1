"""Spinoco's part of the command line."""

from __future__ import annotations

import argparse
import sys

from interchange.cli import FOUND_WRONG, OK, Subparsers, see_airflows_database


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "stored", help="compare Spinoco's storages with the receipts: missing, altered, unknown files"
    )
    parser.add_argument("sync", nargs="*", help="names of syncs; none: all")
    parser.set_defaults(run=_stored)


def _stored(arguments: argparse.Namespace) -> int:
    see_airflows_database()
    from interchange.ledger.connection import open_ledger
    from interchange.settings import load_settings
    from interchange.settings.named import chosen
    from interchange.sync.pages import WORKFLOW
    from interchange.sync.verifying import compare

    ledger = open_ledger(owner="stored")
    wrong = 0
    for sync in chosen(load_settings(WORKFLOW).syncs, arguments.sync, key="syncs"):
        for finding in compare(sync, ledger):
            wrong += 1
            sys.stdout.write(f"{sync.name}  {finding.what}  {finding.path}  {finding.detail}\n")
    sys.stdout.write(f"{wrong or 'no'} files are not as their receipts say\n")
    return FOUND_WRONG if wrong else OK
