"""One Webex meeting for each group of a round, however often a run is interrupted, cleared or started twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from interchange.core.slots import Slot
from interchange.errors import (
    BadRecord,
    Busy,
    InterchangeError,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from interchange.hooks.webex import WebexHook
from interchange.hooks.webex_values import Meeting
from interchange.ledger import EffectRef, Ledger, Receipt, RunRef, State
from interchange.roulette import taking_back
from interchange.roulette.people import People
from interchange.roulette.rounds import BOOKED, PLANNED, Group, Rounds
from interchange.roulette.telling import Speaker
from interchange.roulette.texts import Texts
from interchange.settings.webex_roulette import Settings

log = logging.getLogger(__name__)

WORKFLOW, MEETING = "webex_roulette", "meeting"
QUOTA_TIME = timedelta(hours=24)
OUTAGE_AFTER = 3
"""So many calls in a row that ended without an answer: Webex is not well, the rest waits."""
_TAG = "interchange:{}"


@dataclass(kw_only=True)
class Booked:
    """
    Counts of one run, by groups.

    :param booked: by this run; :param known: before. :param settled: found in Webex after a lost answer.
    :param carried: left for later, since the host may create no more meetings today.
    :param late: not booked, since the slot has passed. :param refused: set aside, with the reason.
    :param unknown: may exist: looked up again by the next try.
    """

    booked: int = 0
    known: int = 0
    settled: int = 0
    carried: int = 0
    late: int = 0
    refused: int = 0
    unknown: int = 0

    @property
    def facts(self) -> dict[str, int]:
        return asdict(self)


def meeting_ref(group: str) -> EffectRef:
    return EffectRef(WORKFLOW, MEETING, group)


def tag_of(group: str) -> str:
    """By which a group's meeting is found in Webex again."""
    return _TAG.format(group)


