"""
Every dialogue, killed at each of its steps, and with each of its calls going wrong: tried again, it ends as it would
have.

A step is a commit of the ledger or an outside call, and a process is killed (SIGKILL) before or after it. Everyday
tests draw a sample of the steps; all of them belong to the campaign.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.errors import InterchangeError
from interchange.ledger import Ledger
from interchange.roulette.dialogue import Dialogue
from interchange.roulette.events import Event
from interchange.roulette.upkeep import Upkeep
from tests.faults.steps import AFTER, BEFORE, CALL, KILL, LEDGER, Steps
from tests.unit.roulette.office import ANA, BO, CHIDI, EMIL, FATIMA, HANA, STRANGER, Office
from tests.unit.vendors import Connections, arm

LATER = date(2031, 3, 17)
SAMPLE = 4
"""Kills, and faults, of each dialogue in the everyday tests."""
FAULTS = (
    {"kind": "reset"},
    {"kind": "lose_answer"},
    {"kind": "truncate"},
    {"kind": "status_after", "status": 502},
    {"kind": "status", "status": 500},
    {"kind": "html", "status": 503},
)
Prepare = Callable[[Office], Event]


def lists(office: Office) -> Event:
    office.book(BO, EMIL)
    return office.writes(BO, "change")


def number(office: Office) -> Event:
    office.book(BO, EMIL)
    office.says(BO, "change")
    return office.writes(BO, "1")


def suggestion(office: Office) -> Event:
    """Of a trio, in place of another one."""
    office.book(ANA, CHIDI, HANA)
    office.suggest(ANA)
    office.says(CHIDI, "change")
    office.says(CHIDI, "1")
    return office.presses(CHIDI, inputs={"day": "11/03/2031", "clock": "10:00"})


def wrong_time(office: Office) -> Event:
    number_ = number(office)
    office.handle(number_)
    return office.presses(BO, inputs={"day": "2031-03-08", "clock": "10:00"})


def last_yes(office: Office) -> Event:
    office.book(ANA, CHIDI, HANA)
    office.suggest(CHIDI)
    office.clicks(ANA, "Yes")
    return office.presses(HANA, "Yes")


def first_yes(office: Office) -> Event:
    office.book(ANA, CHIDI, HANA)
    office.suggest(CHIDI)
    return office.presses(ANA, "Yes")


def refusal(office: Office) -> Event:
    office.book(ANA, CHIDI, HANA)
    office.suggest(CHIDI)
    return office.presses(HANA, "No")


def pause(office: Office) -> Event:
    """A pair's meeting about which something was suggested, and a trio's."""
    office.book(BO, EMIL)
    office.book(BO, FATIMA, HANA, monday=LATER)
    office.suggest(EMIL)
    return office.writes(BO, "/pause until 2031-04-01")


def erasure(office: Office) -> Event:
    office.book(BO, EMIL)
    office.suggest(EMIL)
    return office.writes(ANA, f"/forget {EMIL}")


def announcement(office: Office) -> Event:
    office.says(ANA, "/inform")
    return office.presses(ANA, inputs={"text": "News", "image": ""})


def sending(office: Office) -> Event:
    office.handle(announcement(office))
    return office.presses(ANA)


def met(office: Office) -> Event:
    office.book(BO, EMIL)
    office.pass_time(days=4)
    Upkeep(office.new_desk()).ask_whether_met()
    return office.presses(BO, "Yes")


def stranger(office: Office) -> Event:
    return office.writes(STRANGER, "hello")


DIALOGUES: tuple[Prepare, ...] = (
    lists, number, suggestion, wrong_time, first_yes, last_yes, refusal, pause, erasure, announcement, sending, met,
    stranger,
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """All that is so outside and inside. Reports are said at most once."""

    said: Counter[tuple[str, str]]
    meetings: tuple[Any, ...]
    mails: Counter[tuple[str, str]]
    reports: Counter[str]
    kept: tuple[Any, ...]


class Again:
    """An office as it was before an event, as often as it is wanted."""

    def __init__(self, office: Office, ledger_file: Path, event: Event) -> None:
        self.office = office
        self.event = event
        self._file = ledger_file
        self._copy = ledger_file.with_suffix(".before")
        _copy(ledger_file, self._copy)
        self._world = copy.deepcopy(office.webex.world)
        self._moment = office.sandbox.clock.now()

    def restore(self) -> None:
        _copy(self._copy, self._file)
        self.office.webex.world = copy.deepcopy(self._world)
        self.office.sandbox.clear_faults()
        # Texts tell times to the minute.
        clock = self.office.sandbox.clock
        clock.advance((self._moment - clock.now()).total_seconds())

    def killed(self, where: str, step: int, side: str) -> bool:
        """
        Answer the event in a process that is killed there.

        :return: False if it has no such step, and ended.
        """
        child = os.fork()
        if child == 0:
            try:
                stop = {"where": where, "number": step, "side": side, "how": KILL}
                Steps(self._file, stop=stop, pause=lambda: None, freeze=lambda _: None)
                Dialogue(self.office.new_desk()).handle(self.event)
            finally:
                # Nothing of pytest's runs here.
                os._exit(0)
        return os.waitpid(child, 0)[1] != 0

    def expire_claims(self) -> None:
        """The lease of whoever was killed has passed."""
        with contextlib.closing(sqlite3.connect(self._file)) as ledger:
            ledger.execute(
                "UPDATE effects SET claim_expires_at = '2020-01-01 00:00:00.000000' WHERE state = 'begun'"
            )
            ledger.execute("UPDATE claims SET expires_at = '2020-01-01 00:00:00.000000'")
            ledger.commit()

    def go_on(self) -> None:
        """Tried again as Airflow does, then looked after."""
        for _ in range(6):
            try:
                self.office.handle(self.event)
                break
            except InterchangeError:
                continue
        else:
            self.office.handle(self.event)
        care = Upkeep(self.office.new_desk())
        care.settle_proposals()
        care.go_on()

    def seen(self) -> Seen:
        office = self.office
        snapshot = office.snapshot
        said = Counter(
            (message["to"][0], message["markdown"])
            for message in snapshot["messages"]
            if message["roomType"] == "direct" and message["personId"] == office.webex.bot.id
        )
        tables = ("people", "groups", "members", "rests", "proposals", "consents", "cards")
        with contextlib.closing(sqlite3.connect(self._file)) as ledger:
            kept = tuple(tuple(sorted(map(str, map(_lasting, _rows(ledger, table))))) for table in tables)
            waiting = ledger.execute(
                "SELECT kind, key, state FROM effects WHERE state <> 'confirmed'"
            ).fetchall()
        assert [row for row in waiting if row[0] != "report"] == []
        return Seen(
            said=said,
            meetings=tuple(
                sorted(
                    (m["meeting_id"], m["state"], m["start"], *m["invitees"]) for m in snapshot["meetings"]
                )
            ),
            mails=Counter((mail["about"], mail["to"]) for mail in snapshot["mails"]),
            reports=Counter(office.reports),
            kept=kept,
        )


def _copy(source: Path, target: Path) -> None:
    """What is in a ledger, whoever has it open."""
    with (
        contextlib.closing(sqlite3.connect(source)) as one,
        contextlib.closing(sqlite3.connect(target)) as other,
    ):
        one.backup(other)


def _rows(ledger: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    found = ledger.execute(f"SELECT * FROM roulette_{table}")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def _lasting(row: dict[str, Any]) -> dict[str, Any]:
    """Without moments of its writing, what is encrypted, and who is nobody now."""
    gone = {name for name in row if name == "at" or (name.endswith("_at") and name != "starts_at")}
    kept = {name: value for name, value in row.items() if name not in {*gone, "content"}}
    if str(kept.get("person", "")).startswith("forgotten-"):
        kept["person"] = "forgotten"
    return {**kept, **{name: row[name] is not None for name in gone}}


@pytest.fixture
def prepared(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    worker: Callable[..., Ledger],
    airflow: Connections,
    ledger_file: Path,
) -> Again:
    office = Office(sandbox, worker, airflow)
    # One minute of theirs sees many attempts.
    office.webex.set_options({"requests_per_minute": 0})
    return Again(office, ledger_file, request.param(office))


def expected(again: Again) -> Seen:
    again.go_on()
    seen = again.seen()
    again.restore()
    return seen


def agrees(again: Again, expected: Seen) -> None:
    seen = again.seen()
    assert seen.said == expected.said
    assert seen.meetings == expected.meetings
    assert seen.mails == expected.mails
    assert seen.kept == expected.kept
    assert seen.reports <= expected.reports


def count_of(again: Again) -> dict[str, int]:
    """How many steps it has, told by a process that is not killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            steps = Steps(again._file, stop=None, pause=lambda: None, freeze=lambda _: None)
            Dialogue(again.office.new_desk()).handle(again.event)
            os.write(
                writing,
                bytes([sum(step["where"] == where for step in steps.seen) for where in (LEDGER, CALL)]),
            )
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    counts = os.read(reading, 2)
    os.close(reading)
    again.restore()
    assert len(counts) == 2
    return {LEDGER: counts[0], CALL: counts[1]}


