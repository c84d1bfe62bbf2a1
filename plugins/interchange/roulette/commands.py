"""What people ask for in words. First it is decided, then kept, then done: so a repeat does what was decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from interchange.core.addresses import normalised
from interchange.core.bot_words import Said, Word
from interchange.core.moments import spoken_day
from interchange.core.slots import monday_of, week_of
from interchange.core.wishes import local_day
from interchange.errors import BadRecord
from interchange.roulette import figures
from interchange.roulette.absences import Absences
from interchange.roulette.desk import Desk
from interchange.roulette.erasing import Erasing
from interchange.roulette.events import Event
from interchange.roulette.people import person_key
from interchange.roulette.rounds import BOOKED, Group
from interchange.roulette.senders import Sender
from interchange.roulette.talk import AGREED, OPEN

CARD_LIFE = timedelta(days=7)
Decision = dict[str, Any]
"""
``do``: the word; ``say``: the answer; ``listing``: meetings that its numbers mean; ``card``: of this meeting; and what
the word needs. JSON values only.
"""


class Commands:
    def __init__(self, desk: Desk, absences: Absences, erasing: Erasing) -> None:
        self._desk = desk
        self._absences = absences
        self._erasing = erasing

    # Deciding: reads only

    def decide(self, sender: Sender, said: Said, *, at: datetime) -> Decision:
        """
        :param at: when it was written: what "next" means is counted from there.
        """
        decide: dict[Word, Callable[[], Decision]] = {
            Word.NUMBER: lambda: self._number(sender, said.number or 0),
            Word.NEARLY: lambda: self._list(sender, "nearly", number=said.number),
            Word.PAUSE: lambda: self._pause(sender, said.day, at),
            Word.RESUME: lambda: self._resume(sender),
            Word.SKIP: lambda: self._skip(sender, at),
            Word.HELP: lambda: self._say(Word.HELP, "help", admin=sender.admin),
            Word.STATS: lambda: self._stats(sender),
            Word.UNKNOWN: lambda: self._say(Word.UNKNOWN, "unknown", admin=sender.admin),
        }
        if sender.admin:
            decide[Word.INFORM] = lambda: self._say(Word.INFORM, "inform")
            decide[Word.FORGET] = lambda: self._forget(said.rest)
        elif said.word in (Word.INFORM, Word.FORGET):
            return self._say(Word.UNKNOWN, "for_admins")
        if said.word in decide:
            return decide[said.word]()
        return self._list(sender)

    def _say(self, do: Word, text: str, **values: Any) -> Decision:
        return {"do": str(do), "say": self._desk.texts.say(text, **values)}

    def _list(self, sender: Sender, why: str = "", **values: Any) -> Decision:
        """The meetings somebody has before them, below a sentence that says why they get to see them."""
        desk = self._desk
        groups = desk.rounds.coming(sender.key, after=desk.clock())
        lines = [self._line(number, group, sender) for number, group in enumerate(groups, 1)]
        intro = desk.texts.say(why, count=len(groups), **values) if why else ""
        listed = desk.texts.say(
            "listing" if groups else "nothing_coming",
            name=sender.participant.shown,
            lines=lines,
            paused=self._paused(sender),
            plays=sender.takes_part,
        )
        return {
            "do": str(Word.LIST),
            "say": f"{intro}\n\n{listed}" if intro else listed,
            "listing": [group.id for group in groups],
        }

    def _line(self, number: int, group: Group, sender: Sender) -> dict[str, Any]:
        desk = self._desk
        others = desk.others(group, sender.key)
        live = desk.talk.live_of(group.id)
        waits = live is not None and live.state == OPEN
        return {
            "number": number,
            "when": desk.when(desk.slot(group), [*group.people]),
            "others": desk.names(others),
            "asked": waits
            and live is not None
            and live.person != sender.key
            and sender.key not in live.agreed,
            "asks": waits and live is not None and live.person == sender.key,
        }

    def _paused(self, sender: Sender) -> str:
        until = sender.participant.paused_until
        return spoken_day(until) if until is not None and until > self._today() else ""

    def _today(self) -> date:
        return local_day(self._desk.clock(), self._desk.zone)

    def _number(self, sender: Sender, number: int) -> Decision:
        desk = self._desk
        listed = desk.people.listed(sender.key)
        if not listed:
            return self._list(sender)
        if not 1 <= number <= len(listed):
            return self._list(sender, "no_such_number", number=number)
        group = desk.rounds.group(listed[number - 1])
        if (
            group is None
            or group.state != BOOKED
            or sender.key not in group.people
            or desk.slot(group).starts_at <= desk.clock()
        ):
            return self._list(sender, "not_any_more", number=number)
        live = desk.talk.live_of(group.id)
        if live is not None and live.state == AGREED:
            return self._list(sender, "being_moved", number=number)
        return {"do": str(Word.NUMBER), "card": group.id}

    def _pause(self, sender: Sender, until: date | None, at: datetime) -> Decision:
        if until is None:
            return self._say(Word.HELP, "pause_how")
        today = local_day(at, self._desk.zone)
        if until <= today:
            return self._say(Word.HELP, "pause_past", day=spoken_day(until))
        missed = [
            group
            for group in self._desk.rounds.coming(sender.key, after=self._desk.clock())
            if self._desk.slot(group).local.date() < until
        ]
        return {
            **self._say(
                Word.PAUSE,
                "paused",
                day=spoken_day(until),
                year=until.year,
                missed=self._told(missed, sender),
            ),
            "until": until.isoformat(),
            "leave": [group.id for group in missed],
        }

    def _resume(self, sender: Sender) -> Decision:
        away = bool(self._paused(sender)) or self._skips(sender.participant.skipped_week)
        return self._say(Word.RESUME, "resumed" if away else "not_paused")

    def _skips(self, monday: date | None) -> bool:
        return monday is not None and monday >= monday_of(self._today())

    def _skip(self, sender: Sender, at: datetime) -> Decision:
        coming = self._desk.rounds.coming(sender.key, after=self._desk.clock())
        monday = self._next_round(at)
        if coming:
            entry = self._desk.rounds.get(coming[0].week)
            monday = entry.monday if entry is not None else monday
        missed = [group for group in coming if group.week == week_of(monday)]
        return {
            **self._say(
                Word.SKIP,
                "skipped",
                day=spoken_day(self._desk.slot_of_week(monday).local.date()),
                missed=self._told(missed, sender),
            ),
            "monday": monday.isoformat(),
            "leave": [group.id for group in missed],
        }

    def _next_round(self, at: datetime) -> date:
        """The Monday of the round that meets next."""
        monday = monday_of(local_day(at, self._desk.zone))
        while self._desk.slot_of_week(monday).starts_at <= at:
            monday += timedelta(days=7)
        return monday

    def _told(self, groups: Sequence[Group], sender: Sender) -> list[dict[str, Any]]:
        desk = self._desk
        return [
            {
                "when": desk.when(desk.slot(group), [sender.key]),
                "others": desk.names(desk.others(group, sender.key)),
                "trio": len(group.people) > 2,
            }
            for group in groups
        ]

    def _stats(self, sender: Sender) -> Decision:
        desk, now = self._desk, self._desk.clock()
        totals = figures.total(desk, since=None, until=now) if sender.admin else None
        return self._say(
            Word.STATS,
            "stats",
            own=figures.of(desk, sender.key, until=now),
            totals=totals,
            admin=sender.admin,
        )

    def _forget(self, given: str) -> Decision:
        try:
            address = normalised(given)
        except BadRecord:
            return self._say(Word.HELP, "forget_how")
        key = person_key(address)
        if self._desk.people.get(key) is None:
            return self._say(Word.HELP, "forget_nobody")
        groups = self._desk.rounds.coming(key, after=self._desk.clock())
        return {
            **self._say(
                Word.FORGET,
                "forgotten",
                meetings=len(groups),
                settings=address in self._desk.settings.people or address in self._desk.settings.admins,
            ),
            "person": key,
            "leave": [group.id for group in groups],
        }

    # Doing: each again does no harm

    def carry_out(self, event: Event, sender: Sender, decision: Decision) -> None:
        """
        Do what was decided, and answer.

        :raises OutcomeUnknown: done again, it goes on.
        """
        desk = self._desk
        match decision["do"]:
            case Word.PAUSE:
                desk.people.pause(sender.key, date.fromisoformat(decision["until"]))
            case Word.SKIP:
                desk.people.skip(sender.key, date.fromisoformat(decision["monday"]))
            case Word.RESUME:
                desk.people.pause(sender.key, None)
                desk.people.skip(sender.key, None)
            case Word.FORGET:
                self._erasing.forget(decision["person"], decision["leave"])
        if decision["do"] != Word.FORGET:
            for group in decision.get("leave", ()):
                self._absences.leave(group, sender.key)
        if "listing" in decision:
            desk.people.list_to(sender.key, decision["listing"])
        self._reply(event, sender, decision)

    def _reply(self, event: Event, sender: Sender, decision: Decision) -> None:
        desk = self._desk
        if decision["do"] == Word.INFORM:
            desk.tell_card(
                event.reply(sender.key),
                sender.participant,
                decision["say"],
                card="inform",
                values={},
                kind="inform",
                expires_at=desk.clock() + CARD_LIFE,
            )
        elif "card" in decision:
            send_move_card(desk, event.reply(sender.key), sender, decision["card"])
        else:
            desk.speaker.tell(event.reply(sender.key), sender.participant, decision["say"])


def send_move_card(desk: Desk, key: str, sender: Sender, group_id: str, *, why: str = "") -> None:
    """
    Let somebody choose another time for one of their meetings.

    :param why: what was wrong with the time they chose before.
    """
    group = desk.rounds.group(group_id)
    entry = None if group is None else desk.rounds.get(group.week)
    if group is None or entry is None:
        return
    slot = desk.slot(group)
    around = desk.slot_of_week(entry.monday).local.date()
    furthest = timedelta(days=desk.settings.latest_move_days)
    values = {
        "why": why,
        "when": desk.when(slot, group.people),
        "others": desk.names(desk.others(group, sender.key)),
        "day": slot.local.date().isoformat(),
        "clock": f"{slot.local:%H:%M}",
        "earliest": max(around - furthest, local_day(desk.clock(), desk.zone)).isoformat(),
        "latest": (around + furthest).isoformat(),
        "zone": desk.zone,
    }
    desk.tell_card(
        key,
        sender.participant,
        desk.texts.say("choose", **values),
        card="move",
        values=values,
        kind="move",
        group=group.id,
        expires_at=slot.starts_at,
    )
