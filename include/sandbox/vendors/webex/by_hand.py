"""What people do without the API: write to the bot, press a card's buttons, come to a meeting; and seeds."""

from __future__ import annotations

import datetime as dt
from typing import Any

from include.sandbox.vendors.webex import meeting_shapes as shapes
from include.sandbox.vendors.webex.actions import Actions
from include.sandbox.vendors.webex.invitees import Invitees
from include.sandbox.vendors.webex.meeting_shapes import Occurrence, View
from include.sandbox.vendors.webex.model import Client, Grant, Instance, Meeting, Message, Person
from include.sandbox.vendors.webex.seeds import make_person

KEYS = ("people", "clients", "tokens", "revoke", "rooms", "say", "submit", "attend", "leave")
Answer = dict[str, Any]


class ByHand(Actions, Invitees):
    def seed(self, data: dict[str, Any]) -> Answer:
        """
        Any of these, each one object or a list of them; done in this order. The answer holds what was made, by key.

        * ``people``: ``{"email" | "emails", "displayName", "department", "timezone", "title", "type", "managerId",
          "status", "gone"}``; one whose address is known is changed. Answer: ids.
        * ``clients``: ``{"id", "secret", "kind": "integration" | "service_app", "redirect_uris", "scopes", "account":
          address}``; of one that is known, only what is given is changed.
        * ``tokens``: ``{"token", "person": address, "scopes": [...], "client", "kind": "access" | "refresh",
          "life_s"}``: a token that somebody has got somehow.
        * ``revoke``: ``{"access": true, "refresh": true}``: those end at once, the bot's excepted.
        * ``rooms``: ``{"title", "members": [addresses]}``: a group. Answer: ids.
        * ``say``: ``{"person": address, "text", "room": id, "mention": true, "to": address}``: somebody writes to the
          bot (or ``to`` somebody), or into a room. Answer: ids of messages.
        * ``submit``: ``{"person": address, "message": id, "inputs": {…}, "button": title, id or number,
          "date_format": "DD/MM/YYYY", "times": 2}``: somebody presses a button; without ``message``, of the last card
          they were sent. Answer: ids of actions.
        * ``attend``: ``{"meeting": id of a series or occurrence, "state": "started" | "ended" | "missed"}``.
        * ``leave``: ``{"person": address, "room": id}``: out of a room; without one, out of the organisation.

        :raises ValueError: an unknown key, person, message, button or meeting.
        """
        if unknown := set(data) - set(KEYS):
            raise ValueError(f"unknown seeds {sorted(unknown)}; known: {', '.join(KEYS)}")
        done: Answer = {}
        with self.lock:
            for key in KEYS:
                given = data.get(key, [])
                for entry in given if isinstance(given, list) else [given]:
                    done.setdefault(key, []).extend(getattr(self, f"_seed_{key}")(entry))
        return {key: ids for key, ids in done.items() if ids}

    def _somebody(self, email: str) -> Person:
        person = self.person_at(email)
        if person is None:
            raise ValueError(f"there is nobody with the address {email!r}")
        return person

    def _seed_people(self, entry: Answer) -> list[str]:
        made = make_person(entry, now=self.now())
        for email in made.emails:
            if (before := self.person_at(email)) is not None:
                made.id = before.id
                if "displayName" not in entry:
                    made.display_name = before.display_name
        self.world.people[made.id] = made
        return [made.id]

    def _seed_clients(self, entry: Answer) -> list[str]:
        client = self.world.clients.setdefault(
            entry["id"],
            Client(id=entry["id"], secret="", kind="integration", redirect_uris=[], scopes=frozenset()),
        )
        client.secret = entry.get("secret", client.secret)
        client.kind = entry.get("kind", client.kind)
        client.redirect_uris = list(entry.get("redirect_uris", client.redirect_uris))
        client.scopes = frozenset(entry.get("scopes", client.scopes))
        if "account" in entry:
            client.account = self._somebody(entry["account"]).id
        return [client.id]

    def _seed_tokens(self, entry: Answer) -> list[str]:
        tokens = {"access": self.world.access, "refresh": self.world.refresh}[entry.get("kind", "access")]
        tokens[entry["token"]] = Grant(
            client_id=entry.get("client", "sandbox-personal"),
            person_id=self._somebody(entry["person"]).id,
            scopes=frozenset(entry.get("scopes", ["spark:all"])),
            expires=self.now() + dt.timedelta(seconds=entry.get("life_s", 43_200)),
        )
        return []

    def _seed_revoke(self, entry: Answer) -> list[str]:
        if entry.get("access"):
            self.world.access.clear()
        if entry.get("refresh"):
            self.world.refresh.clear()
        return []

    def _seed_rooms(self, entry: Answer) -> list[str]:
        people = [self._somebody(email) for email in entry["members"]]
        return [self._new_room(entry["title"], "group", people[0], people).id]

    def _seed_say(self, entry: Answer) -> list[str]:
        person = self._somebody(entry["person"])
        to = self._somebody(entry["to"]) if "to" in entry else self.bot
        room = self.world.rooms[entry["room"]] if "room" in entry else self.direct_room(person, to)
        text = entry["text"]
        mentioned = []
        if entry.get("mention") and room.kind == "group":
            # What a client shows for a mention is part of the text.
            text, mentioned = f"{to.display_name} {text}", [to.id]
        return [self.post_message(room, person, text=text, mentioned=mentioned).id]

    def _seed_submit(self, entry: Answer) -> list[str]:
        person = self._somebody(entry["person"])
        message = self.world.messages.get(entry["message"]) if "message" in entry else self._last_card(person)
        if message is None:
            raise ValueError("there is no such message with a card")
        return [self.press(person, message, entry).id for _ in range(entry.get("times", 1))]

    def _last_card(self, person: Person) -> Message | None:
        for message in reversed(self.world.messages.values()):
            if message.cards and not message.deleted and person.id in self.members(message.room_id):
                return message
        return None

    def _seed_leave(self, entry: Answer) -> list[str]:
        person = self._somebody(entry["person"])
        if "room" not in entry:
            person.gone = True
        for membership in list(self.world.memberships.values()):
            if membership.person_id == person.id and membership.room_id == entry.get("room"):
                self.part(membership)
        return []

    def _seed_attend(self, entry: Answer) -> list[str]:
        meeting = self.world.meetings.get(entry["meeting"].partition("_")[0])
        if meeting is None or meeting.cancelled:
            raise ValueError(f"there is no meeting {entry['meeting']!r}")
        occurrence = self._attended(meeting, entry["meeting"])
        view = View(
            client_id=meeting.client_id,
            now=self.now(),
            zone="UTC",
            site=self.options.site,
            everybody_comes=self.options.attendance == "everybody",
        )
        meeting.absent.discard(occurrence.id)
        known = next((i for i in meeting.instances if i.occurrence == occurrence.id), None)
        if entry["state"] == "missed":
            meeting.instances = [i for i in meeting.instances if i.occurrence != occurrence.id]
            meeting.absent.add(occurrence.id)
            return []
        if entry["state"] not in ("started", "ended"):
            raise ValueError("a meeting can be started, ended or missed")
        if known is None:
            unique = shapes.instance_id(meeting, occurrence)
            known = Instance(id=unique, occurrence=occurrence.id, start=occurrence.start)
            meeting.instances.append(known)
            self.tell_meeting("started", meeting, self.host_of(meeting), view)
        if entry["state"] == "ended":
            known.end = min(occurrence.end, view.now) if occurrence.start < view.now else occurrence.end
            self.tell_meeting("ended", meeting, self.host_of(meeting), view)
        self.effect(f"meeting_{entry['state']}", meeting_id=meeting.id, instance_id=known.id)
        return [known.id]

    def _attended(self, meeting: Meeting, unique: str) -> Occurrence:
        """The occurrence of an id; of a series' id, the last one that has begun, or else the first."""
        known = shapes.occurrences(meeting)
        if unique == meeting.id:
            begun = [occurrence for occurrence in known if occurrence.start <= self.now()]
            return begun[-1] if begun else known[0]
        for occurrence in known:
            if occurrence.id == unique:
                return occurrence
        raise ValueError(f"there is no occurrence {unique!r}")
