"""Knack as its callers know it: routes, shapes, filters, pages, limits, and who wrote what."""

from __future__ import annotations

import datetime as dt
import json
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from include.sandbox.connections import KNACK_APPS
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors.knack import Knack
from include.sandbox.vendors.knack.model import Field, shown
from include.sandbox.vendors.knack.seeds import field_key, record_id

APP = "data-tracker"
APP_ID, API_KEY = KNACK_APPS[APP]
KEYS = {"X-Knack-Application-Id": APP_ID, "X-Knack-REST-API-Key": API_KEY}
VIEW = "/v1/pages/scene_514/views/view_1653/records"
TABLE = "/v1/objects/object_75/records"
STATUS = field_key(APP, "status")


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox([Knack]) as sandbox:
        yield sandbox


@pytest.fixture
def knack(running: Sandbox) -> Knack:
    """Twelve records, three service requests, no limits but those a test sets."""
    running.reset()
    vendor: Knack = running.vendor("knack")
    vendor.set_options({"requests_per_second": 10_000})
    rows = [{"number": n, "sr": f"S{n % 3}", "activity": "Identify Asset"} for n in range(1, 13)]
    vendor.seed({"empty": list(KNACK_APPS), "records": {APP: rows}})
    return vendor


@pytest.fixture(scope="module")
def http(running: Sandbox) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=str(running.ca_bundle))
    with httpx.Client(
        base_url=running.url("knack"), verify=trust, trust_env=False, timeout=10, headers=KEYS
    ) as client:
        yield client


def numbers(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [record[field_key(APP, "number")] for record in answer.json()["records"]]


def test_metadata_is_public_and_names_fields_views_and_a_zone_in_words(
    knack: Knack, http: httpx.Client
) -> None:
    answer = http.get(f"/v1/applications/{APP_ID}", headers=dict.fromkeys(KEYS, ""))
    app = answer.json()["application"]
    assert app["settings"]["timezone"] == "Central Time (US & Canada)"
    (view,) = app["scenes"][0]["views"]
    assert [column.get("field", {}).get("key") for column in view["columns"]][-1] is None
    assert {field["key"] for field in app["objects"][0]["fields"]} >= {STATUS}
    assert http.get("/v1/applications/nonsense").text == "Malformed App ID"


@pytest.mark.parametrize("spelling", ["pages", "scenes"])
def test_a_view_shows_its_columns_in_its_order(knack: Knack, http: httpx.Client, spelling: str) -> None:
    knack.app(APP).views["view_1653"].columns = [field_key(APP, "number"), STATUS]
    knack.app(APP).views["view_1653"].sort = (field_key(APP, "at"), "desc")
    answer = http.get(VIEW.replace("pages", spelling))
    assert numbers(answer) == list(range(12, 0, -1))
    assert set(answer.json()["records"][0]) == {
        "id", STATUS, f"{STATUS}_raw", field_key(APP, "number"), f"{field_key(APP, 'number')}_raw",
    }  # fmt: skip
    assert set(http.get(TABLE).json()["records"][0]) > {field_key(APP, "details")}


def test_a_views_own_criteria_come_first(knack: Knack, http: httpx.Client) -> None:
    knack.app(APP).views["view_1653"].criteria = [
        {"field": field_key(APP, "number"), "operator": "higher than", "value": 10}
    ]
    assert numbers(http.get(VIEW)) == [11, 12]


RULE = {"field": field_key(APP, "sr"), "operator": "is", "value": "S1"}
NUMBER = field_key(APP, "number")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([RULE], [1, 4, 7, 10]),
        ({"match": "and", "rules": [RULE, {"field": NUMBER, "operator": "lower than", "value": 5}]}, [1, 4]),
        ({"match": "or", "rules": [RULE, {"field": NUMBER, "operator": "is", "value": 2}]}, [1, 2, 4, 7, 10]),
        ([{"field": field_key(APP, "emi"), "operator": "is blank"}], []),
        ([{"field": field_key(APP, "emi"), "operator": "is not blank"}], list(range(1, 13))),
        ([{"field": field_key(APP, "sr"), "operator": "contains", "value": "s2"}], [2, 5, 8, 11]),
        ([{"field": field_key(APP, "sr"), "operator": "is not", "value": "S0"}], [1, 2, 4, 5, 7, 8, 10, 11]),
        ([{"field": field_key(APP, "at"), "operator": "is before", "value": "11/01/2026"}], []),
        # The dangerous case: what is not known is passed over.
        ([{"field": "field_1", "operator": "is", "value": "x"}], list(range(1, 13))),
        ([{"field": field_key(APP, "sr"), "operator": "resembles", "value": "x"}], list(range(1, 13))),
    ],
)  # fmt: skip
def test_filters(knack: Knack, http: httpx.Client, filters: Any, found: list[int]) -> None:
    assert numbers(http.get(VIEW, params={"filters": json.dumps(filters)})) == found


