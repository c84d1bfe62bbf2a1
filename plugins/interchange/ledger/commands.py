"""Commands over the ledger: look, verify, and what only a person may decide."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from interchange.cli import (
    FOUND_WRONG,
    OK,
    Subparsers,
    common_options,
    open_from,
    operating_system_user,
)
from interchange.errors import NotFound
from interchange.ledger.model import Effect, EffectRef, Receipt, State

_MAX_CELL = 60  # characters of a table's cell; --json shows all


def register(commands: Subparsers) -> None:
    """Add the ledger's commands."""
    common = common_options()
    decision = _decision_options()

    effects = commands.add_parser("effects", help="list and show effects").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = effects.add_parser("list", help="list effects, the last changed first", parents=[common])
    _add_filters(listing)
    listing.add_argument("--state", type=State, choices=list(State))
    listing.set_defaults(run=_list)
    show = effects.add_parser("show", help="show one effect, its receipt and events", parents=[common])
    show.add_argument("ref", type=_ref, metavar="WORKFLOW/KIND/KEY")
    show.set_defaults(run=_show)

    quarantine = commands.add_parser("quarantine", help="records that were set aside").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = quarantine.add_parser("list", help="list them, with field and reason", parents=[common])
    _add_filters(listing)
    listing.set_defaults(run=_list, state=State.QUARANTINED)
    for name in ("replay", "release"):
        replay = quarantine.add_parser(
            name, help="put one back: the next run tries it again", parents=[common, decision]
        )
        replay.add_argument("ref", type=_ref, metavar="WORKFLOW/KIND/KEY")
        replay.set_defaults(run=_replay)

    unknown = commands.add_parser("unknown", help="effects whose outcome is unknown").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = unknown.add_parser("list", help="list them, claims that ran out included", parents=[common])
    _add_filters(listing)
    listing.set_defaults(run=_list_unknown, state=State.UNKNOWN)

    settle = commands.add_parser(
        "settle", help="decide what became of an effect of unknown outcome", parents=[common, decision]
    )
    settle.add_argument("ref", type=_ref, metavar="WORKFLOW/KIND/KEY")
    settle.add_argument(
        "--to",
        required=True,
        type=State,
        choices=[State.CONFIRMED, State.PLANNED],
        help="confirmed: it happened. planned: it certainly did not, the next run does it",
    )
    settle.add_argument(
        "--receipt", type=_receipt, metavar="JSON", help="with --to confirmed: what is known of it"
    )
    settle.set_defaults(run=_settle)

    verify = commands.add_parser(
        "verify", help="check receipts against what is outside; exit 1 if anything is wrong", parents=[common]
    )
    _add_filters(verify)
    verify.set_defaults(run=_verify)

    claims = commands.add_parser("claims", help="named claims that keep runs apart").add_subparsers(
        required=True, metavar="COMMAND"
    )
    claims.add_parser("list", help="list them", parents=[common]).set_defaults(run=_claims)
    breaking = claims.add_parser(
        "break", help="take one away from a holder that is certainly gone", parents=[common, decision]
    )
    breaking.add_argument("name", metavar="NAME")
    breaking.set_defaults(run=_break)

    migrate = commands.add_parser("migrate", help="create or update the ledger's tables", parents=[common])
    migrate.set_defaults(run=_migrate)

    prune = commands.add_parser("prune", help="drop personal data from old receipts", parents=[common])
    prune.add_argument("--older-than", type=_days, required=True, metavar="DAYS")
    prune.add_argument("--by", default=operating_system_user(), help="who does this")
    prune.set_defaults(run=_prune)


def _decision_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--reason", required=True, type=_nonempty, help="why; kept for ever in the events")
    options.add_argument("--by", default=operating_system_user(), help="who decides (default: %(default)s)")
    return options


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workflow")
    parser.add_argument("--kind")
    parser.add_argument(
        "--since", type=_time, metavar="TIME", help="changed since: 2027-03-01, 2027-03-01T08:00Z"
    )
    parser.add_argument("--limit", type=_positive, default=100, help="at most so many (default: %(default)s)")


# What each command does


def _list(arguments: argparse.Namespace) -> int:
    found = open_from(arguments).list(**_filters(arguments))
    _print(arguments, [_summary(effect) for effect in found])
    if not arguments.json and len(found) == arguments.limit:
        sys.stdout.write(f"… the last {arguments.limit}; --limit shows more\n")
    return OK


def _list_unknown(arguments: argparse.Namespace) -> int:
    open_from(arguments).expire_claims()
    return _list(arguments)


