"""What a dry run has shown: the rounds it would have drawn, kept for the page of the rounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from interchange.ledger import EffectRef, Ledger, RunRef
from interchange.roulette.drawing import Plan
from interchange.roulette.rounds import Drawn, Wanted

WORKFLOW, PREVIEW = "webex_roulette", "preview"


def keep_preview(ledger: Ledger, plan: Plan, *, run: RunRef, lease_s: float) -> None:
    """Keep a plan under its digest. People stand in it by their keys."""
    drawn = plan.new or (plan.this,)
    receipt = {
        "week": plan.week,
        "starts_at": plan.slot.starts_at.isoformat(),
        "rounds": [_as_json(one) for one in drawn],
        "quality": dict(plan.quality),
        "findings": list(plan.findings),
        # Keys of people, but who was to meet whom is nobody's business for ever.
        "personal": ["rounds"],
    }
    ledger.record({EffectRef(WORKFLOW, PREVIEW, plan.digest): receipt}, lease_s=lease_s, run=run)


def read_preview(receipt: Mapping[str, Any]) -> tuple[Drawn, ...]:
    """The rounds of a preview; none after they were forgotten."""
    return tuple(
        Drawn(
            monday=date.fromisoformat(one["monday"]),
            groups=tuple(
                Wanted(people=tuple(group["people"]), reason=group["reason"]) for group in one["groups"]
            ),
            rests=one["rests"],
        )
        for one in receipt.get("rounds", ())
    )


def _as_json(one: Drawn) -> dict[str, Any]:
    return {
        "monday": one.monday.isoformat(),
        "groups": [{"people": list(group.people), "reason": group.reason} for group in one.groups],
        "rests": dict(one.rests),
    }