def test_unknown_rules_can_be_refused(knack: Knack, http: httpx.Client) -> None:
    knack.set_options({"unknown_rule": "refuse"})
    answer = http.get(
        VIEW, params={"filters": json.dumps([{"field": "field_1", "operator": "is", "value": "x"}])}
    )
    assert (answer.status_code, answer.text) == (400, "Invalid filters")


def test_pages_are_offsets_into_what_passes_now(knack: Knack, http: httpx.Client) -> None:
    ready = json.dumps([{"field": STATUS, "operator": "is", "value": "READY_TO_SEND"}])
    knack.set_options({"edit_after_page": {"1": {record_id(APP, 1): {STATUS: "SENT"}}}})
    pages = [
        numbers(http.get(VIEW, params={"filters": ready, "rows_per_page": 5, "page": page}))
        for page in (1, 2, 3)
    ]
    # One left, so 6 moved over the border of the first page: nobody has seen it.
    assert pages == [[1, 2, 3, 4, 5], [7, 8, 9, 10, 11], [12]]


def test_there_are_never_more_than_a_thousand_rows_and_totals_may_promise_too_much(
    knack: Knack, http: httpx.Client
) -> None:
    knack.seed({"records": {APP: [{"number": n, "sr": "S", "activity": "Other"} for n in range(100, 1200)]}})
    knack.set_options({"announce_extra": 900})
    answer = http.get(VIEW, params={"rows_per_page": 5000}).json()
    assert (len(answer["records"]), answer["total_records"], answer["total_pages"]) == (1000, 2012, 3)
    assert len(http.get(VIEW).json()["records"]) == 25
    assert http.get(VIEW, params={"rows_per_page": 1000, "page": 3}).json()["records"] == []


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({"X-Knack-Application-Id": ""}, 401, "Invalid API Request"),
        ({"X-Knack-Application-Id": "short"}, 400, "Malformed App ID"),
        ({"X-Knack-REST-API-Key": "wrong"}, 401, "Invalid API key"),
        ({"X-Knack-REST-API-Key": "knack"}, 403, "Invalid or Expired Token"),
    ],
)
def test_who_may_not_read_is_told_in_plain_text(
    knack: Knack, http: httpx.Client, headers: dict[str, str], status: int, text: str
) -> None:
    answer = http.get(VIEW, headers=headers)
    assert (answer.status_code, answer.text) == (status, text)
    assert "json" not in answer.headers["Content-Type"]


def test_the_word_knack_is_a_key_for_public_views_and_with_a_persons_token(
    knack: Knack, http: httpx.Client
) -> None:
    public = {"X-Knack-REST-API-Key": "knack"}
    knack.seed({"user_token": {APP: "of-a-person"}})
    assert http.get(VIEW, headers=public | {"Authorization": "of-a-person"}).status_code == 200
    knack.app(APP).views["view_1653"].login = False
    assert http.get(VIEW, headers=public).status_code == 200
    assert http.get(TABLE, headers=public).text == "Invalid API key"


