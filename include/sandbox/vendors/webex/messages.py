"""
Messages: to a person or into a room, with a card, listed, edited, deleted.

Sources: the official description of ``/messages``; texts of errors as tests of public clients assert them; the
guides on bots and on cards. Lengths count bytes of UTF-8. In a group, a bot sees what mentions it and what it
wrote itself.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

from include.sandbox.vendors.webex.answers import Refusal, answered, moment, new_id, not_found, page
from include.sandbox.vendors.webex.base import Call, api, text_of
from include.sandbox.vendors.webex.model import Message, Person, Room
from include.sandbox.vendors.webex.rooms import NO_PERSON, Rooms
from include.sandbox.wire import Response

MOST_BYTES = 7439
MOST_EDITS = 10
MOST_BUTTONS = 5
CARD = "application/vnd.microsoft.card.adaptive"
CARD_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
READ, WRITE = "spark:messages_read", "spark:messages_write"
DESTINATION = (
    "Message destination could not be determined. Provide only one destination in the roomId, toPersonEmail, or "
    "toPersonId field"
)
EMPTY = "Both text and file cannot be empty."
_MENTION = re.compile(r"<@person(Email|Id):([^|>]+)(?:\|([^>]*))?>")


class Messages(Rooms):
    @api("POST", "/messages", operation="create_message", scopes=[WRITE])
    def create_message(self, call: Call) -> Response:
        room, to = self._destination(call)
        text, markdown = self._texts(call)
        files, cards = _list(call, "files"), self._cards(call)
        if len(files) > 1:
            raise Refusal(400, "Only one file is allowed per message.")
        if not (text or markdown or files) and not (cards and not self.options.card_needs_text):
            raise Refusal(400, EMPTY)
        parent = text_of(call, "parentId")
        if parent is not None and parent not in self.world.messages:
            raise not_found("Could not find the parent message.")
        message = self.post_message(
            room, call.person, text=text, markdown=markdown, files=files, cards=cards, parent=parent
        )
        told = {"toPersonId": to[0], "toPersonEmail": to[1]}
        return answered(
            200, {**self.shown_message(message), **{name: value for name, value in told.items() if value}}
        )

    def post_message(
        self,
        room: Room,
        author: Person,
        *,
        text: str | None,
        markdown: str | None = None,
        files: list[str] | None = None,
        cards: list[dict[str, Any]] | None = None,
        parent: str | None = None,
        mentioned: list[str] | None = None,
    ) -> Message:
        """Somebody says something; whoever may know of it is told."""
        plain, people = self._plain(markdown or "")
        message = Message(
            id=new_id("MESSAGE"),
            room_id=room.id,
            person_id=author.id,
            created=self.now(),
            text=text if text is not None else plain,
            markdown=markdown,
            parent_id=parent,
            files=files or [],
            cards=cards or [],
            mentioned=mentioned if mentioned is not None else people,
        )
        self.world.messages[message.id] = message
        self.made(message.id)
        room.active = message.created
        self.effect(
            "message_sent",
            message_id=message.id,
            room_id=room.id,
            room_type=room.kind,
            sender=author.email,
            to=[self.world.people[unique].email for unique in self.members(room.id) if unique != author.id],
            text=message.text,
            cards=len(message.cards),
        )
        self._tell("created", message, author)
        return message

    def _destination(self, call: Call) -> tuple[Room, tuple[str | None, str | None]]:
        """The room, made if it is a first message to a person, and how that person was named."""
        room_id, unique, email = (text_of(call, n) for n in ("roomId", "toPersonId", "toPersonEmail"))
        if [room_id, unique, email].count(None) != 2:
            raise Refusal(400, DESTINATION)
        if room_id is not None:
            return self.room_of(call.person, room_id), (None, None)
        person = self.world.people.get(unique) if unique is not None else self.person_at(email)
        if person is None or person.gone:
            raise not_found(NO_PERSON)
        if person.id == call.person.id or (call.by_bot and person.kind == "bot"):
            raise Refusal(400, "Unable to post a message to this person.")
        return self.direct_room(call.person, person), (unique, email)

    def _texts(self, call: Call) -> tuple[str | None, str | None]:
        found = []
        for name in ("text", "markdown"):
            value = text_of(call, name)
            if len((value or "").encode()) > MOST_BYTES:
                raise Refusal(400, f"The {name} of a message is limited to {MOST_BYTES} bytes.")
            found.append(value)
        return found[0], found[1]

    def _cards(self, call: Call) -> list[dict[str, Any]]:
        cards = _list(call, "attachments")
        if len(cards) > 1:
            raise Refusal(400, "Only one card is allowed per message.")
        for card in cards:
            content = card.get("content") if isinstance(card, dict) else None
            if not isinstance(card, dict) or card.get("contentType") != CARD or not isinstance(content, dict):
                raise Refusal(400, f"An attachment needs the contentType {CARD} and a content.")
            if content.get("type") != "AdaptiveCard" or not isinstance(content.get("version"), str):
                raise Refusal(400, "Unable to retrieve content: not an AdaptiveCard with a version.")
            if self.options.strict_cards:
                self._check_card(content)
        return cards

    def _check_card(self, content: dict[str, Any]) -> None:
        if content["version"] not in CARD_VERSIONS:
            raise Refusal(400, f"Adaptive Card version {content['version']} is not supported.")
        if len(json.dumps(content, ensure_ascii=False).encode()) > self.options.card_limit_bytes:
            raise Refusal(400, "The card is too large.")
        if (
            sum(1 for element in elements(content) if element.get("type", "").startswith("Action."))
            > MOST_BUTTONS
        ):
            raise Refusal(400, f"A card has at most {MOST_BUTTONS} buttons.")

    def _plain(self, markdown: str) -> tuple[str, list[str]]:
        """Markdown as plain text, and the ids of the people it mentions."""
        mentioned: list[str] = []

        def name(found: re.Match[str]) -> str:
            person = self.person_at(found[2]) if found[1] == "Email" else self.world.people.get(found[2])
            if person is None:
                return found[3] or found[2]
            mentioned.append(person.id)
            return found[3] or person.display_name

        text = _MENTION.sub(name, markdown)
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
        return re.sub(
            r"\*\*|__|`|^#+ |(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)", "", text, flags=re.MULTILINE
        ), mentioned

    # Who sees what

    def sees(self, person: Person, message: Message) -> bool:
        if message.deleted or person.id not in self.members(message.room_id):
            return False
        in_group = self.world.rooms[message.room_id].kind == "group"
        return not (person.kind == "bot" and in_group) or person.id in (message.person_id, *message.mentioned)

    def _tell(self, event: str, message: Message, actor: Person) -> None:
        room = self.world.rooms[message.room_id]
        author = self.world.people[message.person_id]
        data: dict[str, Any] = {
            "id": message.id,
            "roomId": room.id,
            "roomType": room.kind,
            "personId": author.id,
            "personEmail": author.email,
            "created": moment(message.created),
        }
        if message.mentioned:
            data["mentionedPeople"] = list(message.mentioned)
        audience = [
            unique for unique in self.members(room.id) if self.sees(self.world.people[unique], message)
        ]
        if event == "deleted":
            audience = self.members(room.id)
        facts = {
            "hasFiles": str(bool(message.files)).lower(),
            "hasAttachments": str(bool(message.cards)).lower(),
        }
        self.notify("messages", event, data, actor, audience, facts)

    def _message(self, call: Call) -> Message:
        message = self.world.messages.get(call.request.params["id"])
        if message is None or not self.sees(call.person, message):
            raise not_found()
        return message

    def shown_message(self, message: Message) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": message.id,
            "roomId": message.room_id,
            "roomType": self.world.rooms[message.room_id].kind,
            "text": message.text,
            "personId": message.person_id,
            "personEmail": self.world.people[message.person_id].email,
            "created": moment(message.created),
        }
        optional: dict[str, Any] = {
            "parentId": message.parent_id,
            "markdown": message.markdown,
            "html": f"<p>{html.escape(message.markdown, quote=False)}</p>" if message.markdown else None,
            "files": message.files,
            "attachments": message.cards,
            "mentionedPeople": message.mentioned,
            "updated": moment(message.updated) if message.updated else None,
        }
        return {**shown, **{name: value for name, value in optional.items() if value}}

    # Reading, editing, deleting

    @api("GET", "/messages/direct", operation="list_direct_messages", scopes=[READ])
    def list_direct_messages(self, call: Call) -> Response:
        unique, email = call.arg("personId"), call.arg("personEmail")
        if (unique is None) == (email is None):
            raise Refusal(400, "Provide either personId or personEmail.")
        person = self.world.people.get(unique) if unique is not None else self.person_at(email)
        if person is None:
            raise not_found(NO_PERSON)
        room = self.known_direct_room(call.person, person)
        if room is None:
            raise not_found()
        return self._listed(call, room.id, most=50)

    @api("GET", "/messages", operation="list_messages", scopes=[READ])
    def list_messages(self, call: Call) -> Response:
        if call.arg("roomId") is None:
            raise Refusal(400, "roomId is required.")
        room = self.room_of(call.person, call.arg("roomId"))
        mentions = call.request.query.get("mentionedPeople", [])
        if set(mentions) - {"me", call.person.id}:
            raise Refusal(400, "mentionedPeople can only be me.")
        if call.by_bot and room.kind == "group" and not mentions:
            raise Refusal(403, "Bots can only list messages that mention them: mentionedPeople=me is needed.")
        return self._listed(call, room.id, most=100 if mentions else 1000, mentions=bool(mentions))

    def _listed(self, call: Call, room_id: str, *, most: int, mentions: bool = False) -> Response:
        found = [
            message
            for message in reversed(self.world.messages.values())
            if message.room_id == room_id
            and self.sees(call.person, message)
            and (not mentions or call.person.id in message.mentioned)
            and call.arg("parentId") in (None, message.parent_id)
        ]
        if (before := call.arg("beforeMessage")) is not None:
            ids = [message.id for message in found]
            found = found[ids.index(before) + 1 :] if before in ids else []
        if (until := call.arg("before")) is not None:
            found = [message for message in found if moment(message.created) < until]
        shown = [self.shown_message(message) for message in found]
        if self.world.rooms[room_id].kind == "direct":
            for entry in shown:
                entry.pop("mentionedPeople", None)
        return page(call.request, shown, default=50, most=most)

    @api("GET", "/messages/{id}", operation="get_message", scopes=[READ])
    def get_message(self, call: Call) -> Response:
        message = self._message(call)
        self.lagging(message.id)
        return answered(200, self.shown_message(message))

    @api("PUT", "/messages/{id}", operation="edit_message", scopes=[WRITE])
    def edit_message(self, call: Call) -> Response:
        message = self._message(call)
        if message.person_id != call.person.id:
            raise Refusal(403, "Only the author can edit a message.")
        if text_of(call, "roomId", needed=True) != message.room_id:
            raise Refusal(400, "roomId is not the room of the message.")
        if "html" in call.body:
            raise Refusal(400, "An edit must not contain html.")
        text, markdown = self._texts(call)
        if not (text or markdown):
            raise Refusal(400, EMPTY)
        if message.files or message.cards:
            raise Refusal(400, "Editing messages with files or attachments is not supported.")
        if message.edits >= MOST_EDITS:
            raise Refusal(400, f"A message can be edited at most {MOST_EDITS} times.")
        plain, message.mentioned = self._plain(markdown or "")
        message.text, message.markdown = text if text is not None else plain, markdown
        message.edits += 1
        message.updated = self.now()
        self.effect("message_edited", message_id=message.id, text=message.text)
        self._tell("updated", message, call.person)
        return answered(200, self.shown_message(message))

    @api("DELETE", "/messages/{id}", operation="delete_message", scopes=[WRITE])
    def delete_message(self, call: Call) -> Response:
        message = self._message(call)
        if message.person_id != call.person.id:
            raise Refusal(403, "Only the author can delete a message.")
        message.deleted = True
        self.effect("message_deleted", message_id=message.id)
        self._tell("deleted", message, call.person)
        return answered(204)


def _list(call: Call, name: str) -> list[Any]:
    value = call.body.get(name) or []
    if not isinstance(value, list):
        raise Refusal(400, f"'{name}' must be an array.")
    return value


def elements(card: Any) -> list[dict[str, Any]]:
    """All objects of a card that have a type, however deep."""
    found: list[dict[str, Any]] = []
    if isinstance(card, dict):
        if isinstance(card.get("type"), str):
            found.append(card)
        for value in card.values():
            found += elements(value)
    elif isinstance(card, list):
        for value in card:
            found += elements(value)
    return found
