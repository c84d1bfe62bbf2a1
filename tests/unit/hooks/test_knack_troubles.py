"""The Knack client: answers of other shapes, every kind of fault, and limits that a whole deployment shares."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.sandbox.connections import KNACK_APPS
from include.sandbox.core import Sandbox
from include.sandbox.vendors.knack.seeds import field_key, record_id
from include.sandbox.wire import Response, answer_json
from interchange.errors import NotFound, OutcomeUnknown, RateLimited, Refused, SettingsError, Unavailable
from interchange.hooks import knack as module
from interchange.hooks.http import ATTEMPTS
from interchange.hooks.knack import DailyLimit, KnackHook
from interchange.ledger import Ledger
from interchange.ledger.limits import RateLimiter
from tests.unit.vendors import Connections, Waits, arm, calls, statuses

APP = "data-tracker"
STATUS, NUMBER, DETAILS = (field_key(APP, name) for name in ("status", "number", "details"))
READY = {"match": "and", "rules": [{"field": STATUS, "operator": "is", "value": "READY_TO_SEND"}]}
SCENE, VIEW, TABLE = "scene_514", "view_1653", "object_75"
FIRST = record_id(APP, 1)
SLOW_S = 0.6


@pytest.fixture
def knack(sandbox: Sandbox) -> Any:
    """Eight records, no limits but those a test sets."""
    vendor = sandbox.vendor("knack")
    vendor.set_options({"requests_per_second": 10_000})
    rows = [{"number": n, "sr": "S", "activity": "Other", "details": "about Jane Doe"} for n in range(1, 9)]
    vendor.seed({"empty": list(KNACK_APPS), "records": {APP: rows}})
    return vendor


@pytest.fixture
def hook(airflow: Connections, knack: Any, waits: Waits) -> Iterator[KnackHook]:
    made = KnackHook(pause=waits)
    yield made
    made.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call waits long for its answer."""
    monkeypatch.setenv("INTERCHANGE_READ_TIMEOUT_S", str(SLOW_S / 2))


def read(hook: KnackHook) -> list[int]:
    return [record[NUMBER] for record in hook.view_records(SCENE, VIEW, READY)]


def write(hook: KnackHook) -> None:
    hook.update_record(TABLE, FIRST, {STATUS: "SENT"})


