"""The plan: who goes, who does not, in which order."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.sandbox.vendors.knack.seeds import field_key, record_id
from interchange.activities.plan import Activity, Plan, Verdict
from interchange.errors import SettingsError
from tests.unit.activities.conftest import NAME, World


def order(plan: Plan) -> list[list[int | None]]:
    return [[activity.number for activity in request.activities] for request in plan.service_requests]


def only(plan: Plan) -> Activity:
    ((activity,),) = (request.activities for request in plan.service_requests)
    return activity


@pytest.mark.parametrize("kind", [int, str])
def test_numbers_are_compared_as_numbers_within_their_service_request(world: World, kind: Any) -> None:
    """Defect A10: as text, "10" went before "9"."""
    for number, sr in [(10, "A"), (9, "A"), (100, "B"), (11, "A"), (8, "B")]:
        world.has({"number": number, "sr": sr})
    for number in (8, 9, 10, 11, 100):
        world.edit(number, number=kind(number))
    assert order(world.plan()) == [[8, 100], [9, 10, 11]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_plan_does_not_depend_on_the_order_of_the_records(world: World, seed: int) -> None:
    rows = [{"number": number, "sr": f"S{number % 4}"} for number in range(1, 30)]
    plans = []
    for _ in range(2):
        random.Random(seed).shuffle(rows)
        world.knack.seed({"empty": [NAME]})
        world.has(*rows)
        plans.append(world.plan())
        seed += 1
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("row", "verdict", "code"),
    [
        ({"activity": "Identify Asset"}, Verdict.SEND, "IDENASSE"),
        ({"activity": " Identify  Asset "}, Verdict.SEND, "IDENASSE"),
        ({"activity": "Other"}, Verdict.IGNORE, ""),
        # 311 itself has asked for this one.
        ({"activity": "Other", "csr_code": "PAGE0001", "csr_id": "1-7XQ2"}, Verdict.SEND, "PAGE0001"),
        ({"activity": "", "csr_code": "PAGE0001"}, Verdict.SEND, "PAGE0001"),
    ],
)
def test_the_code_comes_from_the_record_or_from_the_map(
    world: World, row: dict[str, Any], verdict: Verdict, code: str
) -> None:
    world.has({"number": 1, "sr": "A", **row})
    activity = only(world.plan())
    assert (activity.verdict, activity.code) == (verdict, code)


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"activity": "Never heard of"}, "activity", "activity_codes does not have"),
        ({"activity": ""}, "activity", "is empty"),
        ({"sr": ""}, "sr", "is empty"),
        ({"at": ""}, "at", "is empty"),
        ({"details": "a\x07b"}, "details", r"U\+0007"),
    ],
)
def test_a_record_that_cannot_go_is_set_aside_with_field_and_reason(
    world: World, row: dict[str, Any], field: str, reason: str
) -> None:
    world.has({"number": 1, "sr": "A", **row})
    activity = only(world.plan())
    assert activity.verdict is Verdict.SET_ASIDE
    assert activity.field == field_key(NAME, field)
    assert re.search(reason, activity.reason)


def test_one_without_a_number_keeps_its_whole_request_waiting(world: World) -> None:
    """Defect A10: a blank number ended the run."""
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "A"}, {"number": 3, "sr": "B"})
    world.edit(2, number="")
    assert order(world.plan()) == [[None, 1], [3]]


def test_one_without_a_service_request_keeps_nobody_waiting(world: World) -> None:
    world.has({"number": 1, "sr": ""}, {"number": 2, "sr": ""}, {"number": 3, "sr": "B"})
    assert sorted(order(world.plan()), key=str) == [[3], [None], [None]]


def test_duplicates_are_closed_as_resolved(world: World) -> None:
    world.has({"number": 1, "sr": "A", "issue_status": "closed_duplicate"})
    assert only(world.plan()).status_code == "closed_resolved"


def test_characters_that_xml_forbids_can_be_replaced(world: World) -> None:
    world.has({"number": 1, "sr": "A", "details": "a\x07b"})
    activity = only(world.plan(illegal_characters="replace", replacement="?"))
    assert (activity.verdict, activity.details) == (Verdict.SEND, "a?b")


def test_only_ready_records_with_an_emi_id_are_planned_even_if_knack_ignores_the_filter(world: World) -> None:
    world.has(
        {"number": 1, "sr": "A"},
        {"number": 2, "sr": "A", "status": "SENT"},
        {"number": 3, "sr": "A", "emi": ""},
        {"number": 4, "sr": "A", "emi": " "},
    )
    # What the vendor does not know any more it passes over without a word.
    world.knack.set_options({"forgotten_operators": ("is", "is not blank")})
    assert order(world.plan()) == [[1]]


def test_the_words_of_citizens_are_in_no_text_form(world: World) -> None:
    world.has({"number": 1, "sr": "A", "details": "Mrs Example at 5 Elm Street"})
    work = world.work()
    plan = work.read()
    assert only(plan).details == "Mrs Example at 5 Elm Street"
    assert "Example" not in f"{plan} {plan!r} {json.dumps(work.preview(plan))}"


@pytest.mark.parametrize("meaning", ["sr", "details", "csr_code"])
def test_a_column_that_somebody_took_out_of_the_view_stops_everything(world: World, meaning: str) -> None:
    world.has({"number": 1, "sr": "A"})
    world.knack.seed({"remove_column": {"view_1653": field_key(NAME, meaning)}})
    with pytest.raises(SettingsError, match=f"view_1653 does not show {field_key(NAME, meaning)}"):
        world.plan()


@pytest.mark.parametrize("changes", [{"view": "view_9"}, {"object": "object_9"}])
def test_a_view_or_an_object_that_is_not_there_is_named(world: World, changes: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="_9"):
        world.plan(**changes)


def test_the_same_record_edited_has_another_digest_and_its_status_does_not_count(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    before = only(world.plan()).digest
    world.edit(1, status="READY_TO_SEND")
    assert only(world.plan()).digest == before
    world.edit(1, details="other words")
    assert only(world.plan()).digest != before


def test_a_preview_changes_nothing_and_shows_what_the_ledger_has(world: World) -> None:
    """Defect A15: there was no dry run."""
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "A", "activity": "Never heard of"})
    work = world.work()
    shown = work.preview(work.read())
    assert world.ledger.list() == []
    assert world.sandbox.effects.entries() == []
    (request,) = shown["service_requests"]
    assert [(entry["record_id"], entry["verdict"]) for entry in request["activities"]] == [
        (record_id(NAME, 1), "send"),
        (record_id(NAME, 2), "set aside"),
    ]
    world.run()
    shown = work.preview(world.plan())
    assert [entry["ledger"] for entry in shown["service_requests"][0]["activities"]] == ["quarantined"]
