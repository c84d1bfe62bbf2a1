"""
A plan's mails, exactly as they would go: what a person looks at before approving them.

They name people and what they asked for. So they are shown only to those who may trigger the workflow's DAG, which
includes everybody who may approve.
"""

from __future__ import annotations

import itertools

from fastapi import APIRouter, HTTPException, Request, status
from starlette.responses import Response

from interchange.errors import SettingsError
from interchange.ledger.connection import open_ledger
from interchange.mails.plans import PART, WORKFLOW, read_plan
from interchange.web import guards
from interchange.web.guards import User
from interchange.web.pages import PageRoute, page

router = APIRouter(prefix="/mails", route_class=PageRoute)


@router.get("")
def show_mails(request: Request, user: User) -> Response:
    """The mails of one part of a plan."""
    if not guards.may(user, "POST", WORKFLOW):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"This needs the right to trigger {WORKFLOW}.")
    digest = guards.clean(request.query_params.get("plan", ""))
    asked = request.query_params.get("part", "0")
    if not asked.isdecimal() or len(asked) > 6:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "This address is not one the page has made.")
    part = int(asked)
    ledger = open_ledger(owner=f"web:{user.get_name()}")
    try:
        # One more than is shown tells whether there is another page.
        found = list(itertools.islice(read_plan(ledger, digest), part * PART, (part + 1) * PART + 1))
    except (SettingsError, ValueError):
        found = []
    if not found:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            "There is no such plan, it holds no mail, or its texts are forgotten by now.",
        )
    return page(
        request,
        "mails.html",
        digest=digest,
        mails=[mail.content for mail in found[:PART]],
        first=part * PART + 1,
        part=part,
        has_more=len(found) > PART,
    )
