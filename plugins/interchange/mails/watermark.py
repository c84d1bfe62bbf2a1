"""
What one weekly run tells the next: how far to look back, and how large the report was.

Kept in Airflow's state store of the asset ``ticket-closings``, where a person can see and set it. Nothing in it decides
whether a ticket is told of: the ledger does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from interchange.core.closings import months_before
from interchange.errors import SettingsError

WATERMARK, ROWS, MAILS = "watermark", "report_rows", "report_mails"
ASSET_NAME = "ticket-closings"


class StateStore(Protocol):
    """An asset's state, as Airflow gives it to a task."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Memory:
    """
    :param watermark: no closing before this day is looked at; None: there was no run yet.
    :param rows: of the last report; :param mails: it called for.
    """

    watermark: date | None
    rows: int | None
    mails: int | None


def remembered(store: StateStore) -> Memory:
    """
    :raises SettingsError: somebody has set a value that cannot be meant.
    """
    text = store.get(WATERMARK, default=None)
    try:
        watermark = None if text is None else date.fromisoformat(text)
    except (TypeError, ValueError):
        raise SettingsError(
            f"asset {ASSET_NAME}, state {WATERMARK}: {text!r} is no day like 2026-01-31; set it on the asset's page, "
            "or delete it: then the run looks back first_run_months"
        ) from None
    return Memory(watermark=watermark, rows=_number(store, ROWS), mails=_number(store, MAILS))


def _number(store: StateStore, key: str) -> int | None:
    value = store.get(key, default=None)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise SettingsError(
            f"asset {ASSET_NAME}, state {key}: {value!r} is no number of 0 or more; set it on the asset's page, or "
            "delete it: then the next report is compared with nothing"
        )
    return value


def first_day(memory: Memory, *, asked: date | None, today: date, months: int) -> date:
    """
    The first day a run looks at.

    :param asked: ``since`` of the trigger form.
    :raises SettingsError: it lies ahead.
    """
    day = asked or memory.watermark or months_before(today, months)
    if day > today:
        origin = "since" if asked else f"asset {ASSET_NAME}, state {WATERMARK}"
        raise SettingsError(f"{origin}: {day} lies ahead; today is {today}")
    return day


def remember(store: StateStore, planned: Mapping[str, Any], *, months: int) -> None:
    """
    After a run that has done its work. The watermark follows at a distance of ``months``, so that what comes late is
    still seen, and stays behind everything that is held.

    :param planned: what task ``plan`` has returned.
    """
    store.set(ROWS, planned["rows"])
    store.set(MAILS, planned["mails"])
    if not planned["moves_watermark"]:
        return
    before = remembered(store).watermark
    days = [months_before(date.fromisoformat(planned["today"]), months)]
    if planned["oldest_held"]:
        days.append(date.fromisoformat(planned["oldest_held"]))
    after = min(days)
    if before is None or after > before:
        store.set(WATERMARK, after.isoformat())