@pytest.mark.parametrize(
    "path", [VIEW.replace("1653", "9"), TABLE.replace("75", "9"), f"{TABLE}/{'0' * 24}", "/v1/nothing"]
)
def test_what_is_not_there(knack: Knack, http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


# Values


@pytest.mark.parametrize(
    ("kind", "value", "display", "raw"),
    [
        ("short_text", "hello", "hello", "hello"),
        ("number", 100, 100, 100),
        ("currency", "100.43", "$100.43", "100.43"),
        ("rating", 0, "0.00", 0),
        ("boolean", True, "Yes", True),
        (
            "connection",
            [{"id": "1", "identifier": "A"}],
            '<span class="1">A</span>',
            [{"id": "1", "identifier": "A"}],
        ),
        ("email", "a@b.c", '<a href="mailto:a@b.c">a@b.c</a>', {"email": "a@b.c"}),
        ("name", {"first": "Ann", "last": "Doe"}, "Doe, Ann", {"first": "Ann", "last": "Doe"}),
        ("paragraph_text", "a < b\nc", "a &lt; b<br />c", "a < b<br />c"),
    ],
)
def test_display_and_raw(kind: str, value: Any, display: Any, raw: Any) -> None:
    assert shown(Field(key="field_1", name="x", type=kind), value, line_break="<br />") == (display, raw)


def test_a_moment_is_the_wall_clock_in_the_clothes_of_utc(knack: Knack, http: httpx.Client) -> None:
    key = field_key(APP, "at")
    knack.seed({"edit": {record_id(APP, 1): {key: "2018-07-03T10:26:45"}}})
    record = http.get(f"{TABLE}/{record_id(APP, 1)}").json()
    assert record[key] == "07/03/2018 10:26"
    assert record[f"{key}_raw"] == {
        "date": "07/03/2018", "date_formatted": "07/03/2018", "hours": "10", "minutes": "26", "am_pm": "AM",
        "unix_timestamp": 1530613560000, "iso_timestamp": "2018-07-03T10:26:00.000Z",
        "timestamp": "07/03/2018 10:26 am", "time": 626,
    }  # fmt: skip


# Writing


def test_a_put_changes_what_it_names_and_leaves_a_trace(
    knack: Knack, http: httpx.Client, running: Sandbox
) -> None:
    record = record_id(APP, 1)
    answer = http.put(f"{TABLE}/{record}", json={"id": record, STATUS: "SENT"})
    assert (answer.json()["id"], answer.json()[STATUS]) == (record, "SENT")
    knack.seed({"edit": {record: {STATUS: "DO_NOT_SEND"}}})
    assert [(entry["by"], entry["old"], entry["new"]) for entry in knack.audit] == [
        ("api", "READY_TO_SEND", "SENT"),
        ("person", "SENT", "DO_NOT_SEND"),
    ]
    (effect,) = running.effects.entries(kind="record_updated")
    assert (effect["record"], effect["field"], effect["new"]) == (record, STATUS, "SENT")


def test_the_trace_holds_no_free_text(knack: Knack, http: httpx.Client, running: Sandbox) -> None:
    http.put(f"{TABLE}/{record_id(APP, 1)}", json={field_key(APP, "details"): "Mrs Example"})
    assert "Example" not in json.dumps([knack.snapshot(), running.effects.entries()])


def test_only_a_refused_write_is_json(knack: Knack, http: httpx.Client) -> None:
    answer = http.put(f"{TABLE}/{record_id(APP, 1)}", json={STATUS: "NONSENSE"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, STATUS)
    knack.set_options({"unique_is_strict": True})
    answer = http.put(f"{TABLE}/{record_id(APP, 1)}", json={field_key(APP, "number"): 1})
    assert answer.json()["errors"][0]["message"].endswith("must be unique")


def test_records_are_made_and_deleted(knack: Knack, http: httpx.Client) -> None:
    made = http.post(TABLE, json={field_key(APP, "sr"): "S9"}).json()
    assert made[field_key(APP, "number")] == 13
    assert http.delete(f"{TABLE}/{made['id']}").json() == {"delete": True}


def test_a_person_edits_between_a_look_and_a_write(knack: Knack, http: httpx.Client) -> None:
    record = record_id(APP, 1)
    knack.set_options({"edit_after_read": {record: {STATUS: "DO_NOT_SEND"}}})
    assert [http.get(f"{TABLE}/{record}").json()[STATUS] for _ in range(2)] == [
        "READY_TO_SEND",
        "DO_NOT_SEND",
    ]


def test_a_write_whose_answer_is_lost_was_done(knack: Knack, http: httpx.Client, running: Sandbox) -> None:
    running.arm(Fault(vendor="knack", kind=FaultKind.LOSE_ANSWER, operation="update_record"))
    with pytest.raises(httpx.TransportError):
        http.put(f"{TABLE}/{record_id(APP, 1)}", json={STATUS: "SENT"})
    assert knack.snapshot()["apps"][APP][record_id(APP, 1)] == "SENT"


# Limits


def test_the_rest_of_a_second_is_refused_and_the_next_is_well(
    knack: Knack, http: httpx.Client, running: Sandbox
) -> None:
    knack.set_options({"requests_per_second": 3})
    # To the beginning of a second, with a second's time to spare for the calls below.
    fraction = running.clock.now().microsecond / 1e6
    running.clock.advance(1 - fraction)
    answers = [http.get(VIEW) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].text == "Rate limit exceeded"
    assert (answers[2].headers["X-RateLimit-Remaining"], answers[3].headers["X-RateLimit-Limit"]) == (
        "0",
        "3",
    )
    assert int(answers[3].headers["X-PlanLimit-Remaining"]) > 0
    running.clock.advance(1)
    assert http.get(VIEW).status_code == 200


def test_both_resets_are_told_each_in_its_own_unit(
    knack: Knack, http: httpx.Client, running: Sandbox
) -> None:
    headers = http.get(VIEW).headers
    now = running.clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    assert abs(int(headers["X-PlanLimit-Reset"]) - (midnight - now).total_seconds() * 1000) < 5000
    assert 0 <= int(headers["X-RateLimit-Reset"]) - now.timestamp() + 1 <= 3


def test_the_days_allowance_ends_at_midnight_utc(knack: Knack, http: httpx.Client, running: Sandbox) -> None:
    knack.set_options({"plan_limit": 2})
    answers = [http.get(VIEW) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["X-PlanLimit-Remaining"] == "0"
    running.clock.advance(int(answers[2].headers["X-PlanLimit-Reset"]) / 1000 + 1)
    assert http.get(VIEW).status_code == 200


@pytest.mark.parametrize(("kind", "left"), [("burst", False), ("daily", True)])
def test_an_injected_429_is_of_either_kind(
    knack: Knack, http: httpx.Client, running: Sandbox, kind: str, left: bool
) -> None:
    knack.set_options({"injected_429": kind})
    running.arm(Fault(vendor="knack", kind=FaultKind.STATUS, operation="view_records", status=429))
    answer = http.get(VIEW)
    assert (answer.status_code, answer.headers["X-PlanLimit-Remaining"] == "0") == (429, left)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_outages_are_html(knack: Knack, http: httpx.Client, running: Sandbox, status: int) -> None:
    running.arm(Fault(vendor="knack", kind=FaultKind.STATUS, status=status))
    answer = http.get(VIEW)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")


def test_its_state_outlives_a_restart(tmp_path: Any) -> None:
    with Sandbox([Knack], folder=tmp_path) as first:
        first.vendor("knack").seed({"edit": {record_id(APP, 9): {STATUS: "SENT"}}})
    with Sandbox([Knack], folder=tmp_path) as second:
        assert second.vendor("knack").snapshot()["apps"][APP][record_id(APP, 9)] == "SENT"


def test_a_wrong_seed_is_named(knack: Knack) -> None:
    with pytest.raises(ValueError, match="recods"):
        knack.seed({"recods": {}})
