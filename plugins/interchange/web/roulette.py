"""
The rounds: who meets whom, who rests, what was moved and what was held; and what a dry run would draw.

Names are shown only to those who may see the runs of the workflow's DAG.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request, status
from starlette.responses import Response

from interchange.core.slots import monday_of, week_of
from interchange.errors import SettingsError
from interchange.ledger import EffectRef, Ledger
from interchange.ledger.connection import open_ledger
from interchange.roulette.previews import PREVIEW, WORKFLOW, read_preview
from interchange.settings import load_settings
from interchange.web import guards
from interchange.web.guards import User
from interchange.web.pages import PageRoute, page
from interchange.web.roulette_view import GROUPS_SHOWN, View, now

router = APIRouter(prefix="/roulette", route_class=PageRoute)

_WEEK = re.compile(r"\d{4}-W\d{2}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{32}")
_NOT_OURS = "This address is not one the page has made."


@router.get("")
def show_rounds(request: Request, user: User) -> Response:
    """The calendar, and one round in full; or a dry run's rounds."""
    if not guards.may(user, "GET", WORKFLOW):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"This needs the right to see {WORKFLOW}.")
    asked = {name: guards.clean(value) for name, value in request.query_params.items()}
    ledger = open_ledger(owner=f"web:{user.get_name()}")
    view = View(ledger.engine, zone=_zone(), now=now())
    if asked.get("plan"):
        return _preview(request, ledger, view, asked["plan"])
    monday = _monday(asked["week"]) if asked.get("week") else view.this_week()
    first = _number(asked.get("from", "0"))
    week = week_of(monday)
    lines, number = view.lines(week, first)
    weeks = view.calendar(monday)
    return page(
        request,
        "roulette.html",
        week=week,
        entry=view.round(week),
        weeks=weeks,
        tallest=max((_height(entry) for entry in weeks), default=0),
        lines=lines,
        first=first,
        number=number,
        step=GROUPS_SHOWN,
        rests=view.rests(view.rests_of(week)),
        moves=view.moves(week),
        earlier=week_of(monday - timedelta(days=7)),
        later=week_of(monday + timedelta(days=7)),
    )


def _preview(request: Request, ledger: Ledger, view: View, digest: str) -> Response:
    effect = ledger.get(EffectRef(WORKFLOW, PREVIEW, digest)) if _DIGEST.fullmatch(digest) else None
    receipt: dict[str, Any] = (effect.receipt if effect else None) or {}
    drawn = read_preview(receipt)
    if not drawn:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "There is no such plan, or who is in it was forgotten by now."
        )
    rounds = [
        (week_of(one.monday), view.drawn_lines(one), view.rests(one.rests), len(one.groups)) for one in drawn
    ]
    return page(
        request,
        "roulette_plan.html",
        digest=digest,
        rounds=rounds,
        most=GROUPS_SHOWN,
        quality=receipt["quality"],
        findings=receipt["findings"],
    )


def _height(entry: Any) -> int:
    total: int = entry.met + entry.not_met + entry.unsaid + entry.to_come
    return total


def _zone() -> str:
    """The rounds can be seen as well while the settings are wrong."""
    try:
        zone: str = load_settings("webex_roulette").time_zone
    except SettingsError:
        return "UTC"
    return zone


def _monday(week: str) -> date:
    try:
        if _WEEK.fullmatch(week):
            return monday_of(date.fromisocalendar(int(week[:4]), int(week[6:]), 1))
    except ValueError:
        pass
    raise HTTPException(status.HTTP_400_BAD_REQUEST, _NOT_OURS)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, _NOT_OURS)
    return int(text)
