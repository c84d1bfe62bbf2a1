"""Each message once, in order, whatever goes wrong; and the status behind it."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.knack.seeds import field_key, record_id
from include.sandbox.vendors.knack.service import _Invalid
from interchange.activities.plan import Verdict
from interchange.errors import InterchangeError, Refused, SettingsError, Unavailable
from interchange.ledger import EffectRef, State
from interchange.settings.files import templates_dir
from tests.unit.activities.conftest import NAME, World
from tests.unit.vendors import Connections, arm, calls

READY, SENT, IGNORED = "READY_TO_SEND", "SENT", "DO_NOT_SEND"


@pytest.fixture(autouse=True)
def _short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERCHANGE_READ_TIMEOUT_S", "0.5")


def failing(run: Callable[[], Any], *kinds: type[InterchangeError]) -> str:
    with pytest.raises(kinds or InterchangeError) as caught:
        run()
    return str(caught.value)


def posts(world: World) -> int:
    return len(calls(world.sandbox, "submit"))


# The way it should go


def test_everything_that_is_ready_arrives_in_order_and_is_marked(world: World) -> None:
    """Defect A15: it counted nothing."""
    world.has(
        {"number": 10, "sr": "A"},
        {"number": 9, "sr": "A"},
        {"number": 11, "sr": "A", "activity": "Other"},
        {"number": 12, "sr": "B"},
        {"number": 13, "sr": "B", "status": SENT},
    )
    summary = world.run()
    assert (summary.ready, summary.sent, summary.ignored, summary.waiting) == (4, 3, 1, 0)
    assert [n for n in world.accepted() if n in (9, 10)] == [9, 10]
    assert sorted(world.accepted()) == [9, 10, 12]
    assert [world.status(n) for n in (9, 10, 11, 12)] == [SENT, SENT, IGNORED, SENT]
    receipt = world.effect(9).receipt or {}
    assert (receipt["service_request"], receipt["number"], receipt["code"]) == ("A", 9, "IDENASSE")
    assert receipt["sha256"] == world.bus.messages[0].sha256


def test_running_again_does_nothing(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    world.run()
    before = world.sandbox.effects.entries()
    assert world.run().ready == 0
    assert world.sandbox.effects.entries() == before


def test_a_limit_leaves_the_rest_for_the_next_run(world: World) -> None:
    """Defect A15: there was no limit."""
    world.has(*({"number": n, "sr": f"S{n % 2}"} for n in range(1, 8)))
    summary = world.run(limit=3)
    assert (summary.sent, summary.waiting) == (3, 4)
    world.run()
    assert [n for n in world.accepted() if n % 2] == [1, 3, 5, 7]
    assert [n for n in world.accepted() if not n % 2] == [2, 4, 6]


def test_service_requests_go_side_by_side_but_never_two_activities_of_one(world: World) -> None:
    """Defect A11: there was one order for all, so everybody waited for everybody."""
    world.has(*({"number": n, "sr": f"S{n % 3}"} for n in range(1, 16)))
    running: list[str] = []
    doubled: list[str] = []
    lock, submit, together = threading.Lock(), world.bus._submit, threading.Barrier(3)
    count = itertools.count(1)

    def watched(request: Any, content: bytes) -> Any:
        sr = content.decode().partition("<sr_number>")[2][:2]
        with lock:
            doubled.extend([sr] if sr in running else [])
            running.append(sr)
        # The first message alone proves that the bus is well; the next three must be here at once.
        if next(count) in (2, 3, 4):
            world.bus.lock.release()
            try:
                together.wait(timeout=20)
            finally:
                world.bus.lock.acquire()
        answer = submit(request, content)
        with lock:
            running.remove(sr)
        return answer

    world.bus._submit = watched
    # While they wait for each other, no call may time out.
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("INTERCHANGE_READ_TIMEOUT_S", "60")
        try:
            world.run(parallel=3)
        finally:
            del world.bus._submit
    assert doubled == []
    for rest in range(3):
        mine = [n for n in world.accepted() if n % 3 == rest]
        assert len(mine) == 5
        assert mine == sorted(mine)


# One that cannot go


def test_one_that_is_set_aside_holds_back_its_own_service_request_only(world: World) -> None:
    """Defect A6: the first error, such as a name that was not known, ended this run and all later ones."""
    world.has(
        {"number": 1, "sr": "A", "activity": "Never heard of"},
        {"number": 2, "sr": "A"},
        {"number": 3, "sr": "A", "activity": "Other"},
        {"number": 4, "sr": "B"},
    )
    summary = world.run()
    assert (summary.sent, summary.quarantined, summary.held, summary.ignored) == (1, 1, 1, 1)
    assert world.accepted() == [4]
    effect = world.effect(1)
    assert (effect.state, effect.field) == (State.QUARANTINED, field_key(NAME, "activity"))
    assert [world.status(n) for n in (1, 2, 3, 4)] == [READY, READY, IGNORED, SENT]
    assert world.run().quarantined == 1


def test_correcting_the_record_lets_it_go(world: World) -> None:
    world.has({"number": 1, "sr": "A", "details": "\x0b"}, {"number": 2, "sr": "A"})
    world.run()
    assert world.accepted() == []
    world.edit(1, details="fine")
    world.run()
    assert world.accepted() == [1, 2]
    assert any("corrected" in (event.reason or "") for event in world.ledger.events(world.ref(1)))


def test_so_does_adding_the_name_to_the_settings(world: World) -> None:
    """Defect A13: names and codes were in the source, so a new name waited for a release."""
    world.has({"number": 1, "sr": "A", "activity": "New Activity"})
    world.run()
    world.run(activity_codes={"New Activity": "NEWACT01"})
    assert world.accepted() == [1]


def test_and_so_does_a_person(world: World) -> None:
    # One after another: how many others were taken before this one's fault is then certain.
    few = {"poison": {"attempts": 2, "after_minutes": 0}, "parallel": 1}
    world.bus.set_options({"poisonous": (record_id(NAME, 1),)})
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "B"}, {"number": 3, "sr": "B"})
    failing(lambda: world.run(**few), Unavailable)
    world.has({"number": 4, "sr": "B"}, {"number": 5, "sr": "B"})
    failing(lambda: world.run(**few), Unavailable)
    world.has({"number": 6, "sr": "B"}, {"number": 7, "sr": "B"})
    world.run(**few)
    assert world.effect(1).state is State.QUARANTINED
    world.bus.set_options({"poisonous": ()})
    assert world.run().quarantined == 1
    world.ledger.replay(world.ref(1), by="a person", reason="the bus was mended")
    world.run()
    assert world.accepted()[-1] == 1


def test_what_the_schema_refuses_stays_until_somebody_acts(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file in templates_dir().glob("knack_to_esb.*"):
        (tmp_path / file.name).write_text(
            file.read_text().replace(
                'name="issue_status_code" type="xs:string"', 'name="issue_status_code" type="acc:filled"'
            )
        )
    monkeypatch.setenv("INTERCHANGE_TEMPLATES_DIR", str(tmp_path))
    world.has({"number": 1, "sr": "A", "issue_status": ""}, {"number": 2, "sr": "B"})
    for _ in range(3):
        world.run()
    assert (world.effect(1).state, world.effect(1).field) == (State.QUARANTINED, "issue_status_code")
    assert world.effect(1).attempts == 1
    world.edit(1, issue_status="open")
    world.run()
    assert world.accepted() == [2, 1]


def test_a_status_that_knack_refuses_for_one_record_stops_no_other(world: World) -> None:
    world.has(*({"number": n, "sr": f"S{n}"} for n in range(1, 6)))
    table = world.knack.app(NAME).tables["object_75"]
    refused = world.knack._body

    def body(request: Any, known: Any) -> Any:
        if request.params["record"] == record_id(NAME, 2):
            raise _Invalid("Details are required", field_key(NAME, "details"))
        return refused(request, known)

    world.knack._body = body
    try:
        for _ in range(2):
            assert record_id(NAME, 2) in failing(world.run, Refused)
    finally:
        del world.knack._body
    assert sorted(world.accepted()) == [1, 2, 3, 4, 5]
    assert [world.status(n) for n in range(1, 6)] == [SENT, READY, SENT, SENT, SENT]
    world.run()
    assert world.status(2) == SENT
    assert len(table.records) == 5


# Poisonous or temporary


def test_poison_is_set_aside_by_evidence_and_everything_else_passes(world: World) -> None:
    """Defect A6: one message that the bus refused blocked all others until a person edited it."""
    world.bus.set_options({"poisonous": (record_id(NAME, 1),)})
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "A"})
    for number in range(6):
        world.has({"number": 10 + number, "sr": "B"}, {"number": 20 + number, "sr": "C"})
        work = world.work(poison={"attempts": 5, "after_minutes": 0})
        # The first times it may be chance, once even the bus's: the run is tried again. Later that would teach nothing.
        if number < 3:
            with pytest.raises(Unavailable):
                work.deliver(work.read())
        else:
            work.deliver(work.read())
        if number < 5:
            assert (work.summary.waiting, world.effect(1).state) == (2, State.PLANNED)
    effect = world.effect(1)
    assert (effect.state, effect.field) == (State.QUARANTINED, "message")
    assert "refused it 5 times" in (effect.reason or "")
    assert (work.summary.quarantined, work.summary.held) == (1, 1)
    assert sorted(world.accepted()) == [*range(10, 16), *range(20, 26)]
    assert world.status(1) == READY


def test_what_an_outage_refused_is_no_evidence(world: World) -> None:
    """Five faults of one outage, five others taken since, and one fault of the next outage: that proves nothing."""
    few = {"poison": {"attempts": 5, "after_minutes": 0}}
    world.has({"number": 50, "sr": "M"})
    world.bus.set_options({"fault_next": -1})
    for _ in range(5):
        failing(lambda: world.run(**few), Unavailable)
    world.bus.set_options({"fault_next": 0})
    for number in range(1, 6):
        world.has({"number": number, "sr": f"G{number}"})
        world.run(limit=1, **few)
    assert world.accepted() == [1, 2, 3, 4, 5]
    world.bus.set_options({"fault_next": -1})
    failing(lambda: world.run(**few), Unavailable)
    assert (world.effect(50).state, world.effect(50).attempts) == (State.PLANNED, 6)


def test_poisonous_requests_keep_a_well_bus_from_nobody(world: World) -> None:
    """More of them than an outage takes: the healthy ones still go, all at once."""
    bad, good = range(1, 9), range(100, 140)
    world.has(*({"number": n, "sr": f"R{n}"} for n in (*bad, *good)))
    world.bus.set_options({"poisonous": tuple(record_id(NAME, n) for n in bad)})
    for _ in range(4):
        failing(world.run, Unavailable)
    assert sorted(world.accepted()) == list(good)


def test_a_corrected_text_is_not_blamed_for_the_old_one(world: World) -> None:
    few = {"poison": {"attempts": 3, "after_minutes": 0}}
    world.has({"number": 1, "sr": "A"})
    world.bus.set_options({"poisonous": (record_id(NAME, 1),)})
    for number in (10, 20, 30):
        world.has({"number": number, "sr": "B"}, {"number": number + 1, "sr": "C"})
        failing(lambda: world.run(**few), Unavailable)
    world.edit(1, details="corrected")
    world.has({"number": 40, "sr": "B"}, {"number": 41, "sr": "C"})
    failing(lambda: world.run(**few), Unavailable)
    assert world.effect(1).state is State.PLANNED


# Corrected settings


def code_of(world: World, number: int) -> str:
    (found,) = [m.fields for m in world.bus.messages if m.fields["id"] == record_id(NAME, number)]
    code: str = found["activity_type_code"]
    return code


def test_after_a_certain_failure_a_corrected_code_goes(world: World) -> None:
    """The plan, the message and the receipt say the same."""
    world.has({"number": 1, "sr": "A"})
    world.bus.set_options({"fault_next": 1})
    failing(lambda: world.run(activity_codes={"Identify Asset": "WRONG001"}), Unavailable)
    right = {"activity_codes": {"Identify Asset": "RIGHT001"}}
    work = world.work(**right)
    (entry,) = work.preview(work.read())["service_requests"][0]["activities"]
    world.run(**right)
    receipt = world.effect(1).receipt
    assert receipt is not None
    assert {entry["code"], code_of(world, 1), receipt["code"]} == {"RIGHT001"}


def test_so_does_a_corrected_template(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world.has({"number": 1, "sr": "A"})
    world.bus.set_options({"fault_next": 1})
    failing(world.run, Unavailable)
    for file in templates_dir().glob("knack_to_esb.*"):
        (tmp_path / file.name).write_text(file.read_text().replace("{{ details }}", "{{ code }}"))
    monkeypatch.setenv("INTERCHANGE_TEMPLATES_DIR", str(tmp_path))
    world.run()
    assert world.details(1) == "IDENASSE"


def test_a_code_that_was_the_reason_is_corrected_in_the_settings(world: World) -> None:
    """Nobody has to put the message back."""
    few = {"poison": {"attempts": 2, "after_minutes": 0}, "parallel": 1}
    wrong = {"activity_codes": {"Identify Asset": "WRONG001", "Other": "OTHER001"}, **few}
    world.has({"number": 1, "sr": "A"})
    world.bus.set_options({"poisonous": (record_id(NAME, 1),)})
    for number in (10, 20, 30):
        world.has(*({"number": number + n, "sr": "B", "activity": "Other"} for n in range(3)))
        with contextlib.suppress(Unavailable):
            world.run(**wrong)
    assert world.effect(1).state is State.QUARANTINED
    world.bus.set_options({"poisonous": ()})
    world.run(activity_codes={"Identify Asset": "RIGHT001", "Other": "OTHER001"}, **few)
    assert code_of(world, 1) == "RIGHT001"


def test_settings_that_ignore_an_activity_do_not_undo_what_was_sent(world: World, sandbox: Sandbox) -> None:
    world.has({"number": 1, "sr": "A"})
    arm(sandbox, "knack", "status", operation="record", status=503, times=9)
    failing(world.run, Unavailable)
    assert (world.accepted(), world.status(1)) == ([1], READY)
    sandbox.clear_faults()
    world.run(activity_codes={"Identify Asset": None})
    assert world.status(1) == SENT


def test_nor_what_may_have_been(world: World, sandbox: Sandbox) -> None:
    """It waits for a person, and its service request with it."""
    codes = {"Identify Asset": "IDENASSE", "Other": "OTHER001"}
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "A", "activity": "Other"})
    arm(sandbox, "esb", "lose_answer", operation="submit")
    failing(lambda: world.run(activity_codes=codes), Refused)
    for way in ("hold", "resend"):
        world.run(activity_codes={**codes, "Identify Asset": None}, on_unknown_outcome=way)
        assert (world.accepted(), world.status(1), world.status(2)) == ([1], READY, READY)
    world.ledger.settle(world.ref(1), to=State.CONFIRMED, by="a person", reason="seen at 311")
    world.run(activity_codes={**codes, "Identify Asset": None})
    assert (world.accepted(), world.status(1), world.status(2)) == ([1, 2], SENT, SENT)


def test_a_character_that_xml_forbids_is_found_in_every_field(world: World) -> None:
    """By the field's name in Knack, in the plan already, and the settings can replace it."""
    world.has({"number": 1, "sr": "A", "emi": "E\x07"}, {"number": 2, "sr": "B", "issue_status": "op\x02en"})
    plan = world.plan()
    found = [entry for request in plan.service_requests for entry in request.activities]
    assert [(entry.verdict, entry.field) for entry in found] == [
        (Verdict.SET_ASIDE, field_key(NAME, "emi")),
        (Verdict.SET_ASIDE, field_key(NAME, "issue_status")),
    ]
    world.run()
    world.run(illegal_characters="replace", replacement="?")
    assert world.bus.messages[0].fields["emi"] == "E?"
    assert world.accepted() == [1, 2]


