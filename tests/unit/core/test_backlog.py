"""Order and failure of a backlog."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interchange.core.backlog import CircuitBreaker, Head, alert_due, is_poisonous, next_try_at, probe_order

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_who_failed_least_is_tried_first_then_the_oldest() -> None:
    heads = [
        Head(record_id="poison", number=1, failures=9),
        Head(record_id="b", number=12, failures=0),
        Head(record_id="a", number=9, failures=0),
        Head(record_id="once", number=2, failures=1),
    ]
    assert [head.record_id for head in probe_order(heads)] == ["a", "b", "once", "poison"]


def test_different_messages_failing_in_a_row_are_an_outage() -> None:
    breaker = CircuitBreaker(3)
    for record_id in ("a", "b", "a"):
        breaker.record_failure(record_id)
    assert not breaker.open
    breaker.record_success()
    for record_id in ("c", "d"):
        breaker.record_failure(record_id)
    assert not breaker.open
    breaker.record_failure("e")
    assert breaker.open


@pytest.mark.parametrize(
    ("failures", "minutes", "others", "poisonous"),
    [
        (5, 60, 5, True),
        (4, 600, 50, False),
        (5, 59, 50, False),
        (9, 600, 0, False),
        (9, 600, 4, False),
        (9, 600, 5, True),
    ],
)
def test_poison_is_shown_by_attempts_age_and_what_else_passes(
    failures: int, minutes: float, others: int, poisonous: bool
) -> None:
    verdict = is_poisonous(
        failures=failures,
        first_failed_at=NOW - minutes * MINUTE,
        others_accepted_since=others,
        now=NOW,
        attempts=5,
        after=timedelta(hours=1),
    )
    assert verdict is poisonous


def test_what_never_failed_is_no_poison() -> None:
    assert not is_poisonous(
        failures=0, first_failed_at=None, others_accepted_since=9, now=NOW, attempts=0, after=timedelta()
    )


@pytest.mark.parametrize(("lost", "minutes"), [(2, 10), (3, 20), (4, 40), (5, 60), (50, 60)])
def test_a_bus_that_loses_answers_is_tried_ever_more_seldom(lost: int, minutes: int) -> None:
    assert next_try_at([NOW] * lost) == NOW + minutes * MINUTE


def test_one_that_does_not_is_tried_at_once() -> None:
    assert next_try_at([]) is None
    assert next_try_at([NOW]) is None


@pytest.mark.parametrize(
    ("waits_minutes", "is_alerting", "told"),
    [
        (None, False, None),
        (59, False, None),
        (60, False, "begin"),
        (90, True, None),
        (5, True, "end"),
        (None, True, "end"),
    ],
)
def test_people_are_told_of_the_beginning_and_of_the_end(
    waits_minutes: float | None, is_alerting: bool, told: str | None
) -> None:
    oldest = None if waits_minutes is None else NOW - waits_minutes * MINUTE
    assert alert_due(oldest, NOW, timedelta(hours=1), is_alerting=is_alerting) == told
