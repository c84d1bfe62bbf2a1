"""
Which run is this, and which window of time does it work on?

Airflow gives a data interval, a zero-length one, or none at all, depending on what started the run and on the
DAG's timetable. ``docs/windows.md`` has the table; this module turns each row into one window. It reads the
task context as a mapping and imports nothing from Airflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from interchange.core.windows import Window, parse_moment
from interchange.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """
    Who asks: kept with every effect in the ledger.

    :param request: text that names one request; see :func:`request_id`.
    """

    dag_id: str
    run_id: str
    request: str


def explicit_window(
    context: Mapping[str, Any], *, start_param: str = "window_start", end_param: str = "window_end"
) -> Window | None:
    """
    The window that a person gave on the trigger form, in a REST call or in ``--conf``; None if they gave
    none.

    :raises SettingsError: only one bound, a bound that is no moment, or bounds in the wrong order.
    """
    params = context.get("params") or {}
    start, end = params.get(start_param) or None, params.get(end_param) or None
    if start is None and end is None:
        return None
    if start is None or end is None:
        given, missing = (start_param, end_param) if end is None else (end_param, start_param)
        raise SettingsError(f"{given} is given without {missing}: give both, or neither")
    try:
        return Window(_moment(start_param, start), _moment(end_param, end))
    except ValueError as exc:
        raise SettingsError(f"{start_param}/{end_param}: {exc}") from None


def run_window(
    context: Mapping[str, Any],
    *,
    default: timedelta,
    start_param: str = "window_start",
    end_param: str = "window_end",
) -> Window:
    """
    The window this run works on, whatever started it.

    In this order: the bounds a person gave; the run's data interval, if it has any length; the time of length
    ``default`` before the run's logical date, or before the moment the run was due if it has none.

    The answer is the same for every task, try and clearing of one run.

    :raises SettingsError: see :func:`explicit_window`.
    """
    explicit = explicit_window(context, start_param=start_param, end_param=end_param)
    if explicit is not None:
        return explicit
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and end is not None and end > start:
        return Window(start, end)
    return Window.before(_reference(context), default)


def lookback_window(
    context: Mapping[str, Any],
    *,
    length: timedelta,
    start_param: str = "window_start",
    end_param: str = "window_end",
) -> Window:
    """
    The time of this length before the end of the run's window; bounds that a person gave win.

    Neighbouring runs overlap when ``length`` is longer than their distance: late and edited records are then
    found again.

    :raises SettingsError: see :func:`explicit_window`.
    """
    explicit = explicit_window(context, start_param=start_param, end_param=end_param)
    if explicit is not None:
        return explicit
    return Window.before(run_window(context, default=length).end, length)


def request_id(context: Mapping[str, Any]) -> str:
    """
    Text that names one request to do the work: the run, when it was started, and how often its task was cleared.

    It stays the same while Airflow retries a task, so that a retry goes on with what was begun. It changes
    when a person clears the task or a backfill reprocesses the run: they ask for the work anew. Clearing sets
    a task instance's ``max_tries`` to the number of tries made so far plus the task's ``retries``; a retry
    leaves it alone. A run that was deleted and is made again bears the old id and counts from the start: its
    start tells the two apart. (Airflow itself does this to a run it was about to reprocess when SQLite was locked.)

    :return: like ``qualtrics_to_onedrive/scheduled__2026-11-01T00:00:00+00:00/20261101T000001.123456/c0``
    """
    ti = context["ti"]
    retries = ti.task.retries or 0
    started: datetime | None = context["dag_run"].start_date
    moment = started.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f") if started else "-"
    return f"{ti.dag_id}/{ti.run_id}/{moment}/c{max(ti.max_tries - retries, 0)}"


def run_facts(context: Mapping[str, Any]) -> RunFacts:
    """The identity of the run this task belongs to."""
    ti = context["ti"]
    return RunFacts(dag_id=ti.dag_id, run_id=ti.run_id, request=request_id(context))


def _reference(context: Mapping[str, Any]) -> datetime:
    """When the run was meant to happen: its logical date, or, for a run without one, when it was due."""
    logical_date: datetime | None = context.get("logical_date")
    if logical_date is not None:
        return logical_date
    run_after: datetime = context["dag_run"].run_after
    return run_after


def _moment(name: str, value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return parse_moment(name, value)
    raise SettingsError(f"{name}: {value!r} is not text like 2026-11-20T00:00:00Z")