# The form


def test_a_limit_counts_for_all_tries_of_a_run(world: World, sandbox: Sandbox) -> None:
    world.has(*({"number": n, "sr": "A"} for n in (1, 2, 3)))
    arm(sandbox, "knack", "status", operation="record", status=503, times=4)
    first = world.work()
    with pytest.raises(Unavailable):
        first.deliver(first.read(), limit=1)
    again = world.work(same_try=True)
    again.deliver(again.read(), limit=1)
    assert world.accepted() == [1]
    world.run(limit=1)
    assert world.accepted() == [1, 2]


def test_a_dry_run_says_what_a_run_with_its_limit_does(world: World) -> None:
    world.has(
        *({"number": n, "sr": f"S{n % 3}"} for n in range(1, 10)),
        {"number": 20, "sr": "Q", "activity": "Never heard of"},
        {"number": 21, "sr": "Q"},
    )
    work = world.work()
    shown = work.preview(work.read(), limit=4)
    goes = [
        entry["number"]
        for request in shown["service_requests"]
        for entry in request["activities"]
        if entry["goes"]
    ]
    assert len(goes) == 4
    world.run(limit=4)
    assert sorted(world.accepted()) == sorted(goes)
    work = world.work()
    shown = work.preview(work.read())
    later = [e["number"] for r in shown["service_requests"] for e in r["activities"] if e["goes"]]
    world.run()
    assert sorted(world.accepted()) == sorted([*goes, *later])
    assert 21 not in later