def sampled(choices: list[Any], name: str, everything: bool) -> list[Any]:
    if everything or len(choices) <= SAMPLE:
        return choices
    return random.Random(name).sample(choices, SAMPLE)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.campaign)])
@pytest.mark.parametrize(
    "prepared", DIALOGUES, indirect=True, ids=[dialogue.__name__ for dialogue in DIALOGUES]
)
def test_killed_anywhere_it_ends_as_it_would_have(
    prepared: Again, everything: bool, request: pytest.FixtureRequest
) -> None:
    wanted = expected(prepared)
    counts = count_of(prepared)
    places = [
        (where, step, side)
        for where in (LEDGER, CALL)
        for step in range(1, counts[where] + 1)
        for side in (BEFORE, AFTER)
    ]
    assert counts[LEDGER] >= 4
    assert counts[CALL] >= 2
    for where, step, side in sampled(places, request.node.name, everything):
        prepared.restore()
        assert prepared.killed(where, step, side), (where, step, side)
        prepared.expire_claims()
        prepared.go_on()
        agrees(prepared, wanted)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.campaign)])
@pytest.mark.parametrize(
    "prepared", DIALOGUES, indirect=True, ids=[dialogue.__name__ for dialogue in DIALOGUES]
)
def test_whatever_goes_wrong_with_a_call_it_ends_as_it_would_have(
    prepared: Again, everything: bool, request: pytest.FixtureRequest
) -> None:
    before = len(prepared.office.sandbox.requests.entries())
    wanted = expected(prepared)
    made = [
        entry["operation"]
        for entry in prepared.office.sandbox.requests.entries()[before:]
        if entry["vendor"] == "webex"
    ]
    numbers: Counter[str] = Counter()
    places = []
    for operation in made:
        numbers[operation] += 1
        places += [(operation, numbers[operation], fault) for fault in FAULTS]
    assert places
    for operation, call, fault in sampled(places, request.node.name, everything):
        prepared.restore()
        arm(prepared.office.sandbox, "webex", operation=operation, call=call, **fault)
        prepared.go_on()
        agrees(prepared, wanted)
