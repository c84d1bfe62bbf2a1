"""What the fault harness runs of ``webex_roulette``, and what must be so afterwards."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from include.sandbox.core import Sandbox
from interchange.core.slots import monday_of
from interchange.ledger import Effect, Ledger, State
from interchange.roulette.booking import MEETING
from interchange.roulette.telling import MESSAGE, REPORT
from tests.faults.cases import Outcome, Run, Scenario, World
from tests.faults.steps import FREEZE

DAG_ID = "webex_roulette"
INVITATION, CANCELLATION = "invitation", "cancellation"
PEOPLE = {
    "sales": ["ana@example.test", "bo@example.test", "chidi@example.test"],
    "support": ["emil@example.test", "fatima@example.test"],
    "engineering": ["ivan@example.test", "jo@example.test"],
}
EVERYBODY = sorted(address for addresses in PEOPLE.values() for address in addresses)
# A week that lies wholly ahead; seven people: a trio, and two pairs.
WEEK = monday_of(datetime.now(UTC).date() + timedelta(days=7))
SETTINGS: dict[str, Any] = {
    "departments": PEOPLE,
    "time_zone": "Europe/Kyiv",
    "slot": {"weekday": "thursday", "start": "15:10", "minutes": 30},
    "weeks": 2,
    "seed": 1,
    # The sandbox's lists do not lag behind.
    "look_again_minutes": 0,
}
_START = datetime(2026, 11, 2, 4, tzinfo=UTC)
NOW = Run(
    name="now",
    start=_START,
    end=_START + timedelta(days=7),
    conf={"round_start": WEEK.isoformat(), "dry_run": False},
)
LATER = Run(name="later", start=NOW.end, end=NOW.end + timedelta(days=7), conf=NOW.conf)


def prepare(sandbox: Sandbox, _run: int) -> None:
    """A room for the reports, of which the settings cannot know the id before."""


def observe(sandbox: Sandbox) -> World:
    webex = sandbox.vendor("webex").snapshot()
    live = [meeting for meeting in webex["meetings"] if meeting["state"] == "live"]
    said = [message for message in webex["messages"] if not message["deleted"]]
    mails = Counter((mail["about"], mail["to"]) for mail in webex["mails"])
    invited = Counter({to: number for (about, to), number in mails.items() if about == INVITATION})
    cancelled = Counter({to: number for (about, to), number in mails.items() if about == CANCELLATION})
    invited.subtract(cancelled)
    return World(
        things={
            "meetings": sorted(
                [*meeting["invitees"], meeting["start"], *meeting["tags"]] for meeting in live
            ),
            "told": dict(sorted(Counter(message["to"][0] for message in said).items())),
            "texts": sorted({(message["to"][0], message["text"]) for message in said}),
            # One for each person invited and the host, of each meeting: another would be a second invitation.
            "invited": dict(sorted(invited.items())),
            "other mails": sorted({about for about, _ in mails} - {INVITATION, CANCELLATION}),
        },
        counts={
            "cancelled": sum(meeting["state"] != "live" for meeting in webex["meetings"]),
            "taken back": len(webex["messages"]) - len(said),
        },
    )


def judge(expected: World, outcome: Outcome) -> list[str]:
    """Nobody was asked, nothing set aside, and nothing was tried in vain more often than something went wrong."""
    found = [
        f"a person had to settle {effect.ref}" for effect in outcome.unknown if effect.ref.kind != REPORT
    ]
    stop = outcome.case.stop
    # Only who stood still for longer than a claim lasts has something to take back: the one thing it was at.
    most = int(stop is not None and stop.how == FREEZE)
    if sum(outcome.world.counts.values()) > most:
        found.append(f"more was taken back than {most}: {outcome.world.counts}")
    states = Counter((effect.ref.kind, effect.state) for effect in outcome.effects)
    for kind, number in ((MEETING, 3), (MESSAGE, len(EVERYBODY))):
        if states[kind, State.CONFIRMED] != number:
            found.append(f"the ledger has {states[kind, State.CONFIRMED]} confirmed {kind}s, not {number}")
    return found


def unfinished(ledger: Ledger) -> bool:
    return any(
        ledger.list(kind=kind, state=state, limit=1)
        for kind in (MEETING, MESSAGE)
        for state in (State.PLANNED, State.BEGUN, State.UNKNOWN)
    )


def settle(sandbox: Sandbox, ledger: Ledger, effect: Effect) -> None:
    """Nothing to do: what is unclear is looked for."""


SCENARIOS = {
    "round": Scenario(
        name="round",
        dag_id=DAG_ID,
        settings={f"AIRFLOW_VAR_INTERCHANGE_{DAG_ID.upper()}": json.dumps(SETTINGS)},
        run=NOW,
        prepare=prepare,
        observe=observe,
        judge=judge,
        settle=settle,
        unfinished=unfinished,
    )
}