def test_below_the_reserve_not_one_message_goes(world: World) -> None:
    """Each run would take three requests more of what is left for others."""
    world.has(*({"number": n, "sr": f"S{n}"} for n in range(1, 5)))
    world.knack.set_options({"plan_limit": 1000, "plan_used": 600})
    assert "daily_reserve" in failing(world.run, Refused)
    assert (world.accepted(), posts(world)) == ([], 0)


# Sent again


def test_a_refusal_of_what_is_sent_again_does_not_make_it_certain(world: World, sandbox: Sandbox) -> None:
    """The first attempt may have been taken: it stays unclear, and only the same bytes ever follow it."""
    again = {"on_unknown_outcome": "resend"}
    world.has({"number": 1, "sr": "A"})
    arm(sandbox, "esb", "lose_answer", operation="submit")
    failing(lambda: world.run(**again), Refused)
    world.bus.set_options({"fault_next": 1})
    assert "are tried again" in failing(lambda: world.run(**again), Unavailable)
    assert world.effect(1).state is State.UNKNOWN
    world.edit(1, details="Corrected words")
    assert world.run().unknown == 1, "hold: nothing goes"
    world.run(**again)
    assert len({message.sha256 for message in world.bus.messages}) == 1
    assert len(world.bus.messages) == 2


