"""
The ledger's page: what was done, what waits for a person, and the decisions that only a person can make.

The same as ``python -m interchange effects``, ``quarantine replay`` and ``settle``, for those who look after
Airflow in its web UI. Looking needs the right to see the workflow's runs, deciding the right to trigger its DAG.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import APIRouter, Depends, HTTPException, Request, status
from starlette.responses import RedirectResponse, Response

from interchange.errors import Conflict, NotFound, RateLimited
from interchange.ledger import Effect, EffectRef, Ledger, State
from interchange.ledger.connection import open_ledger
from interchange.web import guards
from interchange.web.guards import Form, User
from interchange.web.listing import (
    MOST_COUNTED,
    MOST_EVENTS,
    WAITING,
    Filters,
    Listing,
    Position,
    Seen,
    kinds_of,
)
from interchange.web.pages import PageRoute, Site, page

log = logging.getLogger(__name__)

MAX_REASON = 1000  # characters
DECISION = [Depends(guards.may_decide), Depends(guards.from_our_own_page)]
_NOT_THERE = "There is no such effect in the ledger, or you may not see its workflow."

# Its endpoints are plain functions: they wait for databases, so each runs in a thread of the server's pool.
router = APIRouter(prefix="/ledger", route_class=PageRoute)


@router.get("")
def show_effects(request: Request, user: User) -> Response:
    """Effects that match the filters, what waits for a person first."""
    ledger = _open(user)
    kinds = [pair for pair in kinds_of(ledger.engine) if _visible(user, pair[0])]
    listing = Listing(ledger.engine, {workflow for workflow, _ in kinds})
    asked = {name: guards.clean(value) for name, value in request.query_params.items()}
    filters = Filters(**{name: asked.get(name, "") for name in ("workflow", "kind", "state", "key")})
    try:
        after = Position.parse(asked["after"]) if asked.get("after") else None
        found = listing.page(filters, after)
        number = listing.waiting(filters)
    except ValueError:
        raise HTTPException(
            status.HTTP_400_BAD_REQUEST, "This address is not one the page has made."
        ) from None
    return page(
        request,
        "ledger.html",
        filters=filters,
        found=found,
        is_first=after is None,
        waiting=f"{number} or more" if number == MOST_COUNTED else str(number),
        workflows=[(workflow, workflow) for workflow in sorted({workflow for workflow, _ in kinds})],
        kinds=[(kind, kind) for kind in sorted({kind for _, kind in kinds})],
        states=[(WAITING, "waiting for a person"), *((state.value, state.value) for state in State)],
    )


@router.get("/file")
def lead_to_file(request: Request, user: User) -> Response:
    """To the file that an effect has stored, for those who may see the workflow; its own address is personal."""
    _, _, seen = _asked_for(request, user)
    address = (seen.effect.receipt or {}).get("web_url")
    if not isinstance(address, str) or not address.startswith("https://"):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "The ledger knows no address of this file (any more).")
    return RedirectResponse(address, status_code=status.HTTP_303_SEE_OTHER)


@router.get("/effect")
def show_effect(request: Request, user: User) -> Response:
    """One effect with its receipt and events, and the forms for a decision if one is needed and allowed."""
    ref, listing, seen = _asked_for(request, user)
    may_decide = seen.waits and guards.may(user, "POST", ref.workflow)
    return page(
        request,
        "effect.html",
        seen=seen,
        events=listing.events(ref),
        most_events=MOST_EVENTS,
        may_decide=may_decide,
        token=guards.form_token(user, str(ref)) if may_decide else "",
        max_reason=MAX_REASON,
        message=guards.unsealed(user, request.query_params.get("said", "")),
    )


@router.post("/{workflow}/replay", dependencies=DECISION)
def replay(
    request: Request, workflow: str, user: User, form: Annotated[Form, Depends(guards.small_form)]
) -> Response:
    """Put a quarantined effect back to planned."""

    def decide(ledger: Ledger, ref: EffectRef, reason: str) -> Effect:
        return ledger.replay(ref, by=user.get_name(), reason=reason)

    return _decided(request, user, workflow, form, decide)


@router.post("/{workflow}/settle", dependencies=DECISION)
def settle(
    request: Request, workflow: str, user: User, form: Annotated[Form, Depends(guards.small_form)]
) -> Response:
    """Decide that an effect of unknown outcome happened, or that it did not."""
    outcome, attempt = form.get("to", ""), form.get("attempt", "")
    if outcome not in (State.CONFIRMED, State.PLANNED) or not attempt.isdecimal() or len(attempt) > 9:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The form is not complete.")

    def decide(ledger: Ledger, ref: EffectRef, reason: str) -> Effect:
        return ledger.settle(ref, to=State(outcome), by=user.get_name(), reason=reason, attempt=int(attempt))

    return _decided(request, user, workflow, form, decide)


def _asked_for(request: Request, user: BaseUser) -> tuple[EffectRef, Listing, Seen]:
    """The effect that an address names, if this person may see it."""
    try:
        ref = EffectRef.parse(guards.clean(request.query_params.get("ref", "")))
    except ValueError:
        raise HTTPException(status.HTTP_404_NOT_FOUND, _NOT_THERE) from None
    listing = _listing_of(_open(user), user, ref.workflow)
    seen = listing.one(ref)
    if seen is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, _NOT_THERE)
    return ref, listing, seen


def _decided(
    request: Request,
    user: BaseUser,
    workflow: str,
    form: Mapping[str, str],
    decide: Callable[[Ledger, EffectRef, str], Effect],
) -> Response:
    """Carry a decision out and lead back to the effect, with a message of what came of it."""
    try:
        # The workflow is the one whose right was checked, never another one that the form may name.
        ref = EffectRef(workflow, form.get("kind", ""), form.get("key", ""))
    except ValueError:
        raise HTTPException(status.HTTP_404_NOT_FOUND, _NOT_THERE) from None
    is_fresh = guards.is_fresh(form.get("token", ""), user, str(ref))
    reason = form.get("reason", "")
    if not is_fresh:
        message = ["failed", "Nothing was changed: this page was open for too long. Look again, then decide."]
    elif not 1 <= len(reason) <= MAX_REASON:
        message = ["failed", f"Nothing was changed: say why, in 1 to {MAX_REASON} characters."]
    else:
        message = _outcome(_open(user), ref, reason, user, decide)
    where = Site(request)("/ledger/effect", ref=str(ref), said=guards.sealed(user, message))
    return RedirectResponse(where, status_code=status.HTTP_303_SEE_OTHER)


def _outcome(
    ledger: Ledger,
    ref: EffectRef,
    reason: str,
    user: BaseUser,
    decide: Callable[[Ledger, EffectRef, str], Effect],
) -> list[str]:
    try:
        effect = decide(ledger, ref, reason)
    except NotFound:
        return ["failed", "Nothing was changed: this effect is not in the ledger."]
    except (Conflict, RateLimited):
        # Somebody else has decided, or a task is at it again. What it is now stands on the page.
        return ["failed", f"Nothing was changed: meanwhile {_newest(ledger, ref)}"]
    log.info("%s is %s now, by %s", ref, effect.state, user.get_name())
    if effect.state is State.CONFIRMED:
        return ["done", "Confirmed: it counts as done and is never done again."]
    return ["done", "Planned: the next run does it, or clear its task to have it done now."]


def _newest(ledger: Ledger, ref: EffectRef) -> str:
    events = Listing(ledger.engine, {ref.workflow}).events(ref)
    if not events:
        return "it has changed."
    last = events[-1]
    return f"it became {last.to_state}, by {last.by} at {last.at:%Y-%m-%d %H:%M:%S} UTC. Look again, then decide."


def _open(user: BaseUser) -> Ledger:
    return open_ledger(owner=f"web:{user.get_name()}")


def _visible(user: BaseUser, workflow: str) -> bool:
    return guards.may(user, "GET", workflow)


def _listing_of(ledger: Ledger, user: BaseUser, workflow: str) -> Listing:
    return Listing(ledger.engine, {workflow} if _visible(user, workflow) else set())
