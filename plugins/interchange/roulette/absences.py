"""Somebody cannot come: a pair's meeting is cancelled, a trio goes on without them; the others are told."""

from __future__ import annotations

from typing import Any

from interchange.errors import NotFound
from interchange.roulette.desk import Desk
from interchange.roulette.moves import Moves
from interchange.roulette.rounds import BOOKED, DROPPED, Group

CANCEL, LEAVE = "cancel", "leave"
RESTS = "their meeting was cancelled"


class Absences:
    def __init__(self, desk: Desk, moves: Moves) -> None:
        self._desk = desk
        self._moves = moves

    def leave(self, group_id: str, person: str) -> None:
        """
        Take somebody out of a booked meeting, and tell the others. Done already, it is only told.

        :raises OutcomeUnknown: whether it was cancelled is not known yet.
        """
        desk = self._desk
        with desk.held(group_id):
            group = desk.rounds.group(group_id)
            if group is None:
                return
            if group.state == BOOKED and person in group.people:
                if len(group.people) > 2:
                    self._go_without(group, person)
                else:
                    self._cancel(group, person)
            self._moves.void(group_id)
            self._tell(group_id, person)

    def _cancel(self, group: Group, person: str) -> None:
        desk, meeting_id = self._desk, str(group.meeting_id)

        def send() -> dict[str, Any]:
            return {
                "meeting": meeting_id,
                "there": desk.meetings.cancel_meeting(meeting_id),
                "by": person,
            }

        # Cancelled again, it is gone already.
        desk.ledger.perform(
            desk.ref(CANCEL, group.id),
            send=send,
            find=None,
            lease_s=desk.lease_s,
            run=desk.run,
            resend=True,
        )
        for member in group.people:
            desk.rounds.rest(group.week, member, RESTS)
        desk.rounds.drop(group.id)

    def _go_without(self, group: Group, person: str) -> None:
        desk, meeting_id = self._desk, str(group.meeting_id)
        participant = desk.people.get(person)
        address = None if participant is None else participant.address

        def send() -> dict[str, Any]:
            try:
                invited = [entry for entry in desk.meetings.invitees(meeting_id) if entry.address == address]
            except NotFound:
                # The whole meeting was cancelled by somebody else.
                invited = []
            for invitee in invited:
                desk.meetings.uninvite(invitee.id)
            return {"meeting": meeting_id, "there": bool(invited)}

        desk.ledger.perform(
            desk.ref(LEAVE, f"{group.id}/{person}"),
            send=send,
            find=None,
            lease_s=desk.lease_s,
            run=desk.run,
            resend=True,
        )
        desk.rounds.rest(group.week, person, RESTS)
        desk.rounds.leave(group.id, person)

    def _tell(self, group_id: str, person: str) -> None:
        desk = self._desk
        group = desk.rounds.group(group_id)
        leaver = desk.people.get(person)
        if group is None or leaver is None or group.starts_at is None:
            return
        cancelled = group.state == DROPPED
        if cancelled and not self._cancelled_by(group.id, person):
            # The other one was faster, and those who are left know.
            return
        text = "cancelled" if cancelled else "left"
        others = desk.others(group, person)
        for other in others:
            desk.tell(
                f"{text}/{group.id}/{person}/{other.key}",
                other,
                text,
                name=other.shown,
                who=leaver.shown,
                when=desk.when(desk.slot(group), [other.key]),
                others=desk.names([entry for entry in others if entry.key != other.key]),
            )
        desk.report(
            f"{text}/{group.id}/{person}",
            f"report_{text}",
            who=leaver.shown,
            others=desk.names(others),
            when=desk.when(desk.slot(group), []),
            week=group.week,
        )

    def _cancelled_by(self, group_id: str, person: str) -> bool:
        effect = self._desk.ledger.get(self._desk.ref(CANCEL, group_id))
        return effect is not None and (effect.receipt or {}).get("by") == person