def test_a_bus_that_loses_every_answer_is_not_flooded(world: World, sandbox: Sandbox) -> None:
    world.has(*({"number": n, "sr": f"S{n}"} for n in (1, 2, 3)))
    arm(sandbox, "esb", "lose_answer", operation="submit", times=100)
    for _ in range(8):
        failing(lambda: world.run(on_unknown_outcome="resend"), Refused, Unavailable)
    assert posts(world) <= 3


def test_an_earlier_activity_that_comes_late_makes_no_new_trouble(world: World, sandbox: Sandbox) -> None:
    world.has({"number": 2, "sr": "A"}, {"number": 3, "sr": "A"})
    arm(sandbox, "esb", "lose_answer", operation="submit")
    failing(world.run, Refused)
    world.has({"number": 1, "sr": "A"})
    summary = world.run()
    assert (summary.sent, summary.unknown, summary.held) == (1, 1, 1)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_bus_that_knows_nothing_but_messages_gets_them(world: World, sandbox: Sandbox, status: int) -> None:
    world.has({"number": 1, "sr": "A"})
    arm(sandbox, "esb", "status", operation="look", status=status, times=9)
    world.run()
    assert world.accepted() == [1]


def test_many_poisonous_heads_do_not_starve_the_rest(world: World) -> None:
    world.has(
        *({"number": n, "sr": f"P{n}"} for n in range(1, 6)),
        *({"number": n, "sr": f"G{n}"} for n in range(10, 14)),
    )
    world.bus.set_options({"poisonous": tuple(record_id(NAME, n) for n in range(1, 6))})
    for _ in range(4):
        try:
            world.run(outage_after=3)
        except Unavailable:
            continue
    assert sorted(world.accepted()) == [10, 11, 12, 13]


