"""
Webex's REST API, version 1, in a box: all its parts, on one port, below ``/v1``.

The official description (webex/webex-openapi-specs, CC BY 4.0) gives paths, fields and limits; a copy of the
parts used here stands in ``tests/specs/webex``. What it leaves open is a switch:
:class:`include.sandbox.vendors.webex.switches.Switches`.
"""

from __future__ import annotations

from typing import Any

from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import meeting_shapes as shapes
from include.sandbox.vendors.webex.by_hand import ByHand
from include.sandbox.vendors.webex.courier import Courier
from include.sandbox.vendors.webex.meeting_lists import MeetingLists
from include.sandbox.vendors.webex.meeting_shapes import View
from include.sandbox.vendors.webex.model import Meeting
from include.sandbox.vendors.webex.people import People
from include.sandbox.vendors.webex.seeds import first_world
from include.sandbox.vendors.webex.sign_in import SignIn
from include.sandbox.vendors.webex.switches import Switches
from include.sandbox.vendors.webex.webhooks import Webhooks


class Webex(SignIn, People, ByHand, MeetingLists, Webhooks):
    def __init__(self, sandbox: Sandbox) -> None:
        self.generation = 0
        self.courier = Courier(
            switches=self._switches,
            wanted=self.parcel_wanted,
            report=self.delivered,
            ca_bundle=sandbox.ca_bundle,
        )
        super().__init__(sandbox)

    def _switches(self) -> Switches:
        return self.options

    def clear(self) -> None:
        self.generation += 1
        self.courier.forget()
        self.calls = {}
        self.world = first_world(self.now(), self.options.refresh_life_s)

    def close(self) -> None:
        self.courier.close()

    def set_options(self, values: dict[str, Any]) -> None:
        super().set_options(values)
        self.courier.wake()

    def dump(self) -> Any:
        return self.world

    def load(self, dumped: Any) -> None:
        self.world = dumped

    def snapshot(self) -> dict[str, Any]:
        """Everything but tokens, secrets and passwords."""
        world = self.world
        return {
            "people": [
                {
                    "id": person.id,
                    "emails": person.emails,
                    "displayName": person.display_name,
                    "department": person.department,
                    "timezone": person.timezone,
                    "type": person.kind,
                    "gone": person.gone,
                }
                for person in world.people.values()
            ],
            "rooms": [
                {
                    "id": room.id,
                    "title": room.title,
                    "type": room.kind,
                    "members": [world.people[unique].email for unique in self.members(room.id)],
                }
                for room in world.rooms.values()
            ],
            "messages": [
                {
                    **self.shown_message(message),
                    "deleted": message.deleted,
                    "edits": message.edits,
                    "to": [
                        world.people[unique].email
                        for unique in self.members(message.room_id)
                        if unique != message.person_id
                    ],
                }
                for message in world.messages.values()
                if message.room_id in world.rooms
            ],
            "actions": [
                {
                    "id": a.id,
                    "messageId": a.message_id,
                    "person": world.people[a.person_id].email,
                    "inputs": a.inputs,
                }
                for a in world.actions.values()
            ],
            "webhooks": [
                {**self.shown_webhook(hook), "secret": bool(hook.secret), "failures": len(hook.failures)}
                for hook in world.webhooks.values()
            ],
            "deliveries_pending": self.courier.pending,
            "meetings": [self._summary(meeting) for meeting in world.meetings.values()],
            "mails": world.mails,
            "meetings_created_in_24h": len(world.creations),
        }

    def _summary(self, meeting: Meeting) -> dict[str, Any]:
        view = View(
            client_id=meeting.client_id,
            now=self.now(),
            zone="UTC",
            site=self.options.site,
            everybody_comes=self.options.attendance == "everybody",
        )
        states = shapes.states(meeting, view)
        return {
            **self.facts(meeting),
            "state": "cancelled" if meeting.cancelled else "live",
            "webLink": shapes.link_of(meeting, view.site),
            "occurrences": [
                {
                    "id": o.id,
                    "start": shapes.time_text(o.start, "UTC"),
                    "end": shapes.time_text(o.end, "UTC"),
                    "state": states[o.id],
                }
                for o in shapes.occurrences(meeting)
            ],
        }
