"""
Rooms and who is in them. Source: the official descriptions of ``/rooms`` and ``/memberships``.

A room that one is not a member of does not exist for one.
"""

from __future__ import annotations

from typing import Any

from include.sandbox.vendors.webex.answers import Refusal, answered, moment, new_id, not_found, page
from include.sandbox.vendors.webex.base import Call, api, text_of
from include.sandbox.vendors.webex.model import ORG_ID, Membership, Person, Room
from include.sandbox.vendors.webex.notices import Notices
from include.sandbox.wire import Response

NO_ROOM = "Could not find a room with provided ID."
NO_PERSON = "Failed to find user with specified email address."
MOST = 1000


class Rooms(Notices):
    # What other parts use

    def members(self, room_id: str) -> list[str]:
        room = self.world.rooms.get(room_id)
        return list(room.members) if room else []

    def room_of(self, person: Person, room_id: str | None) -> Room:
        """
        A room that a person is in.

        :raises Refusal: 404.
        """
        room = self.world.rooms.get(room_id or "")
        if room is None or person.id not in self.members(room.id):
            raise not_found(NO_ROOM)
        return room

    def direct_room(self, one: Person, other: Person) -> Room:
        """The room of two people, which comes into being with their first message."""
        known = self.known_direct_room(one, other)
        return known or self._new_room(other.display_name, "direct", one, [one, other])

    def known_direct_room(self, one: Person, other: Person) -> Room | None:
        pair = {one.id, other.id}
        rooms = (room for room in self.world.rooms.values() if room.kind == "direct")
        return next((room for room in rooms if set(room.members) == pair), None)

    def _new_room(self, title: str, kind: str, creator: Person, people: list[Person]) -> Room:
        now = self.now()
        room = Room(id=new_id("ROOM"), title=title, kind=kind, creator_id=creator.id, created=now, active=now)
        self.world.rooms[room.id] = room
        for person in people:
            self._join(room, person, creator)
        self.effect("room_created", room_id=room.id, room_type=kind, title=title)
        return room

    def _join(self, room: Room, person: Person, actor: Person, *, moderator: bool = False) -> Membership:
        membership = Membership(
            id=new_id("MEMBERSHIP"),
            room_id=room.id,
            person_id=person.id,
            created=self.now(),
            moderator=moderator,
        )
        self.world.memberships[membership.id] = membership
        room.members.append(person.id)
        shown = self._shown_membership(membership)
        self.notify("memberships", "created", shown, actor, self.members(room.id))
        return membership

    def part(self, membership: Membership) -> None:
        """Somebody is in a room no more."""
        del self.world.memberships[membership.id]
        self.world.rooms[membership.room_id].members.remove(membership.person_id)

    # Rooms

    @api("POST", "/rooms", operation="create_room", scopes=["spark:rooms_write"])
    def create_room(self, call: Call) -> Response:
        title = text_of(call, "title", needed=True) or ""
        room = self._new_room(title, "group", call.person, [call.person])
        self.notify("rooms", "created", self._shown_room(room, call.person), call.person, [call.person.id])
        return answered(200, self._shown_room(room, call.person))

    @api("GET", "/rooms", operation="list_rooms", scopes=["spark:rooms_read"])
    def list_rooms(self, call: Call) -> Response:
        kind = call.arg("type")
        if kind not in (None, "direct", "group"):
            raise Refusal(400, "Invalid value for type.")
        mine = [
            self._shown_room(room, call.person)
            for room in self.world.rooms.values()
            if call.person.id in self.members(room.id) and kind in (None, room.kind)
        ]
        return page(call.request, mine, default=100, most=MOST)

    @api("GET", "/rooms/{id}", operation="get_room", scopes=["spark:rooms_read"])
    def get_room(self, call: Call) -> Response:
        room = self.room_of(call.person, call.request.params["id"])
        return answered(200, self._shown_room(room, call.person))

    @api("DELETE", "/rooms/{id}", operation="delete_room", scopes=["spark:rooms_write"])
    def delete_room(self, call: Call) -> Response:
        room = self.room_of(call.person, call.request.params["id"])
        if room.kind == "direct":
            raise Refusal(400, "A direct room cannot be deleted.")
        self.notify(
            "rooms", "deleted", self._shown_room(room, call.person), call.person, self.members(room.id)
        )
        del self.world.rooms[room.id]
        kept = {m.id: m for m in self.world.memberships.values() if m.room_id != room.id}
        self.world.memberships = kept
        self.effect("room_deleted", room_id=room.id)
        return answered(204)

    def _shown_room(self, room: Room, viewer: Person) -> dict[str, Any]:
        title = room.title
        if room.kind == "direct":
            others = [unique for unique in self.members(room.id) if unique != viewer.id]
            title = self.world.people[others[0]].display_name if others else title
        return {
            "id": room.id,
            "title": title,
            "type": room.kind,
            "isLocked": False,
            "lastActivity": moment(room.active),
            "creatorId": room.creator_id,
            "created": moment(room.created),
            "ownerId": ORG_ID,
            "isPublic": False,
            "isReadOnly": False,
        }

    # Memberships

    @api("POST", "/memberships", operation="create_membership", scopes=["spark:memberships_write"])
    def create_membership(self, call: Call) -> Response:
        room = self.room_of(call.person, text_of(call, "roomId", needed=True))
        if room.kind == "direct":
            raise Refusal(400, "Nobody can be added to a direct room.")
        unique, email = text_of(call, "personId"), text_of(call, "personEmail")
        if (unique is None) == (email is None):
            raise Refusal(400, "Provide either personId or personEmail.")
        person = self.world.people.get(unique) if unique else self.person_at(email)
        if person is None or person.gone:
            raise not_found(NO_PERSON)
        if person.id in self.members(room.id):
            raise Refusal(409, "User is already a participant in the room.")
        membership = self._join(room, person, call.person, moderator=call.body.get("isModerator") is True)
        self.effect("member_added", room_id=room.id, person=person.email)
        return answered(200, self._shown_membership(membership))

    @api("GET", "/memberships", operation="list_memberships", scopes=["spark:memberships_read"])
    def list_memberships(self, call: Call) -> Response:
        room_id, unique, email = call.arg("roomId"), call.arg("personId"), call.arg("personEmail")
        if room_id is None and (unique or email):
            raise Refusal(400, "roomId is required with personId or personEmail.")
        if room_id is not None:
            self.room_of(call.person, room_id)
        found = []
        for membership in self.world.memberships.values():
            person = self.world.people[membership.person_id]
            in_scope = (
                membership.room_id == room_id
                if room_id is not None
                else call.person.id in self.members(membership.room_id)
            )
            if (
                in_scope
                and unique in (None, person.id)
                and (email is None or email.casefold() in (known.casefold() for known in person.emails))
            ):
                found.append(self._shown_membership(membership))
        return page(call.request, found, default=100, most=MOST)

    @api("GET", "/memberships/{id}", operation="get_membership", scopes=["spark:memberships_read"])
    def get_membership(self, call: Call) -> Response:
        return answered(200, self._shown_membership(self._membership(call)))

    @api("DELETE", "/memberships/{id}", operation="delete_membership", scopes=["spark:memberships_write"])
    def delete_membership(self, call: Call) -> Response:
        membership = self._membership(call)
        shown, audience = self._shown_membership(membership), self.members(membership.room_id)
        self.part(membership)
        self.notify("memberships", "deleted", shown, call.person, audience)
        self.effect("member_removed", room_id=membership.room_id, person=shown["personEmail"])
        return answered(204)

    def _membership(self, call: Call) -> Membership:
        membership = self.world.memberships.get(call.request.params["id"])
        if membership is None or call.person.id not in self.members(membership.room_id):
            raise not_found()
        return membership

    def _shown_membership(self, membership: Membership) -> dict[str, Any]:
        person = self.world.people[membership.person_id]
        return {
            "id": membership.id,
            "roomId": membership.room_id,
            "personId": person.id,
            "personEmail": person.email,
            "personDisplayName": person.display_name,
            "personOrgId": ORG_ID,
            "isModerator": membership.moderator,
            "isMonitor": False,
            "isRoomHidden": False,
            "roomType": self.world.rooms[membership.room_id].kind,
            "created": moment(membership.created),
        }
