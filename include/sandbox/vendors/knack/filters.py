"""Filters, as a view's own criteria and as a caller gives them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

from include.sandbox.vendors.knack.model import Field, Table, is_blank


class UnknownRule(ValueError):
    """A field or an operator that does not exist."""


def rules_of(text: str) -> tuple[str, list[dict[str, Any]]]:
    """
    ``and`` or ``or``, and the rules; a bare list of rules means ``and``.

    :raises ValueError: not JSON, or neither of the two forms.
    """
    given = json.loads(text)
    if isinstance(given, list):
        return "and", given
    rules = given.get("rules") if isinstance(given, dict) else None
    if not isinstance(rules, list):
        raise ValueError("no rules")  # noqa: TRY004  # whatever is wrong with the text, it is one error
    return ("or" if given.get("match") == "or" else "and"), rules


def passes(
    record: Mapping[str, Any],
    table: Table,
    match: str,
    rules: list[dict[str, Any]],
    now: dt.datetime,
    *,
    strict: bool,
) -> bool:
    """
    :param strict: refuse what is not known; otherwise such a rule is passed over without a word.
    :raises UnknownRule: a rule that is not known.
    """
    verdicts = []
    for rule in rules:
        try:
            verdicts.append(_passes(record, table, rule, now))
        except UnknownRule:
            if strict:
                raise
    if not verdicts:
        return True
    return any(verdicts) if match == "or" else all(verdicts)


def _passes(record: Mapping[str, Any], table: Table, rule: Mapping[str, Any], now: dt.datetime) -> bool:
    known = table.field_of(str(rule.get("field")))
    test = _TESTS.get(str(rule.get("operator")))
    if known is None or test is None:
        raise UnknownRule(f"{rule.get('field')} {rule.get('operator')}")
    return test(known, record.get(known.key), rule.get("value"), now)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(
            str(one.get("identifier", one)) if isinstance(one, dict) else str(one) for one in value
        )
    return "" if value is None else str(value)


def _same(_known: Field, value: Any, wanted: Any, _now: dt.datetime) -> bool:
    return _text(value).casefold() == _text(wanted).casefold()


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _moment(value: Any) -> dt.datetime | None:
    for read in (dt.datetime.fromisoformat, lambda text: dt.datetime.strptime(text, "%m/%d/%Y")):  # noqa: DTZ007
        try:
            return read(str(value)).replace(tzinfo=None)
        except ValueError:
            continue
    return None


def _before(_known: Field, value: Any, wanted: Any, _now: dt.datetime) -> bool:
    left, right = _moment(value), _moment(wanted)
    return left is not None and right is not None and left < right


def _after(_known: Field, value: Any, wanted: Any, _now: dt.datetime) -> bool:
    left, right = _moment(value), _moment(wanted)
    return left is not None and right is not None and left > right


def _today(_known: Field, value: Any, _wanted: Any, now: dt.datetime) -> bool:
    moment = _moment(value)
    return moment is not None and moment.date() == now.date()


Test = Callable[[Field, Any, Any, dt.datetime], bool]

_TESTS: dict[str, Test] = {
    "is": _same,
    "is not": lambda *given: not _same(*given),
    "contains": lambda _, value, wanted, __: _text(wanted).casefold() in _text(value).casefold(),
    "does not contain": lambda _, value, wanted, __: _text(wanted).casefold() not in _text(value).casefold(),
    "starts with": lambda _, value, wanted, __: _text(value).casefold().startswith(_text(wanted).casefold()),
    "ends with": lambda _, value, wanted, __: _text(value).casefold().endswith(_text(wanted).casefold()),
    "is blank": lambda _, value, __, ___: is_blank(value),
    "is not blank": lambda _, value, __, ___: not is_blank(value),
    "is any": lambda *_: True,
    "higher than": lambda _, value, wanted, __: _number(value) > _number(wanted),
    "lower than": lambda _, value, wanted, __: _number(value) < _number(wanted),
    "is before": _before,
    "is after": _after,
    "is today": _today,
}
