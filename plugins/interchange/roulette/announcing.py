"""Telling people of a round: with whom they meet, or that they rest; and the space of the reports."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from zoneinfo import available_timezones

from interchange.core.moments import told
from interchange.core.slots import Slot
from interchange.errors import InterchangeError, NotFound, OutcomeUnknown, RateLimited, Refused
from interchange.hooks.webex import WebexHook
from interchange.roulette.people import Participant, People
from interchange.roulette.rounds import BOOKED, DROPPED, Group, Rounds
from interchange.roulette.telling import Speaker
from interchange.roulette.texts import Texts
from interchange.settings.webex_roulette import Settings

log = logging.getLogger(__name__)


class Announcing:
    """:param hook: the bot's."""

    def __init__(
        self,
        settings: Settings,
        *,
        hook: WebexHook,
        people: People,
        rounds: Rounds,
        speaker: Speaker,
        texts: Texts,
    ) -> None:
        self._settings = settings
        self._hook = hook
        self._people = people
        self._rounds = rounds
        self._speaker = speaker
        self._texts = texts
        self.told = 0
        self.not_told = 0

    def get_to_know(self, keys: Iterable[str]) -> None:
        """
        Ask Webex for the names and zones of those whose id is not known yet.

        A bot that is not let in stops no meeting: Webex invites without it, and telling people fails later.
        """
        for person in self._people.of(list(keys)):
            if person.webex_id is not None or person.address is None:
                continue
            try:
                found = self._hook.person_of(person.address)
            except NotFound:
                found = None
            except Refused as exc:
                log.warning("Names are not known: %s", exc)
                if exc.status in (401, 403):
                    return
                continue
            if found is None:
                log.warning("Webex knows nobody with the address of %s", person.key)
                continue
            zone = found.zone if found.zone in available_timezones() else None
            self._people.note(person.key, webex_id=found.id, name=found.name, zone=zone)

    def announce(self, week: str) -> None:
        """
        Tell everybody of a round, each once; of groups without a meeting yet nobody is told.

        :raises OutcomeUnknown: somebody may have been told; the next try looks.
        """
        unclear: list[InterchangeError] = []
        for group in self._rounds.groups(week):
            if group.state == BOOKED:
                members = self._people.of(group.people)
                for person in members:
                    self._tell(
                        person,
                        f"round/{group.id}/{person.key}",
                        self._paired(group, person, members),
                        unclear,
                    )
        for key, reason in self._rounds.rests(week).items():
            for person in self._people.of([key]):
                text = self._texts.say("rests", name=person.shown, reason=reason)
                self._tell(person, f"rest/{week}/{key}", text, unclear)
        if unclear:
            raise unclear[0]

    def report(self, week: str, slot: Slot, *, repeats: int) -> None:
        """Say in the space how a round stands: once for each number of meetings that are booked."""
        groups = [group for group in self._rounds.groups(week) if group.state != DROPPED]
        booked = sum(group.state == BOOKED for group in groups)
        text = self._texts.say(
            "round",
            week=week,
            when=told(slot.starts_at, slot.zone),
            groups=len(groups),
            people=sum(len(group.people) for group in groups),
            carried=len(groups) - booked,
            repeats=repeats,
            rests=len(self._rounds.rests(week)),
        )
        self._speaker.report(f"round/{week}/{booked}", self._settings.report_room_id, text)

    def _paired(self, group: Group, person: Participant, members: Sequence[Participant]) -> str:
        others = [other for other in members if other.key != person.key]
        if group.starts_at is None:
            raise ValueError("A booked group has a time.")
        return self._texts.say(
            "paired",
            name=person.shown,
            others=[other.shown for other in others],
            reason=group.reason,
            when=told(group.starts_at, self._settings.time_zone, other_zones=[one.zone for one in members]),
        )

    def _tell(self, person: Participant, key: str, text: str, unclear: list[InterchangeError]) -> None:
        try:
            if self._speaker.tell(key, person, text):
                self.told += 1
            else:
                self.not_told += 1
        except OutcomeUnknown as exc:
            log.warning("%s", exc)
            unclear.append(exc)
        except RateLimited as exc:
            if exc.operation != "webex.look_again":
                raise
            unclear.append(exc)