def test_during_an_outage_nothing_is_set_aside_and_nothing_hammered(world: World) -> None:
    world.has(*({"number": n, "sr": f"S{n % 10}"} for n in range(1, 31)))
    world.bus.set_options({"fault_next": -1})
    for _ in range(4):
        words = failing(lambda: world.run(poison={"attempts": 2, "after_minutes": 0}), Unavailable)
        assert "3 messages in a row" in words
    assert posts(world) == 12
    assert world.ledger.list(state=State.QUARANTINED) == []
    assert world.accepted() == []
    world.bus.set_options({"fault_next": 0})
    world.run()
    assert len(world.accepted()) == 30
    for rest in range(10):
        mine = [n for n in world.accepted() if n % 10 == rest]
        assert mine == sorted(mine)


def test_a_gateway_without_a_bus_costs_no_message(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    arm(world.sandbox, "esb", "refuse", seconds=60)
    failing(world.run, Unavailable)
    assert posts(world) == 0
    assert world.effect(1).attempts == 0
    world.sandbox.end_refusals()
    world.run()
    assert world.accepted() == [1]


@pytest.mark.parametrize("options", [{"forbidden": 403}, {"forbidden": 401}, {"api_key": "another-key-0001"}])
def test_a_bus_that_does_not_let_us_in_stops_the_run_for_a_person(
    world: World, options: dict[str, Any]
) -> None:
    world.has({"number": 1, "sr": "A"})
    world.bus.set_options(options)
    assert "esb_default" in failing(world.run, Refused)
    assert (world.accepted(), world.effect(1).state) == ([], State.PLANNED)


def test_a_bus_that_cannot_prove_who_it_is_gets_nothing(world: World, airflow: Connections) -> None:
    """Defect A5: the server's certificate was not verified."""
    world.has({"number": 1, "sr": "A"})
    airflow.change("esb_default", extra={"ca_bundle": None})
    assert "certificate is not trusted" in failing(world.run, Refused)
    assert posts(world) == 0


def test_a_fault_with_status_200_is_no_success(world: World) -> None:
    """Defect A9: the answer was never read, and any 200 was success."""
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "B"})
    world.bus.set_options({"poisonous": (record_id(NAME, 1),), "fault_in_200": True})
    failing(world.run, Unavailable)
    assert world.accepted() == [2]
    assert (world.status(1), world.effect(1).state) == (READY, State.PLANNED)


