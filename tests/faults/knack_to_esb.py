"""What the fault harness runs of ``knack_to_esb``, and what must be so afterwards."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from include.sandbox.connections import KNACK_APPS
from include.sandbox.core import Sandbox
from include.sandbox.faults import FaultKind
from include.sandbox.vendors.knack.seeds import KEYS, MEANINGS
from interchange.ledger import Effect, Ledger, State
from tests.faults.cases import Outcome, Run, Scenario, World
from tests.faults.kinds import Call, Kind
from tests.faults.qualtrics_to_onedrive import UNCLEAR
from tests.faults.steps import FREEZE, KILL

DAG_ID = "knack_to_esb"
APP = "data-tracker"
SETTING_OF = {
    "number": "atd_activity_id", "emi": "emi_id", "sr": "sr_number", "issue_status": "issue_status_code_snapshot",
    "status": "esb_status", "at": "activity_datetime", "details": "activity_details", "activity": "activity_name",
    "csr_id": "csr_activity_id", "csr_code": "csr_activity_code",
}  # fmt: skip
# The vendor's ten a second would be slept through; the hook's own limit is shown elsewhere.
PER_SECOND = 1000
NOW = Run(name="now", start=datetime(2026, 11, 2, tzinfo=UTC), end=datetime(2026, 11, 2, 0, 5, tzinfo=UTC))
LATER = Run(name="later", start=NOW.end, end=datetime(2026, 11, 2, 0, 10, tzinfo=UTC))


def scenario(name: str, *, records: int, requests: int, parallel: int) -> Scenario:
    """So many activities in so many service requests; every ninth is deliberately not sent."""
    keys = dict(zip([meaning for meaning, _, _ in MEANINGS], KEYS[APP], strict=True))
    app = {
        "name": APP,
        "object": "object_75",
        "view": "view_1653",
        "fields": {SETTING_OF[meaning]: f"field_{number}" for meaning, number in keys.items()},
        "activity_codes": {"Identify Asset": "IDENASSE", "Other": None},
        "parallel": parallel,
        # Neither is what these cases are about: whatever fails here fails once.
        "outage_after": 1000,
    }
    rows = [
        {
            "number": number,
            "sr": f"26-{number % requests:08}",
            "activity": "Other" if number % 9 == 8 else "Identify Asset",
            "details": f"Peña & <{number}>",
        }
        for number in range(1, records + 1)
    ]

    def prepare(sandbox: Sandbox, _run: int) -> None:
        knack = sandbox.vendor("knack")
        knack.set_options({"requests_per_second": PER_SECOND, "plan_limit": 10_000_000})
        knack.seed({"empty": list(KNACK_APPS), "records": {APP: rows}})

    return Scenario(
        name=name,
        dag_id=DAG_ID,
        settings={f"AIRFLOW_VAR_INTERCHANGE_{DAG_ID.upper()}": json.dumps({"apps": [app]})},
        run=NOW,
        prepare=prepare,
        observe=observe,
        judge=judge,
        settle=settle,
        holds=True,
    )


def observe(sandbox: Sandbox) -> World:
    """Messages in order within their service request, with their content; the status of each record."""
    bus, knack = sandbox.vendor("esb"), sandbox.vendor("knack")
    arrived: dict[str, list[list[str]]] = {}
    for message in bus.messages:
        fields: dict[str, Any] = message.fields
        facts = [
            fields["id"],
            fields["activity_type_code"],
            fields["activity_details"],
            fields["activity_date"],
        ]
        arrived.setdefault(fields["sr_number"], []).append(facts)
    snapshot = knack.snapshot()
    return World(
        things={"messages": arrived, "statuses": snapshot["apps"][APP]},
        counts={
            "duplicates": len(bus.snapshot()["duplicates"]),
            "refused": len(bus.snapshot()["refused"]),
            "writes": sum(entry["by"] == "api" for entry in snapshot["audit"]),
        },
    )


def judge(expected: World, outcome: Outcome) -> list[str]:
    """Nothing twice, nobody asked without a reason, and everything that is unclear is listed."""
    counts = outcome.world.counts
    found = [f"{counts[name]} {name}" for name in ("duplicates", "refused") if counts[name]]
    thawed = outcome.case.stop is not None and outcome.case.stop.how == FREEZE
    # Who thaws between look and write writes what another run has written since: the same status.
    if not 0 <= counts["writes"] - expected.counts["writes"] <= thawed:
        found.append(f"{counts['writes']} writes in Knack, not {expected.counts['writes']}")
    stopped = outcome.case.stop is not None and outcome.case.stop.how in (KILL, FREEZE)
    messages = [effect for effect in outcome.unknown if effect.ref.kind == "message"]
    found += [f"a person had to settle {e.ref}" for e in outcome.unknown if e.ref.kind != "message"]
    unclear = sum(_is_unclear(call, kind) for call, kind in outcome.case.faults)
    if len(messages) < unclear:
        found.append(f"{unclear} message(s) had no clear outcome, {len(messages)} are listed")
    # A port that closes cuts the calls of other threads, too.
    cut = any(call.vendor == "esb" and kind.fault is FaultKind.REFUSE for call, kind in outcome.case.faults)
    if messages and not (unclear or cut or stopped):
        found.append(f"{len(messages)} message(s) of unknown outcome without a reason")
    states = Counter((effect.ref.kind, effect.state) for effect in outcome.effects)
    want = sum(map(len, expected.things["messages"].values()))
    if states["message", State.CONFIRMED] != want:
        found.append(f"the ledger has {states['message', State.CONFIRMED]} messages confirmed, not {want}")
    return found


def _is_unclear(call: Call, kind: Kind) -> bool:
    # A 500 is the bus's own word that it did not take the message.
    return call.operation == "submit" and kind.name in UNCLEAR - {"500"}


def settle(sandbox: Sandbox, ledger: Ledger, effect: Effect) -> None:
    """Look at the bus: is the message there? All other effects are looked up by themselves."""
    if effect.ref.kind != "message":
        return
    record = effect.ref.key.rpartition("/")[2]
    there = any(message.fields["id"] == record for message in sandbox.vendor("esb").messages)
    to = State.CONFIRMED if there else State.PLANNED
    ledger.settle(effect.ref, to=to, by="a person", reason="looked up in the bus")


FEW = scenario("few", records=6, requests=3, parallel=1)
MANY = scenario("many", records=45, requests=15, parallel=4)