class Booking:
    """
    Books the meetings of a round.

    :param speaker: its waiting for Webex's lists is used here as well.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hook: WebexHook,
        ledger: Ledger,
        people: People,
        rounds: Rounds,
        speaker: Speaker,
        texts: Texts,
        run: RunRef,
        lease_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._hook = hook
        self._ledger = ledger
        self._people = people
        self._rounds = rounds
        self._speaker = speaker
        self._texts = texts
        self._run = run
        self._lease_s = lease_s
        self._clock = clock
        self.summary = Booked()

    def book(self, week: str, slot: Slot) -> None:
        """
        Book every group of a round that has no meeting yet.

        :raises RateLimited: the day's creations are used up; the rest is booked when there are some again.
        :raises OutcomeUnknown: a meeting may have been made: the next try looks it up.
        :raises Unavailable: Webex does not answer.
        """
        troubles: list[InterchangeError] = []
        silent = 0
        for group in self._rounds.groups(week):
            if group.state != PLANNED:
                self.summary.known += group.state == BOOKED
                continue
            try:
                self._book(group, slot)
                silent = 0
            except _Full as exc:
                self.summary.carried += 1
                troubles.append(exc)
            except BadRecord as exc:
                self.summary.refused += 1
                log.warning("The meeting of group %s is set aside: %s", group.id, exc)
            except OutcomeUnknown as exc:
                self.summary.unknown += 1
                silent += 1
                troubles.append(exc)
                log.warning("%s", exc)
            except Busy as exc:
                troubles.append(exc)
            except RateLimited as exc:
                if exc.operation != "webex.look_again":
                    # Webex itself wants us to wait: with all that is left.
                    raise
                # Its lists lag behind for this one; others do not wait for it.
                self.summary.unknown += 1
                troubles.append(exc)
            if silent >= OUTAGE_AFTER:
                break
        if troubles:
            raise _gravest(troubles)

    def _book(self, group: Group, slot: Slot) -> None:
        ref = meeting_ref(group.id)
        before = self._ledger.get(ref)
        if before is not None and before.state is State.CONFIRMED and before.receipt is not None:
            # Killed between the receipt and our own table.
            self._note(group, before.receipt)
            self.summary.settled += 1
            return
        if slot.starts_at <= self._clock() and (before is None or before.state is State.PLANNED):
            # It did not take place: the next rounds need not avoid this pair.
            self._rounds.drop(group.id)
            self.summary.late += 1
            return
        new = before is None or before.state is State.PLANNED
        if new:
            self._within_quota()
        members = self._people.of(group.people)
        addresses = [person.address for person in members if person.address]
        if len(addresses) < 2:
            raise BadRecord("departments", "fewer than two of the group are known")

        def send() -> dict[str, Any]:
            try:
                meeting = self._hook.create_meeting(
                    title=self._texts.line("title", names=[person.shown for person in members]),
                    agenda=self._texts.line("agenda", reason=group.reason),
                    slot=slot,
                    addresses=addresses,
                    tag=tag_of(group.id),
                    join_before_host_minutes=self._settings.join_before_host_minutes,
                )
            except Refused as exc:
                if exc.operation != "webex.create_meeting" or exc.status in (401, 403):
                    # Nothing is wrong with this meeting.
                    raise
                raise BadRecord("meeting", f"Webex refuses it: {exc}") from exc
            return _receipt(meeting)

        def find() -> dict[str, Any] | None:
            found = self._found(group)
            if found is None:
                self._speaker.wait_for_lists(ref, before.updated_at if before else self._clock())
                self._within_quota()
            return found

        def undo(ours: Receipt, theirs: Receipt | None) -> None:
            # A person who decided that it is done has seen ours.
            if theirs is None or theirs.get("meeting_id", ours["meeting_id"]) != ours["meeting_id"]:
                taking_back.take_back(
                    self._ledger,
                    taking_back.MEETING,
                    ours["meeting_id"],
                    self._hook.cancel_meeting,
                    lease_s=self._lease_s,
                    run=self._run,
                )

        receipt = self._ledger.perform(
            ref, send=send, find=find, lease_s=self._lease_s, run=self._run, undo=undo
        )
        self._note(group, receipt)
        if new:
            self.summary.booked += 1
        else:
            self.summary.settled += 1

    def _found(self, group: Group) -> dict[str, Any] | None:
        """
        The meeting in Webex, wherever it was moved. Should there be two, the one with the smallest id counts.

        A person may have copied one, with its tag.
        """
        now = self._clock()
        found = self._hook.meetings_with_tag(
            tag_of(group.id), since=now - timedelta(days=31), until=now + timedelta(days=366)
        )
        return _receipt(min(found, key=lambda meeting: meeting.id)) if found else None

    def _within_quota(self) -> None:
        """
        :raises RateLimited: Webex lets the host create no more meetings now. Refused attempts count there, too.
        """
        since = self._clock() - QUOTA_TIME
        attempts = self._ledger.attempts_since(WORKFLOW, MEETING, since)
        if len(attempts) < self._settings.meetings_per_day:
            return
        free_at = attempts[-self._settings.meetings_per_day] + QUOTA_TIME
        raise _Full(
            "webex.create_meeting",
            f"{len(attempts)} meetings were created in 24 hours, as many as setting meetings_per_day allows; the rest "
            "is booked when there is room again",
            retry_after_s=max((free_at - self._clock()).total_seconds(), 1.0),
        )

    def _note(self, group: Group, receipt: Mapping[str, Any]) -> None:
        self._rounds.book(
            group.id,
            meeting_id=receipt["meeting_id"],
            web_link=receipt.get("web_link") or "",
            starts_at=datetime.fromisoformat(receipt["starts_at"]),
            minutes=receipt["minutes"],
        )


class _Full(RateLimited):
    """The quota is used up."""


def _receipt(meeting: Meeting) -> dict[str, Any]:
    minutes = int((meeting.ends_at - meeting.starts_at).total_seconds() // 60)
    return {
        "meeting_id": meeting.id,
        "web_link": meeting.web_link,
        "starts_at": meeting.starts_at.isoformat(),
        "minutes": minutes,
        # Whoever has the link can join.
        "personal": ["web_link"],
    }


def _gravest(troubles: Sequence[InterchangeError]) -> InterchangeError:
    """What the task fails with: whatever can be tried soonest decides when it is tried again."""
    for kind in (OutcomeUnknown, Unavailable):
        plain = [exc for exc in troubles if isinstance(exc, kind) and not isinstance(exc, RateLimited)]
        if plain:
            return plain[0]
    limited = [exc for exc in troubles if isinstance(exc, RateLimited)]
    return min(limited, key=lambda exc: exc.retry_after_s) if limited else troubles[0]