# Lost answers

LOST = [
    {"kind": "lose_answer"},
    {"kind": "status_after", "status": 502},
    {"kind": "status_after", "status": 504},
    {"kind": "slow", "seconds": 0.8},
    {"kind": "truncate"},
]


@pytest.mark.parametrize("fault", LOST)
def test_a_message_that_may_have_been_taken_is_held_and_a_person_decides(
    world: World, fault: dict[str, Any]
) -> None:
    """Defect A7: what was accepted, but not answered in time, was sent again."""
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "A"}, {"number": 3, "sr": "B"})
    arm(world.sandbox, "esb", operation="submit", **fault)
    assert "1 message(s) may have been accepted" in failing(world.run, Refused)
    assert world.effect(1).state is State.UNKNOWN
    world.ledger.settle(world.ref(1), to=State.CONFIRMED, by="a person", reason="seen in the bus")
    world.run()
    assert sorted(world.accepted()) == [1, 2, 3]
    assert world.bus.snapshot()["duplicates"] == []
    assert world.statuses() == [SENT] * 3


def test_while_it_is_held_other_requests_go_on_and_its_own_waits(world: World) -> None:
    world.has(
        {"number": 1, "sr": "B"}, {"number": 2, "sr": "A"}, {"number": 3, "sr": "A"}, {"number": 4, "sr": "B"}
    )
    arm(world.sandbox, "esb", "lose_answer", operation="submit", call=3)
    failing(lambda: world.run(parallel=1), Refused)
    assert world.accepted() == [1, 4, 2]
    world.has({"number": 5, "sr": "B"})
    summary = world.run()
    assert (summary.sent, summary.unknown, summary.held) == (1, 1, 1)
    assert world.accepted() == [1, 4, 2, 5]


def test_settled_as_not_done_it_is_sent(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    arm(world.sandbox, "esb", "reset", operation="submit")
    failing(world.run, Refused)
    world.ledger.settle(world.ref(1), to=State.PLANNED, by="a person", reason="the bus never saw it")
    world.run()
    assert world.accepted() == [1]


@pytest.mark.parametrize("edited", [False, True])
def test_where_the_settings_say_so_the_same_bytes_are_sent_again(world: World, edited: bool) -> None:
    world.has({"number": 1, "sr": "A"})
    arm(world.sandbox, "esb", "lose_answer", operation="submit")
    failing(lambda: world.run(on_unknown_outcome="resend"), Refused)
    if edited:
        world.edit(1, details="other words")
    world.run(on_unknown_outcome="resend")
    assert world.accepted() == [1, 1]
    assert len({message.sha256 for message in world.bus.messages}) == 1
    assert world.status(1) == SENT


def test_without_a_key_to_keep_the_bytes_nothing_is_sent_again(
    world: World, worker: Callable[..., Any]
) -> None:
    world.has({"number": 1, "sr": "A"})
    world._worker = lambda owner: worker(owner, fernet_key=None)
    arm(world.sandbox, "esb", "lose_answer", operation="submit")
    failing(lambda: world.run(on_unknown_outcome="resend"), Refused)
    world.run(on_unknown_outcome="resend")
    assert world.accepted() == [1]
    assert world.effect(1).state is State.UNKNOWN


def test_a_bus_that_loses_its_answers_gets_one_message_a_run_and_then_pauses(world: World) -> None:
    world.has(*({"number": n, "sr": f"S{n}"} for n in range(1, 6)))
    arm(world.sandbox, "esb", "lose_answer", operation="submit", times=9)
    for _ in range(2):
        failing(world.run, Refused)
    for _ in range(2):
        assert "tried again from" in failing(world.run, Unavailable)
    assert posts(world) == 2
    assert len(world.ledger.list(state=State.UNKNOWN)) == 2


def test_faults_of_a_bus_that_lies_are_treated_as_unclear_where_the_connection_says_so(
    world: World, airflow: Connections
) -> None:
    airflow.change("esb_default", extra={"fault_means": "unknown"})
    world.has({"number": 1, "sr": "A"})
    world.bus.set_options({"fault_after_accepting": 1})
    failing(world.run, Refused)
    world.run()
    assert world.accepted() == [1]
    assert world.effect(1).state is State.UNKNOWN


# The status in Knack


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "lose_answer"},
        {"kind": "reset"},
        {"kind": "status_after", "status": 503},
        {"kind": "status", "status": 500},
        {"kind": "slow", "seconds": 0.8},
        {"kind": "truncate"},
    ],
)
def test_a_lost_answer_of_knack_is_settled_by_looking(world: World, fault: dict[str, Any]) -> None:
    world.has({"number": 1, "sr": "A"})
    arm(world.sandbox, "knack", operation="update_record", **fault)
    world.run()
    written = [entry for entry in world.knack.snapshot()["audit"] if entry["by"] == "api"]
    assert [(entry["old"], entry["new"]) for entry in written] == [(READY, SENT)]
    assert world.accepted() == [1]


