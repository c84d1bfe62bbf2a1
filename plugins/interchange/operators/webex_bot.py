"""The bot as tasks have it: one event answered, or one part of its daily care."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interchange.roulette.desk import Desk
    from interchange.roulette.upkeep import Upkeep

log = logging.getLogger(__name__)

SETTINGS = "webex_roulette"
CARE = ("webhooks", "events", "messages", "proposals", "doubles", "questions", "quarter", "log_in", "memory")
"""The parts of the daily care, each a task. Events come before messages: what is planned is known."""


@contextmanager
def desk_of(context: Mapping[str, Any]) -> Iterator[Desk]:
    """
    Everything at hand for one task.

    :raises SettingsError: settings or connections are wrong.
    """
    from interchange.hooks.webex import WebexHook
    from interchange.ledger.limits import RateLimiter
    from interchange.ledger.tokens import TokenVault
    from interchange.operators.ledger import lease_s, ledger_of, run_of
    from interchange.roulette.desk import Desk
    from interchange.settings import load_settings

    settings, ledger = load_settings(SETTINGS), ledger_of(context)
    limiter = RateLimiter(ledger.engine)
    desk = Desk(
        settings,
        ledger=ledger,
        bot=WebexHook(settings.bot_conn_id, limiter=limiter),
        meetings=WebexHook(settings.meetings_conn_id, limiter=limiter, vault=TokenVault(ledger)),
        run=run_of(context),
        lease_s=lease_s(),
    )
    try:
        yield desk
    finally:
        desk.close()


def answer_event(context: Mapping[str, Any]) -> str:
    """
    Answer the event that the run was started for.

    :return: what it was, in a word; nothing of what was said.
    :raises SettingsError: the run names no event.
    """
    from interchange.roulette.dialogue import Dialogue
    from interchange.roulette.events import Event

    event = Event.of(context["params"].get("event"))
    with desk_of(context) as desk:
        outcome = Dialogue(desk).handle(event)
    log.info("%s: %s", event.resource, outcome)
    return outcome


def care_for(part: str, context: Mapping[str, Any]) -> Any:
    """
    One part of the daily care.

    :param part: one of :data:`CARE`.
    :return: what was done, as numbers.
    """
    from interchange.roulette.upkeep import Upkeep
    from interchange.roulette.webhooks import reconcile

    parts: dict[str, Callable[[Upkeep], Any]] = {
        "webhooks": lambda _: reconcile(desk),
        "events": Upkeep.go_on,
        "messages": Upkeep.answer_missed,
        "proposals": Upkeep.settle_proposals,
        "doubles": Upkeep.take_back,
        "questions": Upkeep.ask_whether_met,
        "quarter": Upkeep.report_quarter,
        "log_in": Upkeep.check_log_in,
        "memory": Upkeep.forget_old,
    }
    with desk_of(context) as desk:
        done = parts[part](Upkeep(desk))
    log.info("%s: %s", part, done)
    return done