def altered(
    monkeypatch: pytest.MonkeyPatch, knack: Any, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """The vendor gives its usual answer, changed."""
    usual = getattr(knack, name)

    def answered(*args: Any) -> Response:
        payload = json.loads(usual(*args).body)
        change(payload)
        return answer_json(200, payload)

    monkeypatch.setattr(knack, name, answered)


# Metadata


def test_a_link_column_shows_no_field(hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch):
    plain = hook.application().columns[VIEW]
    data = knack.app(APP).metadata()
    (view,) = data["application"]["scenes"][0]["views"]
    view["columns"] += [{"type": "link", "header": "Edit"}, {"type": "link", "field": None}]
    data["application"]["scenes"].append({"key": "scene_9", "slug": "a-page-without-views"})
    monkeypatch.setattr(knack.app(APP), "metadata", lambda: data)
    assert hook.application().columns[VIEW] == plain
    assert set(hook.application().scenes) == {VIEW}


@pytest.mark.parametrize("missing", ["settings", "objects", "scenes"])
def test_metadata_that_lacks_a_part_is_none(
    missing: str, hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
):
    data = knack.app(APP).metadata()
    del data["application"][missing]
    monkeypatch.setattr(knack.app(APP), "metadata", lambda: data)
    with pytest.raises(Unavailable, match="no application's metadata"):
        hook.application()


def test_metadata_is_asked_for_without_a_credential_and_costs_nothing(
    hook: KnackHook, knack: Any, sandbox: Sandbox
):
    knack.set_options({"plan_limit": 5, "plan_used": 5})
    assert hook.application().name == APP
    (request,) = calls(sandbox, "application")
    assert not [name for name in request["headers"] if name.lower().startswith("x-knack")]


@pytest.mark.parametrize(
    ("login", "kind"), [("0" * 24, NotFound), ("short", Refused), (f"{'0' * 24}/../x", Refused)]
)
def test_an_application_that_is_not_known(
    login: str, kind: type[Refused], hook: KnackHook, airflow: Connections
):
    airflow.change("knack_default", login=login)
    with pytest.raises(kind):
        hook.application()


# Pages


@pytest.mark.parametrize("pages", ["2", 2.0, None, "many", 1])
def test_the_number_of_pages_may_come_in_any_form(
    pages: Any, hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
):
    """Text, none at all, or too low."""
    monkeypatch.setattr(module, "ROWS_PER_PAGE", 4)
    altered(monkeypatch, knack, "_view_records", lambda answer: answer.update(total_pages=pages))
    assert read(hook) == list(range(1, 9))


def test_a_vendor_that_gives_less_than_a_page_is_asked_on(
    hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
):
    """The largest page is its own decision: it may be smaller than what we ask for."""
    monkeypatch.setattr("include.sandbox.vendors.knack.service.MOST_ROWS", 3)
    assert read(hook) == list(range(1, 9))


def test_no_records_are_none_and_known_at_once(hook: KnackHook, knack: Any, sandbox: Sandbox):
    knack.seed({"empty": [APP]})
    assert read(hook) == []
    assert len(calls(sandbox, "view_records")) == 1


def test_an_empty_page_is_the_end_whatever_was_announced(
    hook: KnackHook, knack: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    """Each page that is asked for in vain is taken from the day's allowance."""
    monkeypatch.setattr(module, "ROWS_PER_PAGE", 4)
    knack.set_options({"announce_extra": 100})
    assert read(hook) == list(range(1, 9))
    assert len(calls(sandbox, "view_records")) == 2 * 3


def test_a_view_without_end_is_given_up(hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ROWS_PER_PAGE", 2)
    monkeypatch.setattr(module, "MOST_PAGES", 3)
    with pytest.raises(Unavailable, match="more than 3 pages"):
        read(hook)


def test_an_order_that_changes_is_read_once_more(hook: KnackHook, knack: Any, sandbox: Sandbox):
    """Which record is before which decides what is sent first."""
    knack.set_options({"edit_after_page": {"3": {FIRST: {field_key(APP, "at"): "2026-12-31T08:00"}}}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_PER_PAGE", 4)
        assert read(hook) == [2, 3, 4, 5, 6, 7, 8, 1]
    assert len(calls(sandbox, "view_records")) == 9


# Every kind of fault

BROKEN: list[dict[str, Any]] = [
    {"kind": "reset"},
    {"kind": "stall", "seconds": SLOW_S},
    {"kind": "slow", "seconds": SLOW_S},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503, "retry_after": "3"},
    {"kind": "status_after", "status": 502},
    {"kind": "html", "status": 200},
    {"kind": "html", "status": 503},
    {"kind": "truncate"},
    {"kind": "lose_answer"},
    {"kind": "wrong_bytes", "after_bytes": 0},
]
BEFORE = ("reset", "stall", "status", "html")


def name_of(fault: dict[str, Any]) -> str:
    return "-".join(str(value) for value in fault.values())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", BROKEN, ids=name_of)
def test_a_read_in_trouble_changes_nothing(
    fault: dict[str, Any], hook: KnackHook, knack: Any, sandbox: Sandbox
):
    arm(sandbox, "knack", operation="record", times=ATTEMPTS, **fault)
    with pytest.raises(Unavailable):
        hook.record(TABLE, FIRST)
    sandbox.clear_faults()
    assert hook.record(TABLE, FIRST)["id"] == FIRST
    assert not knack.audit


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", BROKEN, ids=name_of)
def test_a_write_in_trouble_is_unclear_and_made_once(
    fault: dict[str, Any], hook: KnackHook, knack: Any, sandbox: Sandbox, waits: Waits
):
    arm(sandbox, "knack", operation="update_record", **fault)
    with pytest.raises(OutcomeUnknown):
        write(hook)
    assert len(calls(sandbox, "update_record")) == 1
    assert bool(knack.audit) is (fault["kind"] not in BEFORE)
    assert not waits


def test_a_closed_port_is_nothing_done(hook: KnackHook, knack: Any, sandbox: Sandbox):
    arm(sandbox, "knack", "refuse", seconds=60)
    with pytest.raises(Unavailable, match="no connection could be made"):
        write(hook)
    sandbox.end_refusals()
    assert not knack.audit


# Limits


def test_a_real_burst_heals_within_a_second(airflow: Connections, knack: Any, sandbox: Sandbox):
    knack.set_options({"requests_per_second": 2})
    hook, started = KnackHook(), time.monotonic()
    for _ in range(4):
        hook.record(TABLE, FIRST)
    hook.close()
    assert 429 in statuses(sandbox, "record"), "there was a burst"
    assert statuses(sandbox, "record").count(200) == 4
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("theirs_s", [-3600, -5, 5, 3600])
def test_a_clock_that_differs_never_makes_us_ask_again_at_once(
    theirs_s: float, hook: KnackHook, sandbox: Sandbox, waits: Waits
):
    """A burst ends at a time of the vendor's clock; all of its second is refused."""
    sandbox.clock.advance(theirs_s)
    arm(sandbox, "knack", "status", operation="record", status=429, times=2)
    hook.record(TABLE, FIRST)
    assert waits == [1.0, 1.0]


def test_a_long_wait_gives_the_slot_back(hook: KnackHook, sandbox: Sandbox, waits: Waits):
    arm(sandbox, "knack", "status", operation="record", status=429, retry_after="900")
    with pytest.raises(RateLimited) as raised:
        hook.record(TABLE, FIRST)
    assert (raised.value.retry_after_s, waits) == (900, [])


def test_a_burst_on_a_write_was_no_write(hook: KnackHook, knack: Any, sandbox: Sandbox, waits: Waits):
    arm(sandbox, "knack", "status", operation="update_record", status=429)
    write(hook)
    assert statuses(sandbox, "update_record") == [429, 200]
    assert len(knack.audit) == 1


def test_a_day_that_is_used_up_is_known_to_every_worker(
    airflow: Connections, knack: Any, sandbox: Sandbox, worker: Callable[..., Ledger], waits: Waits
):
    """The second one does not ask, and does not take it for a wait it could sit out."""
    knack.set_options({"plan_limit": 3, "plan_used": 3})
    first, second = (
        KnackHook(pause=waits, limiter=RateLimiter(worker(name).engine)) for name in ("ann", "bob")
    )
    with pytest.raises(DailyLimit, match="3 requests of the day") as told:
        first.record(TABLE, FIRST)
    with pytest.raises(DailyLimit, match="requests of the day are used up") as known:
        second.record(TABLE, FIRST)
    assert abs(known.value.retry_after_s - told.value.retry_after_s) < 30
    assert second.application().name == APP, "which costs nothing"
    assert (len(calls(sandbox, "record")), waits) == (1, [])


def test_another_wait_of_the_deployment_is_not_the_days_end(
    airflow: Connections, knack: Any, sandbox: Sandbox, worker: Callable[..., Ledger]
):
    limiter = RateLimiter(worker("ann").engine)
    hook = KnackHook(limiter=limiter)
    (limit,) = hook.limits_of("knack.record")
    to_midnight_s = 86_400 - time.time() % 86_400
    limiter.penalise(limit.bucket, to_midnight_s / 2 if to_midnight_s > 1800 else 3600 * 5)
    with pytest.raises(RateLimited) as raised:
        hook.record(TABLE, FIRST)
    assert not isinstance(raised.value, DailyLimit)
    assert not calls(sandbox, "record")


def test_an_injected_daily_limit_says_when_it_ends(hook: KnackHook, knack: Any, sandbox: Sandbox):
    knack.set_options({"injected_429": "daily"})
    arm(sandbox, "knack", "status", operation="update_record", status=429)
    with pytest.raises(DailyLimit) as raised:
        write(hook)
    assert 0 < raised.value.retry_after_s <= 86_400
    assert raised.value.status == 429
    assert not knack.audit


@pytest.mark.parametrize("remaining", [None, "", "many"])
def test_an_allowance_that_is_not_told_is_not_guessed(
    remaining: str | None, hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
):
    told = [("X-PlanLimit-Limit", "10"), ("X-PlanLimit-Reset", "1")]
    told += [] if remaining is None else [("X-PlanLimit-Remaining", remaining)]
    monkeypatch.setattr(knack, "_limits", lambda request: told)
    hook.record(TABLE, FIRST)
    assert hook.allowance is None


@pytest.mark.parametrize(("value", "limit"), [(None, 10), ("", 10), (25, 25), ("25", 25)])
def test_ten_a_second_unless_the_connection_says_so(value: Any, limit: int, airflow: Connections):
    airflow.change("knack_default", extra={"requests_per_second": value})
    assert [one.limit for one in KnackHook().limits_of("knack.record")] == [limit]


@pytest.mark.parametrize("value", ["²", "-1", 1.5, [10], "0", "many", "1001"])
def test_a_limit_that_is_no_whole_number_is_named(value: Any, airflow: Connections):
    airflow.change("knack_default", extra={"requests_per_second": value})
    with pytest.raises(SettingsError, match="knack_default: extra 'requests_per_second'"):
        KnackHook().limits_of("knack.record")


def test_two_applications_do_not_share_a_limit(airflow: Connections):
    """The vendor counts seconds by application."""
    buckets = {
        KnackHook(name).limits_of("knack.record")[0].bucket
        for name in ("knack_default", "knack_signs_markings")
    }
    assert len(buckets) == 2
    assert not any(secret in bucket for secret in airflow.secrets for bucket in buckets)


# Errors in words


def test_a_view_behind_a_log_in_is_named(airflow: Connections, hook: KnackHook):
    airflow.change("knack_default", password="knack")
    with pytest.raises(Refused, match="login needed") as raised:
        read(hook)
    assert (raised.value.status, raised.value.code) == (403, "login needed")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Invalid API Request", "no application id"),
        ("ValidationError: Malformed App ID.", "wrong application id"),
        ("<html>Jane Doe</html>", ""),
        ("", ""),
    ],
)
def test_only_words_that_are_known_become_a_code(text: str, code: str, hook: KnackHook):
    assert hook.error_text(text) == code


@pytest.mark.parametrize(
    "payload",
    [{"errors": [{"message": "Jane Doe"}]}, {"errors": []}, {"errors": ["Jane Doe"]}, ["Jane Doe"], 3],
)
def test_an_error_of_another_shape_is_told_by_its_status(
    payload: Any, hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(knack, "_update", lambda request, app: answer_json(400, payload))
    with pytest.raises(Refused) as raised:
        write(hook)
    assert raised.value.status == 400
    assert "Jane" not in str(raised.value)


@pytest.mark.parametrize("body", [b"[]", b"null", b"true", b""])
def test_a_write_whose_answer_is_no_record_is_unclear(
    body: bytes, hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(knack, "_update", lambda request, app: Response(body=body))
    with pytest.raises(OutcomeUnknown, match="not a JSON object"):
        write(hook)


# The Test button, and secrets


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"login": "0" * 24}, "not there"),
        ({"login": "short"}, "wrong application id"),
        ({"login": ""}, "this connection: login (the application id) is missing"),
        ({"password": "wrong-key"}, "wrong key"),
        ({"password": ""}, "this connection: password (the REST API key) is missing"),
    ],
)
def test_the_test_button_names_what_is_wrong(
    fields: dict[str, str], words: str, airflow: Connections, knack: Any
):
    airflow.change("knack_default", **fields)
    worked, said = KnackHook().test_connection()
    assert not worked
    assert words in said
    assert "knack_default" not in said


def test_the_test_button_tells_of_an_application_without_objects(hook: KnackHook, knack: Any):
    knack.app(APP).tables.clear()
    assert hook.test_connection() == (False, f"knack.probe: the application '{APP}' has no objects")


def test_neither_logs_nor_errors_hold_the_key_a_filter_or_a_value(
    airflow: Connections,
    hook: KnackHook,
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    caplog.set_level("DEBUG")
    told = []
    read(hook)
    hook.record(TABLE, FIRST)
    for fault in (
        {"kind": "lose_answer"},
        {"kind": "status", "status": 401},
        {"kind": "html", "status": 400},
    ):
        arm(sandbox, "knack", operation="update_record", **fault)
        with pytest.raises((OutcomeUnknown, Refused)) as raised:
            hook.update_record(TABLE, FIRST, {DETAILS: "written words"})
        told.append(str(raised.value))
    everything = caplog.text + "".join(told) + "".join(capsys.readouterr())
    assert "knack.update_record: HTTP 401" in everything, "something was logged"
    for word in (*airflow.secrets, "READY_TO_SEND", "Jane", "written words"):
        assert word not in everything
