"""The Knack client against the simulated Knack: what it reads and writes, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.connections import KNACK_APPS
from include.sandbox.core import Sandbox
from include.sandbox.vendors.knack.seeds import field_key, record_id
from include.sandbox.wire import Response
from interchange.errors import NotFound, Refused, SettingsError, Unavailable
from interchange.hooks import knack as module
from interchange.hooks.knack import DailyLimit, KnackHook
from tests.unit.vendors import Connections, Waits, arm, calls

APP = "data-tracker"
STATUS = field_key(APP, "status")
READY = {"match": "and", "rules": [{"field": STATUS, "operator": "is", "value": "READY_TO_SEND"}]}
SCENE, VIEW, TABLE = "scene_514", "view_1653", "object_75"


@pytest.fixture
def knack(sandbox: Sandbox) -> Any:
    """Nine records, no limits but those a test sets."""
    vendor = sandbox.vendor("knack")
    vendor.set_options({"requests_per_second": 10_000})
    rows = [{"number": n, "sr": "S", "activity": "Other"} for n in range(1, 10)]
    vendor.seed({"empty": list(KNACK_APPS), "records": {APP: rows}})
    return vendor


@pytest.fixture
def hook(airflow: Connections, knack: Any, waits: Waits) -> Iterator[KnackHook]:
    made = KnackHook(pause=waits)
    yield made
    made.close()


def read(hook: KnackHook) -> list[int]:
    return [record[field_key(APP, "number")] for record in hook.view_records(SCENE, VIEW, READY)]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_PAGE", 4)


# Metadata


def test_what_is_needed_of_an_applications_metadata(hook: KnackHook) -> None:
    app = hook.application()
    assert (app.name, app.scene_of(VIEW)) == (APP, SCENE)
    assert app.objects[TABLE][STATUS] == ("ESB Status", "multiple_choice")
    columns = app.columns[VIEW]
    assert columns is not None
    assert STATUS in columns
    with pytest.raises(SettingsError, match="has no view_9"):
        app.scene_of("view_9")


def test_a_view_without_columns_says_so(hook: KnackHook, knack: Any) -> None:
    knack.app(APP).views[VIEW].type = "form"
    assert hook.application().columns[VIEW] is None


def test_metadata_may_have_megabytes(hook: KnackHook, knack: Any) -> None:
    knack.app(APP).tables[TABLE].name = "x" * (9 << 20)
    assert hook.application().name == APP


def test_what_is_no_metadata_is_no_answer(hook: KnackHook, knack: Any, sandbox: Sandbox) -> None:
    arm(sandbox, "knack", "html", operation="application", status=200, times=9)
    with pytest.raises(Unavailable):
        hook.application()


# Reading


def test_one_page_is_read_once(hook: KnackHook, sandbox: Sandbox) -> None:
    assert read(hook) == list(range(1, 10))
    assert len(calls(sandbox, "view_records")) == 1


@pytest.mark.usefixtures("small_pages")
def test_several_pages_are_read_until_two_passes_agree(hook: KnackHook, sandbox: Sandbox) -> None:
    assert read(hook) == list(range(1, 10))
    assert len(calls(sandbox, "view_records")) == 6


@pytest.mark.usefixtures("small_pages")
def test_no_record_is_skipped_while_others_leave(hook: KnackHook, knack: Any) -> None:
    knack.set_options({"edit_after_page": {"1": {record_id(APP, 2): {STATUS: "SENT"}}}})
    assert read(hook) == [1, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.usefixtures("small_pages")
def test_nor_while_others_join(hook: KnackHook, knack: Any) -> None:
    knack.seed({"edit": {record_id(APP, 1): {STATUS: "SENT"}}})
    knack.set_options({"edit_after_page": {"2": {record_id(APP, 1): {STATUS: "READY_TO_SEND"}}}})
    assert read(hook) == list(range(1, 10))


@pytest.mark.usefixtures("small_pages")
def test_a_view_that_never_holds_still_is_left_for_later(
    hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = knack._view_records

    def changing(request: Any, app: Any) -> Response:
        answer: Response = shown(request, app)
        number = len(knack.sandbox.requests.entries(operation="view_records"))
        knack.seed({"records": {APP: [{"number": 100 + number, "sr": "S", "activity": "Other"}]}})
        return answer

    monkeypatch.setattr(knack, "_view_records", changing)
    with pytest.raises(Unavailable, match="kept changing"):
        read(hook)


def test_an_answer_without_records_is_none(
    hook: KnackHook, knack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knack, "_view_records", lambda request, app: Response(body=b'{"records": 3}'))
    with pytest.raises(Unavailable, match="holds no records"):
        read(hook)


def test_one_record_and_one_that_is_gone(hook: KnackHook) -> None:
    assert hook.record(TABLE, record_id(APP, 3))[field_key(APP, "number")] == 3
    with pytest.raises(NotFound):
        hook.record(TABLE, "0" * 24)


# Writing


def test_a_write_names_only_what_changes(hook: KnackHook, knack: Any) -> None:
    assert hook.update_record(TABLE, record_id(APP, 1), {STATUS: "SENT"})[STATUS] == "SENT"
    assert [(entry["field"], entry["new"]) for entry in knack.audit] == [(STATUS, "SENT")]


def test_a_refused_value_is_named_by_its_field_only(hook: KnackHook) -> None:
    with pytest.raises(Refused, match=STATUS) as caught:
        hook.update_record(TABLE, record_id(APP, 1), {STATUS: "SECRET WORDS"})
    assert "SECRET" not in str(caught.value)


# Limits


def test_a_day_that_is_used_up_is_told_apart_and_not_waited_for(
    hook: KnackHook, knack: Any, sandbox: Sandbox, waits: Waits
) -> None:
    knack.set_options({"plan_limit": 3, "plan_used": 3})
    with pytest.raises(DailyLimit, match="3 requests of the day") as caught:
        read(hook)
    now = sandbox.clock.now()
    left = 86400 - (now.hour * 3600 + now.minute * 60 + now.second)
    assert abs(caught.value.retry_after_s - left) < 5
    assert (waits, len(calls(sandbox, "view_records"))) == ([], 1)


def test_the_days_allowance_is_known_from_each_answer(hook: KnackHook, knack: Any) -> None:
    assert hook.allowance is None
    knack.set_options({"plan_limit": 100, "plan_used": 40})
    read(hook)
    assert hook.allowance is not None
    assert (hook.allowance.limit, hook.allowance.remaining) == (100, 59)


# Faults and credentials


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "wrong-key-0001"}, r"not allowed \(wrong key\)"),
        ({"login": "short"}, "wrong application id"),
        ({"login": ""}, "login"),
        ({"password": ""}, "password"),
    ],
)
def test_wrong_credentials_are_named_and_not_tried_again(
    airflow: Connections, hook: KnackHook, sandbox: Sandbox, fields: dict[str, str], words: str
) -> None:
    airflow.change("knack_default", **fields)
    with pytest.raises((Refused, SettingsError), match=words) as caught:
        hook.record(TABLE, record_id(APP, 1))
    assert "wrong-key" not in str(caught.value)
    assert len(calls(sandbox, "record")) <= 1


def test_the_test_button_says_what_it_saw(airflow: Connections, hook: KnackHook, sandbox: Sandbox) -> None:
    well, words = hook.test_connection()
    assert well
    assert "'data-tracker'" in words
    assert "requests left today" in words
    assert sandbox.effects.entries() == []
    airflow.change("knack_default", password="wrong-key-0001")
    well, words = KnackHook().test_connection()
    assert not well
    assert "this connection" in words
