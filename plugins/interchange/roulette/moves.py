"""
Proposals to move a meeting: asked of all, carried out when all agree, told to everybody.

    open → agreed → moved
    open → declined | expired | replaced | void
    agreed → void

Each step may be taken again: whoever finds a proposal where it does not belong moves it on, be it the click that
brought it there, tried again after a kill, or the daily upkeep.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from interchange.core.moments import spoken, spoken_moment
from interchange.core.slots import Slot
from interchange.errors import BadRecord, NotFound, Refused
from interchange.ledger import State
from interchange.roulette.desk import Desk
from interchange.roulette.people import Participant
from interchange.roulette.rounds import BOOKED, Group
from interchange.roulette.talk import AGREED, DECLINED, EXPIRED, LIVE, MOVED, OPEN, REPLACED, VOID, Proposal
from interchange.roulette.telling import MESSAGE

log = logging.getLogger(__name__)

MOVE = "move"
# Of what Webex refuses: about this meeting or this time. Anything else is about our credentials.
_ABOUT_THE_MEETING = (400, 404, 409, 410)


class Moves:
    """All methods but :meth:`tell_outcome` want the meeting's claim held: :meth:`Desk.held`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def propose(self, id_: str, *, group: Group, person: str, starts_at: datetime) -> Proposal | None:
        """
        Make a proposal, or go on with it, and ask the others.

        :param group: booked. :param starts_at: UTC.
        :return: None if all have agreed to another one, which is carried out.
        """
        desk = self._desk
        before = desk.talk.live_of(group.id)
        if before is not None and before.id != id_:
            # It may have run out, or wait for nothing but us.
            self.advance(before.id)
            now = desk.rounds.group(group.id)
            if now is None or now.starts_at != group.starts_at or now.state != BOOKED:
                return None
        current = desk.slot(group).starts_at
        made = desk.talk.propose(
            id_,
            group=group.id,
            person=person,
            starts_at=starts_at,
            instead_of=current,
            expires_at=min(desk.clock() + timedelta(hours=desk.settings.agree_hours), starts_at, current),
        )
        for other in desk.talk.of_groups([group.id]):
            if other.state == REPLACED:
                self.tell_outcome(other)
        if made is None or made.state != OPEN:
            return made
        proposer = desk.people.of([person])[0]
        others = desk.others(group, person)
        asked = [self._ask(made, group, other, proposer) for other in others]
        if not all(asked):
            # Whom Webex does not reach cannot say yes.
            desk.talk.advance(made.id, to=VOID, only_from=[OPEN])
        return desk.talk.proposal(made.id)

    def _ask(self, proposal: Proposal, group: Group, person: Participant, proposer: Participant) -> bool:
        values = self.words(proposal, group, asked=person.shown, proposer=proposer.shown)
        return self._desk.tell_card(
            _ask(proposal, person.key),
            person,
            self._desk.texts.say("asked", **values),
            card="consent",
            values=values,
            kind="consent",
            group=group.id,
            proposal=proposal.id,
            expires_at=proposal.expires_at,
        )

    def advance(self, id_: str) -> Proposal | None:
        """
        Bring a proposal as far as it can get by now, and tell what became of it.

        :return: as it is then; None: its people were forgotten, and it with them.
        :raises OutcomeUnknown: whether the meeting was moved is not known yet.
        """
        talk = self._desk.talk
        proposal = talk.proposal(id_)
        if proposal is not None and proposal.state == OPEN:
            self._judge(proposal)
            proposal = talk.proposal(id_)
        if proposal is not None and proposal.state == AGREED:
            self._carry_out(proposal)
            proposal = talk.proposal(id_)
        if proposal is not None:
            self.tell_outcome(proposal)
        return proposal

    def void(self, group: str) -> None:
        """End the open proposals of a meeting that is cancelled, or has other people, and tell of them."""
        self._desk.talk.void(group)
        for proposal in self._desk.talk.of_groups([group]):
            if proposal.state == VOID:
                self.tell_outcome(proposal)

    def _judge(self, proposal: Proposal) -> None:
        """From open to what the answers, the clock and the meeting make of it."""
        to = self._due(proposal, self._desk.rounds.group(proposal.group))
        if to is not None:
            self._desk.talk.advance(proposal.id, to=to, only_from=[OPEN])

    def _due(self, proposal: Proposal, group: Group | None) -> str | None:
        if (
            group is None
            or group.state != BOOKED
            or group.starts_at != proposal.instead_of
            or proposal.person not in group.people
        ):
            return VOID
        others, now = set(group.people) - {proposal.person}, self._desk.clock()
        if others & proposal.refused:
            return DECLINED
        if others and others <= proposal.agreed and now < proposal.starts_at:
            return AGREED
        return EXPIRED if now >= proposal.expires_at else None

    def _carry_out(self, proposal: Proposal) -> None:
        """All agree: move the meeting."""
        desk = self._desk
        group = desk.rounds.group(proposal.group)
        if (
            group is None
            or group.state != BOOKED
            or group.starts_at not in (proposal.instead_of, proposal.starts_at)
        ):
            desk.talk.advance(proposal.id, to=VOID, only_from=[AGREED])
            return
        try:
            self._move(proposal, group)
        except BadRecord as exc:
            log.warning("Proposal %s cannot be carried out: %s", proposal.id, exc)
            desk.talk.advance(proposal.id, to=VOID, only_from=[AGREED])
            return
        desk.rounds.move(group.id, starts_at=proposal.starts_at)
        desk.talk.advance(proposal.id, to=MOVED, only_from=[AGREED])

    def _move(self, proposal: Proposal, group: Group) -> None:
        meeting_id, slot = str(group.meeting_id), self._wished(proposal, group)
        receipt = {"meeting": meeting_id, "starts_at": slot.starts_at}

        def send() -> dict[str, Any]:
            try:
                self._desk.meetings.move_meeting(meeting_id, slot)
            except Refused as exc:
                if exc.status not in _ABOUT_THE_MEETING:
                    raise
                raise BadRecord("meeting", f"Webex does not move it (HTTP {exc.status})") from exc
            return receipt

        def find() -> dict[str, Any] | None:
            try:
                meeting = self._desk.meetings.meeting(meeting_id)
            except NotFound:
                raise BadRecord("meeting", "Webex has it no more") from None
            # Moving it once more to the same time changes nothing.
            return receipt if meeting.starts_at == slot.starts_at else None

        self._desk.ledger.perform(
            self._desk.ref(MOVE, proposal.id),
            send=send,
            find=find,
            lease_s=self._desk.lease_s,
            run=self._desk.run,
        )

    # Telling

    def tell_outcome(self, proposal: Proposal) -> None:
        """Tell everybody of a meeting what became of a proposal, each once; of one that lives, nothing."""
        if proposal.state in LIVE:
            return
        desk = self._desk
        group = desk.rounds.group(proposal.group)
        if group is None:
            return
        text = f"proposal_{proposal.state}"
        if proposal.state == VOID and self._is_set_aside(MOVE, proposal.id):
            text = "proposal_refused"
        elif proposal.state == VOID and any(
            self._is_set_aside(MESSAGE, _ask(proposal, person)) for person in group.people
        ):
            text = "proposal_unreachable"
        words = self.words(proposal, group)
        for person in desk.people.of(sorted({*group.people, proposal.person})):
            desk.tell(
                f"proposal/{proposal.id}/{proposal.state}/{person.key}",
                person,
                text,
                name=person.shown,
                mine=person.key == proposal.person,
                others=desk.names(desk.others(group, person.key)),
                refused_by=self._refused_by(proposal, person.key),
                **words,
            )
        if proposal.state == MOVED:
            desk.report(
                f"moved/{proposal.id}",
                "report_moved",
                names=desk.names(desk.people.of(group.people)),
                week=group.week,
                **words,
            )

    def _refused_by(self, proposal: Proposal, told: str) -> Sequence[str]:
        people = self._desk.people.of(sorted(proposal.refused))
        return ["you" if person.key == told else person.shown for person in people]

    def _is_set_aside(self, kind: str, key: str) -> bool:
        effect = self._desk.ledger.get(self._desk.ref(kind, key))
        return effect is not None and effect.state is State.QUARANTINED

    def words(self, proposal: Proposal, group: Group, **more: Any) -> Mapping[str, Any]:
        desk = self._desk
        before = Slot.at(proposal.instead_of, zone=desk.zone, minutes=group.minutes or 0)
        return {
            "when": desk.when(self._wished(proposal, group), group.people),
            "before": spoken(before),
            "until": spoken_moment(proposal.expires_at, desk.zone),
            **more,
        }

    def _wished(self, proposal: Proposal, group: Group) -> Slot:
        return Slot.at(proposal.starts_at, zone=self._desk.zone, minutes=group.minutes or 0)


def _ask(proposal: Proposal, person: str) -> str:
    """The key of the question to one of them."""
    return f"proposal/{proposal.id}/ask/{person}"
