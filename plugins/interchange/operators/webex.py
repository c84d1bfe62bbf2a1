"""The weekly round, as tasks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from interchange.core.slots import monday_of
from interchange.errors import SettingsError
from interchange.operators.links import LedgerLink, RoundLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interchange.ledger import Ledger
    from interchange.settings.webex_roulette import Settings

log = logging.getLogger(__name__)

DAG_ID = "webex_roulette"


class DrawRoundOperator(BaseOperator):
    """
    Work out who meets whom in the week of this run, and keep it; a dry run keeps a preview only.

    :return: counts and the plan's digest; no name and no address.
    """

    operator_extra_links = (RoundLink(), LedgerLink())
    ui_color = "#e4ecf4"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.made: dict[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        from interchange.operators.ledger import lease_s, ledger_of, run_of
        from interchange.roulette.drawing import keep_plan, plan_round
        from interchange.roulette.people import People
        from interchange.roulette.previews import keep_preview
        from interchange.roulette.rounds import Rounds
        from interchange.settings import load_settings

        settings: Settings = load_settings(DAG_ID)
        ledger = ledger_of(context)
        monday = monday_of(day_of_run(context, settings.time_zone))
        people, rounds = People(ledger.engine), Rounds(ledger.engine)
        dry_run = bool(context["params"]["dry_run"])
        with ledger.hold(f"{DAG_ID}/rounds", lease_s=lease_s()):
            plan = plan_round(settings, monday=monday, people=people, rounds=rounds)
            late = plan.slot.starts_at <= datetime.now(UTC)
            if dry_run:
                keep_preview(ledger, plan, run=run_of(context), lease_s=lease_s())
            elif not late:
                keep_plan(plan, rounds)
        self.made["round"] = f"plan={plan.digest}" if dry_run else f"week={plan.week}"
        facts = {
            "week": plan.week,
            "monday": plan.monday.isoformat(),
            "starts_at": plan.slot.starts_at.isoformat(),
            "digest": plan.digest,
            "groups": len(plan.this.groups),
            "rests": len(plan.this.rests),
            "drawn_rounds": len(plan.new),
            "mended": plan.mended,
            "findings": list(plan.findings),
            "quality": dict(plan.quality),
            "dry_run": dry_run,
            "late": late,
        }
        self._tell(facts)
        return facts

    def _tell(self, facts: Mapping[str, Any]) -> None:
        self.log.info(
            "Round of %s at %s, plan %s: %s groups, %s rest, %s changed since the draw; the draw: %s",
            *(
                facts[name]
                for name in ("week", "starts_at", "digest", "groups", "rests", "mended", "quality")
            ),
        )
        for finding in facts["findings"]:
            self.log.warning("Not all wishes could be had: %s", finding)
        if facts["late"]:
            self.log.warning("The slot of %s has passed: nothing is booked", facts["week"])


class BookRoundOperator(BaseOperator):
    """
    Book a meeting for each group and tell everybody, each once, whatever ran before.

    :param drawn: what task ``draw`` has returned.
    :return: counts.
    """

    template_fields: Sequence[str] = ("drawn",)
    operator_extra_links = (RoundLink(), LedgerLink())
    ui_color = "#f4ecdb"

    def __init__(self, *, drawn: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drawn = drawn
        self.made: dict[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        from interchange.operators.ledger import lease_s, ledger_of
        from interchange.settings import load_settings

        drawn: Mapping[str, Any] = self.drawn
        if drawn["dry_run"]:
            raise AirflowSkipException("A dry run: nothing is booked, nobody is told.")
        if drawn["late"]:
            raise AirflowSkipException(f"The slot of {drawn['week']} has passed: nothing is booked.")
        self.made["round"] = f"week={drawn['week']}"
        settings: Settings = load_settings(DAG_ID)
        ledger = ledger_of(context)
        with ledger.hold(f"{DAG_ID}/booking", lease_s=lease_s()):
            return self._book(context, settings, ledger, drawn)

    def _book(
        self, context: Context, settings: Settings, ledger: Ledger, drawn: Mapping[str, Any]
    ) -> dict[str, Any]:
        from interchange.hooks.webex import WebexHook
        from interchange.ledger.limits import RateLimiter
        from interchange.ledger.tokens import TokenVault
        from interchange.operators.ledger import lease_s, run_of
        from interchange.roulette.announcing import Announcing
        from interchange.roulette.booking import Booking
        from interchange.roulette.drawing import slot_for
        from interchange.roulette.people import People
        from interchange.roulette.rounds import Rounds
        from interchange.roulette.telling import Speaker
        from interchange.roulette.texts import Texts

        week, limiter = str(drawn["week"]), RateLimiter(ledger.engine)
        people, rounds, texts = People(ledger.engine), Rounds(ledger.engine), Texts()
        bot = WebexHook(settings.bot_conn_id, limiter=limiter)
        speaker = Speaker(
            bot,
            ledger,
            workflow=DAG_ID,
            run=run_of(context),
            lease_s=lease_s(),
            look_again=timedelta(minutes=settings.look_again_minutes),
            clock=lambda: datetime.now(UTC),
        )
        booking = Booking(
            settings,
            hook=WebexHook(settings.meetings_conn_id, limiter=limiter, vault=TokenVault(ledger)),
            ledger=ledger,
            people=people,
            rounds=rounds,
            speaker=speaker,
            texts=texts,
            run=run_of(context),
            lease_s=lease_s(),
            clock=lambda: datetime.now(UTC),
        )
        announcing = Announcing(
            settings, hook=bot, people=people, rounds=rounds, speaker=speaker, texts=texts
        )
        everybody = [key for group in rounds.groups(week) for key in group.people]
        announcing.get_to_know([*everybody, *rounds.rests(week)])
        slot = slot_for(settings, date.fromisoformat(drawn["monday"]))
        try:
            booking.book(week, slot)
        finally:
            # Also of a run that fails: who has a meeting wants to know, and what it did is done.
            announcing.announce(week)
            announcing.report(week, slot, repeats=int(drawn["quality"]["past_repeats"]))
            facts = {**booking.summary.facts, "told": announcing.told, "not_told": announcing.not_told}
            self.log.info("Round of %s: %s", week, facts)
            context["ti"].xcom_push(key="summary", value=facts)
        return facts


def day_of_run(context: Mapping[str, Any], zone: str) -> date:
    """
    A day of the week that a run is for: that on the form; else the day on which the run was due.

    A scheduled run is due when its interval ends, so on the Monday of the week whose slot it books.

    :raises SettingsError: ``round_start`` is no day.
    """
    asked = context["params"].get("round_start")
    if asked not in (None, ""):
        try:
            return date.fromisoformat(str(asked))
        except ValueError:
            raise SettingsError(f"round_start: {asked!r} is no day like 2026-12-07") from None
    due: datetime = context.get("data_interval_end") or context["dag_run"].run_after
    if context["dag_run"].run_type == "manual":
        # Its interval is the last whole one, which lies behind.
        due = context["dag_run"].run_after
    local: date = due.astimezone(ZoneInfo(zone)).date()
    return local