def _show(arguments: argparse.Namespace) -> int:
    ledger = open_from(arguments)
    effect = ledger.get(arguments.ref)
    if effect is None:
        raise NotFound("ledger.show", f"{arguments.ref} is not in the ledger")
    facts = {name: value for name, value in _plain(effect).items() if name != "receipt" and value is not None}
    events = [_plain(event) for event in ledger.events(arguments.ref)]
    if arguments.json:
        _write_json({**_plain(effect), "events": events})
        return OK
    _write_table([[name, str(value)] for name, value in facts.items()])
    if effect.receipt is not None:
        sys.stdout.write(f"\nreceipt\n{json.dumps(effect.receipt, indent=2, ensure_ascii=False)}\n")
    sys.stdout.write("\nevents\n")
    _print(arguments, events)
    return OK


def _replay(arguments: argparse.Namespace) -> int:
    effect = open_from(arguments).replay(arguments.ref, by=arguments.by, reason=arguments.reason)
    return _changed(arguments, effect)


def _settle(arguments: argparse.Namespace) -> int:
    effect = open_from(arguments).settle(
        arguments.ref, to=arguments.to, by=arguments.by, reason=arguments.reason, receipt=arguments.receipt
    )
    return _changed(arguments, effect)


def _verify(arguments: argparse.Namespace) -> int:
    from interchange.ledger.verify import Verdict, verify

    arguments.state = State.CONFIRMED
    rows: list[dict[str, Any]] = []
    for effect, result in verify(open_from(arguments).list(**_filters(arguments))):
        rows.append({"effect": str(effect.ref), "verdict": result.outcome.value, "detail": result.detail})
    _print(arguments, rows)
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in Verdict}
    if not arguments.json:
        sys.stdout.write(", ".join(f"{number} {verdict}" for verdict, number in counts.items()) + "\n")
    return FOUND_WRONG if counts[Verdict.MISSING] or counts[Verdict.ALTERED] else OK


def _claims(arguments: argparse.Namespace) -> int:
    _print(arguments, [_plain(claim) for claim in open_from(arguments).claims.list()])
    return OK


def _break(arguments: argparse.Namespace) -> int:
    claim = open_from(arguments).claims.break_(arguments.name, by=arguments.by, reason=arguments.reason)
    if arguments.json:
        _write_json(_plain(claim))
    else:
        sys.stdout.write(f"{claim.name} was held by {claim.owner} and is free now\n")
    return OK


def _migrate(arguments: argparse.Namespace) -> int:
    from interchange.ledger.upgrade import revision

    # Opening migrates.
    at = revision(open_from(arguments).engine)
    if arguments.json:
        _write_json({"revision": at})
    else:
        sys.stdout.write(f"The ledger is at revision {at}\n")
    return OK


def _prune(arguments: argparse.Namespace) -> int:
    before = datetime.now(UTC) - timedelta(days=arguments.older_than)
    number = open_from(arguments).forget_personal_data(before)
    if arguments.json:
        _write_json({"receipts": number})
    else:
        sys.stdout.write(f"Dropped personal data from {number} receipts\n")
    return OK


# Printing


def _filters(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("workflow", "kind", "state", "since", "limit")}


def _summary(effect: Effect) -> dict[str, Any]:
    return {
        "effect": str(effect.ref),
        "state": effect.state.value,
        "changed": _text(effect.updated_at),
        "attempts": effect.attempts,
        "field": effect.field,
        "reason": effect.reason,
        "run": effect.run_id,
    }


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON values; an effect's name in one piece."""
    row = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {
        name: str(item) if isinstance(item, (EffectRef, State)) else _text(item) for name, item in row.items()
    }


def _text(value: Any) -> Any:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value


def _changed(arguments: argparse.Namespace, effect: Effect) -> int:
    if arguments.json:
        _write_json(_plain(effect))
    else:
        sys.stdout.write(f"{effect.ref} is {effect.state} now\n")
    return OK


def _print(arguments: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> None:
    if arguments.json:
        _write_json(list(rows))
    elif not rows:
        sys.stdout.write("nothing\n")
    else:
        _write_table([list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)])


def _write_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    # The name of an effect is what the next command needs: never cut.
    return text if "/" in text or len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def _write_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


# Reading the command line


def _ref(text: str) -> EffectRef:
    return EffectRef.parse(text)


def _receipt(text: str) -> Receipt:
    receipt = json.loads(text)
    if not isinstance(receipt, dict):
        raise argparse.ArgumentTypeError("a receipt is a JSON object")
    return receipt


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days < 100_000:
        raise argparse.ArgumentTypeError("days, 0 or more")
    return days


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return number


def _nonempty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("may not be empty")
    return text.strip()
