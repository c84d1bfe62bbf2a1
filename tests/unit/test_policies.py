"""What Airflow does about each class of error."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, RetryPolicy
from airflow.sdk.definitions.retry_policy import RetryAction, RetryDecision
from airflow.serialization.serialized_objects import DagSerialization

from interchange import errors
from interchange.policies import OUTBOUND, OutboundPolicy

SECRET = "ann@example.com"


@dataclass
class FakeTask:
    retries: int | None = 4


@dataclass
class FakeTaskInstance:
    id: str = "018f-one"
    task: FakeTask = field(default_factory=FakeTask)


def remote(kind: type[errors.RemoteError], **more: Any) -> errors.RemoteError:
    return kind("graph.upload", f"said something about {SECRET}", **more)


def decide(
    exception: BaseException, *, try_number: int = 1, max_tries: int = 4, ti: Any = None
) -> RetryDecision:
    context: Any = {"ti": ti} if ti is not None else None
    return OUTBOUND.evaluate(exception, try_number, max_tries, context)


def delay_s(decision: RetryDecision) -> float:
    assert decision.retry_delay is not None
    return decision.retry_delay.total_seconds()


RETRIED = [
    remote(errors.Unavailable),
    remote(errors.OutcomeUnknown),
    remote(errors.RateLimited, retry_after_s=7),
    remote(errors.Busy, retry_after_s=7),
]
FAILED = [
    errors.SettingsError(SECRET),
    errors.BadRecord("email", SECRET),
    remote(errors.Refused),
    remote(errors.NotFound),
    remote(errors.Conflict),
]


def test_every_error_of_ours_has_a_case_here() -> None:
    def leaves(kind: type[BaseException]) -> set[type[BaseException]]:
        return {kind}.union(*(leaves(sub) for sub in kind.__subclasses__()))

    covered = {type(error) for error in [*RETRIED, *FAILED]}
    ours = {kind for kind in leaves(errors.InterchangeError) if kind.__module__ == "interchange.errors"}
    assert ours - covered == {errors.InterchangeError, errors.RemoteError}


@pytest.mark.parametrize("error", RETRIED, ids=lambda e: type(e).__name__)
def test_what_may_pass_is_retried(error: Exception) -> None:
    assert decide(error).action is RetryAction.RETRY


@pytest.mark.parametrize("error", FAILED, ids=lambda e: type(e).__name__)
def test_what_would_fail_again_fails_now(error: Exception) -> None:
    assert decide(error).action is RetryAction.FAIL


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), errors.InterchangeError("x")])
def test_anything_else_is_left_to_the_task(error: BaseException) -> None:
    assert decide(error) == RetryDecision.default()


@pytest.mark.parametrize("error", [*RETRIED, *FAILED], ids=lambda e: type(e).__name__)
def test_reasons_name_the_class_and_nobody(error: Exception) -> None:
    reason = decide(error, ti=FakeTaskInstance()).reason
    assert reason is not None
    assert reason.startswith(type(error).__name__)
    assert SECRET not in reason


def test_the_wait_that_was_asked_for_is_kept_and_never_shortened() -> None:
    for wanted in (0, 0.5, 31, 3000):
        got = delay_s(decide(remote(errors.RateLimited, retry_after_s=wanted), ti=FakeTaskInstance()))
        assert wanted <= got <= wanted * 1.1
    for odd in (-5, float("inf")):
        assert (
            0
            <= delay_s(decide(remote(errors.RateLimited, retry_after_s=odd)))
            <= timedelta(hours=27).total_seconds()
        )


def test_waits_double_up_to_a_quarter_of_an_hour() -> None:
    waits = [delay_s(decide(remote(errors.Unavailable), try_number=n)) for n in range(1, 12)]

    for wait, base in zip(waits, [30, 60, 120, 240, 480, 900, 900, 900, 900, 900, 900], strict=True):
        assert base <= wait <= base * 1.1


def test_whoever_holds_a_claim_is_waited_for_ever_longer() -> None:
    """First until a dead process's claim has run out; then a living one's transfer may take its time."""
    waits = [delay_s(decide(remote(errors.Busy, retry_after_s=20), try_number=n)) for n in range(1, 9)]
    for wait, base in zip(waits, [20, 30, 60, 120, 240, 480, 900, 900], strict=True):
        assert base <= wait <= base * 1.1
    assert delay_s(decide(remote(errors.Busy, retry_after_s=70), try_number=2)) >= 70


def test_waits_start_small_again_after_a_clearing() -> None:
    # Cleared after 6 tries of a task with 4 retries: max_tries = 6 + 4, and the next try is number 7.
    waits = [
        delay_s(decide(remote(errors.Unavailable), try_number=n, max_tries=10, ti=FakeTaskInstance()))
        for n in (7, 8)
    ]

    assert 30 <= waits[0] <= 33
    assert 60 <= waits[1] <= 66


def test_mapped_tasks_do_not_come_back_together_but_each_is_predictable() -> None:
    def wait(number: int) -> float:
        return delay_s(
            decide(remote(errors.RateLimited, retry_after_s=60), ti=FakeTaskInstance(id=f"ti-{number}"))
        )

    waits = [wait(number) for number in range(20)]
    assert len(set(waits)) > 15
    assert waits == [wait(number) for number in range(20)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0.5", 0.5), ("0", 0), ("60", 60), ("x", 30), ("-1", 30), ("nan", 30), ("1e9", 30)],
)
def test_the_environment_sets_the_first_wait(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: float
) -> None:
    monkeypatch.setenv("INTERCHANGE_RETRY_BASE_S", value)
    assert expected <= delay_s(decide(remote(errors.Unavailable))) <= expected * 1.1


def test_a_dag_with_the_policy_can_be_stored() -> None:
    with DAG("stored", schedule=None) as dag:
        BaseOperator(task_id="send", retries=5, retry_policy=OUTBOUND)

    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    task = DagSerialization.from_dict(stored).get_task("send")

    assert task.has_retry_policy is True
    assert task.retries == 5


def test_the_policy_survives_its_own_serialisation() -> None:
    data = json.loads(json.dumps(OUTBOUND.serialize()))
    again = OutboundPolicy.deserialize(data)

    assert isinstance(OUTBOUND, RetryPolicy)
    assert data == {"__type": "interchange.policies.OutboundPolicy"}
    assert again.evaluate(remote(errors.Refused), 1, 3).action is RetryAction.FAIL