def test_a_message_that_was_taken_is_never_sent_again_whatever_becomes_of_the_status(world: World) -> None:
    """Defect A7: if the status could not be written, the message was sent again."""
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "A"})
    arm(world.sandbox, "knack", "status", operation="update_record", status=503, times=30)
    for _ in range(3):
        failing(world.run)
    assert world.accepted() == [1]
    world.sandbox.clear_faults()
    summary = world.run()
    assert (summary.marked, summary.sent) == (1, 1)
    assert world.accepted() == [1, 2]
    assert world.statuses() == [SENT, SENT]


def test_an_edit_between_reading_and_writing_is_not_overwritten(world: World) -> None:
    """Defect A14: the status was written whatever a person had made of it meanwhile."""
    world.has({"number": 1, "sr": "A"})
    world.knack.set_options(
        {"edit_after_page": {"1": {record_id(NAME, 1): {field_key(NAME, "status"): IGNORED}}}}
    )
    world.run()
    assert world.accepted() == [1]
    assert world.status(1) == IGNORED
    assert [entry["by"] for entry in world.knack.snapshot()["audit"]] == ["person"]


def test_made_ready_again_by_a_person_it_is_marked_again_and_not_sent(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    for _ in range(3):
        world.run()
        assert world.status(1) == SENT
        world.edit(1, status=READY)
    world.run()
    assert world.accepted() == [1]
    assert world.status(1) == SENT


@pytest.mark.parametrize("meanwhile", ["nothing", "edited", "deleted", "ready again"])
def test_a_write_that_nobody_saw_the_end_of_is_looked_up_by_the_next_run(
    world: World, meanwhile: str
) -> None:
    world.has({"number": 1, "sr": "A"})
    world.run()
    ref = EffectRef("knack_to_esb", "status", f"{NAME}/{record_id(NAME, 2)}/{SENT}/1")
    world.has({"number": 2, "sr": "A", "status": SENT})
    # As a process leaves it that is killed directly after the answer.
    world.ledger.begin(ref, lease_s=0.001)
    if meanwhile == "edited":
        world.edit(2, status=IGNORED)
    elif meanwhile == "deleted":
        del world.knack.app(NAME).tables["object_75"].records[record_id(NAME, 2)]
    elif meanwhile == "ready again":
        world.edit(2, status=READY)
    world.run()
    effect = world.ledger.get(ref)
    assert effect is not None
    assert effect.state is State.CONFIRMED
    said = {"nothing": {"status": SENT}, "edited": {"left": "changed"}, "deleted": {"left": "deleted"}}
    assert effect.receipt == said.get(meanwhile, {"status": SENT})
    writes = [
        entry
        for entry in world.knack.snapshot()["audit"]
        if entry["by"] == "api" and entry["record"] == record_id(NAME, 2)
    ]
    assert len(writes) == (meanwhile == "ready again")


def test_one_that_a_dead_process_still_claims_is_waited_for(world: World) -> None:
    world.ledger.begin(
        EffectRef("knack_to_esb", "status", f"{NAME}/{record_id(NAME, 2)}/{SENT}/1"), lease_s=30
    )
    assert "are not done" in failing(world.run, Unavailable)


def test_a_record_deleted_meanwhile_is_no_trouble(world: World) -> None:
    world.has({"number": 1, "sr": "A"}, {"number": 2, "sr": "A"})
    work = world.work()
    plan = work.read()
    del world.knack.app(NAME).tables["object_75"].records[record_id(NAME, 1)]
    work.deliver(plan)
    assert world.accepted() == [1, 2]


def test_the_days_reserve_is_left_for_others(world: World) -> None:
    world.has(*({"number": n, "sr": "A"} for n in range(1, 9)))
    world.knack.set_options({"plan_limit": 1000, "plan_used": 990})
    words = failing(lambda: world.run(daily_reserve=4), Refused)
    assert "5 of the day's 1000 requests are left" in words
    assert len(world.accepted()) == 2
    world.knack.set_options({"plan_used": 0})
    world.run(daily_reserve=4)
    assert world.accepted() == list(range(1, 9))


def test_a_day_that_is_used_up_ends_the_run_at_once_instead_of_waiting_for_midnight(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    world.knack.set_options({"plan_limit": 10, "plan_used": 10})
    assert "used up" in failing(world.run, Refused)
    assert len(calls(world.sandbox, "view_records")) == 1


# People and secrets


def test_neither_log_nor_error_nor_ledger_holds_the_words_of_citizens(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defect A12: each message was logged whole."""
    secret = "Mrs Example of 5 Elm Street"
    world.has(
        {"number": 1, "sr": "A", "details": secret},
        {"number": 2, "sr": "B", "details": f"{secret}\x07"},
        {"number": 3, "sr": "C", "details": secret},
    )
    arm(world.sandbox, "esb", "lose_answer", operation="submit", call=2)
    caplog.set_level("DEBUG")
    words = failing(world.run)
    shown = capsys.readouterr()
    told = words + caplog.text + shown.out + shown.err + "".join(map(str, world.ledger.list()))
    told += "".join(str(event) for n in (1, 2, 3) for event in world.ledger.events(world.ref(n)))
    assert "Record" in told
    assert "Elm Street" not in told
    database = world.ledger.engine.url.database or ""
    assert b"Elm Street" not in Path(database).read_bytes()


def test_text_arrives_as_it_was_written(world: World) -> None:
    """Defects A1 and A3: `<` came as text, and letters beyond ASCII did not come."""
    said = 'Peña & Sons <b>"quoted"</b> 李\nsecond line'
    world.has({"number": 1, "sr": "A", "details": said})
    world.run()
    assert world.details(1) == said
    assert world.bus.snapshot()["double_escaped"] == []


def test_times_are_in_the_form_that_the_templates_comment_tells(world: World) -> None:
    """Defect A16: it told of another unit of time than was sent."""
    before = datetime.now(UTC)
    world.has({"number": 1, "sr": "A"})
    world.run()
    (message,) = world.bus.messages
    made, happened = (datetime.fromisoformat(message.fields[name]) for name in ("timestamp", "activity_date"))
    assert before <= made <= datetime.now(UTC)
    assert happened.utcoffset() == happened.astimezone(ZoneInfo("America/Chicago")).utcoffset()


def test_a_setting_that_names_no_connection_says_so(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    with pytest.raises((SettingsError, Exception), match="nowhere"):
        world.run(esb_conn_id="nowhere")


# Alerts


def test_one_alert_when_something_waits_too_long_and_one_when_it_is_over(world: World) -> None:
    alert = {"after_minutes": 0, "conn_id": "alerts_default"}
    texts = world.sandbox.vendor("alerts").texts
    for number, told in ((1, 1), (2, 3)):
        world.has({"number": number, "sr": "A"})
        world.bus.set_options({"fault_next": -1})
        for _ in range(3):
            failing(lambda: world.run(alert=alert), Unavailable)
        assert len(texts) == told
        assert "data-tracker" in texts[-1]
        world.bus.set_options({"fault_next": 0})
        world.run(alert=alert)
        world.run(alert=alert)
        assert len(texts) == told + 1
        assert "nothing waits" in texts[-1]


def test_an_alert_whose_answer_was_lost_is_not_told_twice(world: World) -> None:
    world.has({"number": 1, "sr": "A"})
    world.bus.set_options({"fault_next": -1})
    arm(world.sandbox, "alerts", "lose_answer")
    for _ in range(3):
        failing(lambda: world.run(alert={"after_minutes": 0, "conn_id": "alerts_default"}), Unavailable)
    assert len(world.sandbox.vendor("alerts").texts) == 1
