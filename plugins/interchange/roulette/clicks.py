"""
What people send back with a card.

A card holds an opaque id and nothing else; what it is about, whose it is and until when stands in our database.
Whatever else comes back was typed by somebody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from interchange.core.moments import spoken_day
from interchange.core.wishes import Engagement, Obstacle, Rules, Wish, check_wish
from interchange.roulette.commands import send_move_card
from interchange.roulette.desk import Desk
from interchange.roulette.events import Event, Memo
from interchange.roulette.informing import Informing
from interchange.roulette.moves import Moves
from interchange.roulette.rounds import BOOKED, Group
from interchange.roulette.senders import Sender
from interchange.roulette.talk import AGREED, OPEN, Card

YES, NO = "yes", "no"
Inputs = Mapping[str, Any]
Decision = dict[str, Any]


class Clicks:
    def __init__(self, desk: Desk, moves: Moves, informing: Informing) -> None:
        self._desk = desk
        self._moves = moves
        self._informing = informing

    def answer(self, event: Event, sender: Sender, inputs: Inputs, memo: Memo) -> str:
        """
        Do what a submission asks for, if it may.

        :return: what it was, in a word.
        """
        decision: Decision = memo.once("decision", lambda: self._decide(event, sender, inputs))
        match decision["do"]:
            case "propose":
                self._propose(event, sender, decision, memo)
            case "again":
                send_move_card(
                    self._desk, event.reply(sender.key), sender, decision["group"], why=decision["say"]
                )
            case "consent":
                self._consent(event, sender, decision, memo)
            case "met":
                self._met(event, sender, decision)
            case "preview":
                self._informing.preview(event, sender, decision)
            case "send":
                self._informing.send(event, sender, decision, memo)
            case _:
                self._desk.speaker.tell(event.reply(sender.key), sender.participant, decision["say"])
        return str(decision["do"])

    def _refused(self, text: str, **values: Any) -> Decision:
        return {"do": "refused", "say": self._desk.texts.say(text, **values)}

    def _decide(self, event: Event, sender: Sender, inputs: Inputs) -> Decision:
        """Reads only."""
        given = inputs.get("k")
        card = self._desk.talk.card(given) if isinstance(given, str) and len(given) <= 64 else None
        if card is None:
            return self._refused("card_unknown")
        if card.person != sender.key:
            return self._refused("card_foreign")
        if card.used_by not in (None, event.id) and card.kind != "met":
            return self._refused("card_used")
        if card.expires_at <= self._desk.clock() and card.kind != "consent":
            return self._refused("card_expired")
        match card.kind:
            case "move":
                return self._decide_move(card, sender, inputs)
            case "consent":
                return self._decide_consent(card, inputs)
            case "met":
                return self._decide_met(card, inputs)
            case "inform" if sender.admin:
                return self._informing.decide(card, inputs)
            case "send" if sender.admin:
                return {"do": "send", "card": card.id}
        return self._refused("for_admins")

    # Another time

    def _decide_move(self, card: Card, sender: Sender, inputs: Inputs) -> Decision:
        desk = self._desk
        group = None if card.group is None else desk.rounds.group(card.group)
        if group is None or group.state != BOOKED or sender.key not in group.people:
            return self._refused("meeting_gone")
        wish = self._wish(group, sender, inputs)
        if wish.obstacle is not None or wish.slot is None:
            say = self._obstacle(wish)
            return {"do": "again", "group": group.id, "say": say}
        live = desk.talk.live_of(group.id)
        if live is not None and live.state == AGREED:
            return self._refused("card_being_moved")
        return {
            "do": "propose",
            "card": card.id,
            "group": group.id,
            "instead_of": desk.slot(group).starts_at.isoformat(),
            "starts_at": wish.slot.starts_at.isoformat(),
        }

    def _wish(self, group: Group, sender: Sender, inputs: Inputs) -> Wish:
        desk = self._desk
        entry = desk.rounds.get(group.week)
        around = desk.slot(group) if entry is None else desk.slot_of_week(entry.monday)
        return check_wish(
            _typed(inputs, "day"),
            _typed(inputs, "clock"),
            current=desk.slot(group),
            rules=Rules(
                zone=desk.zone,
                holidays=desk.holidays,
                around=around.local.date(),
                furthest=desk.settings.latest_move_days,
                weekends=desk.settings.slot.weekday in ("saturday", "sunday"),
            ),
            engagements=self._engagements(group, sender),
            now=desk.clock(),
        )

    def _engagements(self, group: Group, sender: Sender) -> list[Engagement]:
        """When those of a meeting have another one; with whom is nobody's business."""
        desk, found = self._desk, []
        for person in desk.people.of(group.people):
            whose = "" if person.key == sender.key else person.shown
            for other in desk.rounds.coming(person.key, after=desk.clock()):
                if other.id != group.id:
                    slot = desk.slot(other)
                    found.append(Engagement(whose=whose, starts_at=slot.starts_at, ends_at=slot.ends_at))
        return found

    def _obstacle(self, wish: Wish) -> str:
        if wish.obstacle is None:
            raise ValueError("nothing is in its way")
        values: dict[str, Any] = {"zone": self._desk.zone, "whose": wish.whose}
        if wish.slot is not None:
            local = wish.asked or wish.slot.local
            values |= {"day": spoken_day(local.date()), "clock": f"{local:%H:%M}"}
            values["instead"] = f"{wish.slot.local:%H:%M}"
        if wish.obstacle is Obstacle.TOO_FAR and wish.earliest and wish.latest:
            values |= {"earliest": spoken_day(wish.earliest), "latest": spoken_day(wish.latest)}
        return self._desk.texts.line(f"wish_{wish.obstacle}", **values)

    def _propose(self, event: Event, sender: Sender, decision: Decision, memo: Memo) -> None:
        desk = self._desk
        with desk.held(decision["group"]):
            say = memo.once("proposed", lambda: self._start(event, sender, decision))
            # After a kill, whoever was not told yet is told now.
            self._moves.advance(_proposal_of(event))
        if say:
            desk.speaker.tell(event.reply(sender.key), sender.participant, say)

    def _start(self, event: Event, sender: Sender, decision: Decision) -> str:
        """
        :return: what to say to the proposer; nothing where the proposal's end says it all.
        """
        desk, id_ = self._desk, _proposal_of(event)
        group, known = desk.rounds.group(decision["group"]), desk.talk.proposal(id_)
        if group is None:
            return desk.texts.say("meeting_gone")
        if known is None:
            current = desk.slot(group).starts_at if group.state == BOOKED else None
            if current != datetime.fromisoformat(decision["instead_of"]) or sender.key not in group.people:
                return desk.texts.say("meeting_gone")
            if not desk.talk.use(decision["card"], by=event.id):
                return desk.texts.say("card_used")
        made = known
        if known is None or known.state == OPEN:
            starts_at = datetime.fromisoformat(decision["starts_at"])
            made = self._moves.propose(id_, group=group, person=sender.key, starts_at=starts_at)
        if made is None:
            return desk.texts.say("card_being_moved")
        if made.state != OPEN:
            return ""
        others = desk.names(desk.others(group, sender.key))
        return desk.texts.say("proposed", others=others, **self._moves.words(made, group))

    # Yes or no

    def _decide_consent(self, card: Card, inputs: Inputs) -> Decision:
        said = inputs.get("answer")
        if said not in (YES, NO) or card.proposal is None or card.group is None:
            return self._refused("card_unknown")
        return {
            "do": "consent",
            "card": card.id,
            "proposal": card.proposal,
            "group": card.group,
            "agrees": said == YES,
        }

    def _consent(self, event: Event, sender: Sender, decision: Decision, memo: Memo) -> None:
        desk, moves = self._desk, self._moves
        with desk.held(decision["group"]):
            counted = memo.once("counted", lambda: self._count(event, sender, decision))
            proposal = moves.advance(decision["proposal"])
            ended = proposal is None or proposal.state != OPEN
            if counted and ended and "said" not in memo:
                # Everybody was told what came of it.
                return
            say = memo.once("said", lambda: self._noted(decision, sender, counted))
        desk.speaker.tell(event.reply(sender.key), sender.participant, say)

    def _count(self, event: Event, sender: Sender, decision: Decision) -> bool:
        """
        :return: whether it is still asked for.
        """
        talk, id_ = self._desk.talk, decision["proposal"]
        card, known = talk.card(decision["card"]), talk.proposal(id_)
        said = known is not None and sender.key in known.agreed | known.refused
        if said and card is not None and card.used_by == event.id:
            # Counted by an attempt that was killed, whatever has come of it since.
            return True
        proposal = self._moves.advance(id_)
        return (
            proposal is not None
            and proposal.state == OPEN
            and talk.use(decision["card"], by=event.id)
            and talk.answer(id_, sender.key, decision["agrees"])
        )

    def _noted(self, decision: Decision, sender: Sender, counted: bool) -> str:
        desk = self._desk
        proposal, group = desk.talk.proposal(decision["proposal"]), desk.rounds.group(decision["group"])
        if proposal is None or group is None:
            return desk.texts.say("meeting_gone")
        if not counted:
            state = "answered" if proposal.state == OPEN else proposal.state
            return desk.texts.say("consent_late", state=state, **self._moves.words(proposal, group))
        waits = [person for person in group.people if person not in (*proposal.agreed, proposal.person)]
        return desk.texts.say(
            "consent_noted",
            others=desk.names(desk.people.of([person for person in waits if person != sender.key])),
            **self._moves.words(proposal, group),
        )

    # Did you meet?

    def _decide_met(self, card: Card, inputs: Inputs) -> Decision:
        said = inputs.get("answer")
        if said not in (YES, NO) or card.group is None:
            return self._refused("card_unknown")
        return {"do": "met", "card": card.id, "group": card.group, "met": said == YES}

    def _met(self, event: Event, sender: Sender, decision: Decision) -> None:
        """The last answer counts, and each is thanked for once."""
        desk = self._desk
        text = "met_yes" if decision["met"] else "met_no"
        if not desk.rounds.answer(decision["group"], sender.key, decision["met"]):
            text = "meeting_gone"
        desk.talk.use(decision["card"], by=event.id)
        desk.tell(
            f"thanks/{decision['card']}/{text}", sender.participant, text, name=sender.participant.shown
        )


def _proposal_of(event: Event) -> str:
    """The same for the same submission."""
    return hashlib.sha256(f"proposal/{event.id}".encode()).hexdigest()[:24]


def _typed(inputs: Inputs, name: str) -> str:
    value = inputs.get(name)
    return value.strip() if isinstance(value, str) else ""
