"""One test for every row of the table in docs/windows.md, with the contexts that Airflow 3.3 really gives."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from interchange.core.windows import Window
from interchange.errors import SettingsError
from interchange.runs import RunFacts, explicit_window, lookback_window, request_id, run_facts, run_window

WEEK = timedelta(days=7)
NOW = datetime(2026, 11, 22, 9, 30, 15, 123456, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class FakeDagRun:
    run_after: datetime = NOW
    logical_date: datetime | None = None
    start_date: datetime | None = field(default_factory=lambda: day("2026-11-22T09:30:20.000250"))


@dataclass
class FakeTask:
    retries: int | None = 3


@dataclass
class FakeTaskInstance:
    dag_id: str = "qualtrics_to_onedrive"
    run_id: str = "scheduled__2026-11-01T00:00:00+00:00"
    max_tries: int = 3
    task: FakeTask = field(default_factory=FakeTask)


def context(
    *, logical: datetime | None = None, interval: tuple[datetime, datetime] | None = None, **params: Any
) -> dict[str, Any]:
    """A task context: without a logical date the date keys are absent, not None."""
    made: dict[str, Any] = {"dag_run": FakeDagRun(logical_date=logical), "params": params}
    if logical is not None:
        made |= {"logical_date": logical, "ds": logical.date().isoformat()}
    if interval is not None:
        made |= {"data_interval_start": interval[0], "data_interval_end": interval[1]}
    return made


FIRST_WEEK = (day("2026-10-05T06:00"), day("2026-10-12T06:00"))
LAST_WEEK = (day("2026-11-09T06:00"), day("2026-11-16T06:00"))
BEFORE_DUE = ("2026-11-15T09:30:15Z", "2026-11-22T09:30:15Z")

ROWS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "scheduled, data interval timetable": (
        context(logical=LAST_WEEK[0], interval=LAST_WEEK),
        ("2026-11-09T06:00:00Z", "2026-11-16T06:00:00Z"),
    ),
    "backfill, data interval timetable": (
        context(logical=FIRST_WEEK[0], interval=FIRST_WEEK),
        ("2026-10-05T06:00:00Z", "2026-10-12T06:00:00Z"),
    ),
    "backfill, trigger timetable with interval": (
        context(logical=day("2026-09-28T06:00"), interval=(day("2026-09-28T06:00"), day("2026-10-05T06:00"))),
        ("2026-09-28T06:00:00Z", "2026-10-05T06:00:00Z"),
    ),
    "backfill, bare cron string: zero length": (
        context(logical=FIRST_WEEK[0], interval=(FIRST_WEEK[0], FIRST_WEEK[0])),
        ("2026-09-28T06:00:00Z", "2026-10-05T06:00:00Z"),
    ),
    "REST, logical date null": (context(), BEFORE_DUE),
    "REST, logical date": (
        context(logical=day("2026-11-18T10:00"), interval=LAST_WEEK),
        ("2026-11-09T06:00:00Z", "2026-11-16T06:00:00Z"),
    ),
    "REST, logical date, no schedule: zero length": (
        context(logical=day("2026-11-18T10:00"), interval=(day("2026-11-18T10:00"), day("2026-11-18T10:00"))),
        ("2026-11-11T10:00:00Z", "2026-11-18T10:00:00Z"),
    ),
    "REST, interval given": (
        context(logical=day("2026-11-18T10:00"), interval=(day("2026-11-01T00:00"), day("2026-11-02T12:00"))),
        ("2026-11-01T00:00:00Z", "2026-11-02T12:00:00Z"),
    ),
    "CLI": (context(), BEFORE_DUE),
    "CLI, logical date: Airflow infers the interval from now": (
        context(logical=day("2026-10-28T10:00"), interval=LAST_WEEK),
        ("2026-11-09T06:00:00Z", "2026-11-16T06:00:00Z"),
    ),
    "dag.test": (
        context(logical=day("2026-10-28T10:00"), interval=(day("2026-10-19T06:00"), day("2026-10-26T06:00"))),
        ("2026-10-19T06:00:00Z", "2026-10-26T06:00:00Z"),
    ),
    "web UI, interval inferred": (
        context(logical=NOW, interval=LAST_WEEK),
        ("2026-11-09T06:00:00Z", "2026-11-16T06:00:00Z"),
    ),
    "web UI, interval specified": (
        context(logical=NOW, interval=(day("2026-11-03T00:00"), day("2026-11-04T00:00"))),
        ("2026-11-03T00:00:00Z", "2026-11-04T00:00:00Z"),
    ),
    "asset event": (context() | {"triggering_asset_events": {"asset": []}}, BEFORE_DUE),
    "asset event, keys present but None": (
        context() | {"logical_date": None, "data_interval_start": None, "data_interval_end": None},
        BEFORE_DUE,
    ),
    "trigger form, bounds given": (
        context(
            logical=NOW,
            interval=LAST_WEEK,
            window_start="2026-11-01T00:00:00.000Z",
            window_end="2026-11-02T01:00:00+01:00",
        ),
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
    ),
    "trigger form, bounds left empty": (
        context(logical=NOW, interval=LAST_WEEK, window_start=None, window_end=""),
        ("2026-11-09T06:00:00Z", "2026-11-16T06:00:00Z"),
    ),
}


@pytest.mark.parametrize(("given", "expected"), ROWS.values(), ids=ROWS.keys())
def test_every_row_of_the_table(given: dict[str, Any], expected: tuple[str, str]) -> None:
    window = run_window(given, default=WEEK)

    assert (window.start_text, window.end_text) == expected


def test_the_page_has_a_row_for_each_way() -> None:
    page = Path(__file__).parents[2] / "docs" / "windows.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]

    assert len(rows) == 1 + 15, "a new row needs a test above, and the count here"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("month", [3, 10, 11])
def test_daily_intervals_over_a_clock_change_neither_lose_nor_double_an_hour(zone: str, month: int) -> None:
    midnights = [datetime(2026, month, date, tzinfo=ZoneInfo(zone)) for date in range(1, 31)]
    # Airflow hands over the interval's ends in UTC.
    moments = [midnight.astimezone(UTC) for midnight in midnights]

    windows = [
        run_window(context(logical=start, interval=(start, end)), default=WEEK)
        for start, end in itertools.pairwise(moments)
    ]

    assert all(one.end_text == two.start_text for one, two in itertools.pairwise(windows))
    assert (windows[0].start, windows[-1].end) == (moments[0], moments[-1])
    lengths = {window.end - window.start for window in windows} - {timedelta(hours=24)}
    expected = {
        ("Europe/Berlin", 3): {timedelta(hours=23)},
        ("Europe/Berlin", 10): {timedelta(hours=25)},
        ("Europe/Berlin", 11): set(),
        ("America/New_York", 3): {timedelta(hours=23)},
        ("America/New_York", 10): set(),
        ("America/New_York", 11): {timedelta(hours=25)},
    }
    assert lengths == expected[zone, month]


def test_microseconds_are_cut_the_same_way_at_both_ends() -> None:
    border = datetime(2026, 11, 20, 10, 0, 0, 999_999, tzinfo=UTC)
    one = run_window(context(logical=border, interval=(border - WEEK, border)), default=WEEK)
    two = run_window(context(logical=border, interval=(border, border + WEEK)), default=WEEK)

    assert one.end_text == two.start_text == "2026-11-20T10:00:00Z"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window_start": "2026-11-01T00:00:00Z"}, "window_start is given without window_end"),
        ({"window_end": "2026-11-01T00:00:00Z"}, "window_end is given without window_start"),
        (
            {"window_start": "2026-11-01T00:00:00", "window_end": "2026-11-02T00:00:00Z"},
            "window_start.*offset or Z",
        ),
        (
            {"window_start": "2026-11-01T00:00:00Z", "window_end": "not-a-date"},
            "window_end.*not a date and time",
        ),
        (
            {"window_start": "2026-11-02T00:00:00Z", "window_end": "2026-11-01T00:00:00Z"},
            "not before its end",
        ),
        ({"window_start": 1700000000, "window_end": "2026-11-02T00:00:00Z"}, "window_start.*not text"),
    ],
)
def test_wrong_bounds_fail_with_what_to_change(params: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        run_window(context(logical=NOW, interval=LAST_WEEK, **params), default=WEEK)


def test_other_params_can_carry_the_bounds() -> None:
    given = context(since="2026-11-01T00:00:00Z", until="2026-11-02T00:00:00Z")

    assert explicit_window(given) is None
    window = run_window(given, default=WEEK, start_param="since", end_param="until")
    assert window == Window(day("2026-11-01T00:00"), day("2026-11-02T00:00"))


def test_lookback_ends_with_the_run_and_gives_way_to_a_person() -> None:
    length = timedelta(hours=24)

    hourly = context(
        logical=day("2026-11-20T10:00"), interval=(day("2026-11-20T10:00"), day("2026-11-20T11:00"))
    )
    assert str(lookback_window(hourly, length=length)) == "2026-11-19T11:00:00Z/2026-11-20T11:00:00Z"
    assert str(lookback_window(context(), length=length)) == "2026-11-21T09:30:15Z/2026-11-22T09:30:15Z"
    explicit = context(window_start="2026-11-01T00:00:00Z", window_end="2026-11-02T06:00:00Z")
    assert str(lookback_window(explicit, length=length)) == "2026-11-01T00:00:00Z/2026-11-02T06:00:00Z"


def test_a_retry_is_the_same_request_and_a_clearing_another() -> None:
    def asked(run: FakeDagRun | None = None, **facts: Any) -> str:
        return request_id({"ti": FakeTaskInstance(**facts), "dag_run": run or FakeDagRun()})

    first = asked()
    assert first == ("qualtrics_to_onedrive/scheduled__2026-11-01T00:00:00+00:00/20261122T093020.000250/c0")
    assert asked() == first, "a retry leaves max_tries alone"
    # Cleared after two tries: Airflow sets max_tries = try_number + retries.
    assert asked(max_tries=2 + 3).endswith("/c2")
    assert asked(max_tries=0, task=FakeTask(retries=None)).endswith("/c0")
    assert asked(run_id="manual__x") != first
    # Deleted and made again, it bears the same id and has not been cleared.
    assert asked(FakeDagRun(start_date=day("2026-11-22T10:00"))) != first
    ti = FakeTaskInstance()
    facts = run_facts({"ti": ti, "dag_run": FakeDagRun()})
    assert facts == RunFacts(dag_id=ti.dag_id, run_id=ti.run_id, request=first)
