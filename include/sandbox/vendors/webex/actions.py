"""
What people do with cards: submissions, by the API and by a person's hand.

Sources: the official description of ``/attachment/actions``, the cards guide, and captured payloads in a public
bot's README. ``inputs`` holds the inputs by their ids, all as text, together with the pressed button's
``data``. ``Input.Date`` comes as ``DD/MM/YYYY`` from some clients and as ``YYYY-MM-DD`` from others.
"""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

from include.sandbox.vendors.webex.answers import Refusal, answered, moment, new_id, not_found
from include.sandbox.vendors.webex.base import Call, api, text_of
from include.sandbox.vendors.webex.messages import READ, WRITE, Messages, elements
from include.sandbox.vendors.webex.model import Action, Message, Person
from include.sandbox.wire import Response

FORMATS = {"YYYY-MM-DD": "%Y-%m-%d", "DD/MM/YYYY": "%d/%m/%Y"}


class Actions(Messages):
    @api("POST", "/attachment/actions", operation="create_action", scopes=[WRITE])
    def create_action(self, call: Call) -> Response:
        if call.body.get("type") != "submit":
            raise Refusal(400, "The type of an attachment action must be submit.")
        message = self.world.messages.get(text_of(call, "messageId", needed=True) or "")
        if message is None or not self.sees(call.person, message):
            raise not_found()
        inputs = call.body.get("inputs")
        if not message.cards or not isinstance(inputs, dict):
            raise Refusal(400, "A submission needs a message with a card, and inputs.")
        return answered(202, _shown(self._act(message, call.person, inputs)))

    @api("GET", "/attachment/actions/{id}", operation="get_action", scopes=[READ])
    def get_action(self, call: Call) -> Response:
        action = self.world.actions.get(call.request.params["id"])
        if action is None or call.person.id not in self._audience(action):
            raise not_found()
        self.lagging(action.id)
        return answered(200, _shown(action))

    def press(self, person: Person, message: Message, asked: dict[str, Any]) -> Action:
        """
        A person fills a card's form and presses a button of it. Nothing is checked: neither that the vendor still shows
        them the card, nor that required inputs are filled; old clients do not either.

        :param asked: ``inputs`` by id, ``button`` (its title, its ``data``'s id or its number from 0) and
            ``date_format``.
        :raises ValueError: the message has no such button.
        """
        if not message.cards:
            raise ValueError("the message has no card")
        parts = elements(message.cards[0]["content"])
        buttons = [part for part in parts if part["type"] in ("Action.Submit", "Action.Execute")]
        inputs = {
            str(part["id"]): str(part["value"])
            for part in parts
            if part["type"].startswith("Input.") and part.get("id") and part.get("value") is not None
        }
        pattern = FORMATS[asked.get("date_format", "YYYY-MM-DD")]
        dates = {part.get("id") for part in parts if part["type"] == "Input.Date"}
        for name, value in asked.get("inputs", {}).items():
            inputs[name] = str(value)
            if name in dates and _is_day(str(value)):
                inputs[name] = dt.date.fromisoformat(str(value)).strftime(pattern)
        data = _button(buttons, asked.get("button", 0)).get("data", {})
        return self._act(message, person, {**inputs, **(data if isinstance(data, dict) else {})})

    def _act(self, message: Message, person: Person, inputs: dict[str, Any]) -> Action:
        action = Action(
            id=new_id("ATTACHMENT_ACTION"),
            message_id=message.id,
            room_id=message.room_id,
            person_id=person.id,
            inputs=copy.deepcopy(inputs),
            created=self.now(),
        )
        self.world.actions[action.id] = action
        self.made(action.id)
        self.effect("card_submitted", action_id=action.id, message_id=message.id, person=person.email)
        data = _shown(action)
        del data["inputs"]
        self.notify("attachmentActions", "created", data, person, self._audience(action))
        return action

    def _audience(self, action: Action) -> set[str]:
        """Its person, the card's author, and the room's people; no bot that has nothing to do with it."""
        author = self.world.messages[action.message_id].person_id
        people = {
            unique for unique in self.members(action.room_id) if self.world.people[unique].kind != "bot"
        }
        return people | {author, action.person_id}


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _button(buttons: list[dict[str, Any]], wanted: str | int) -> dict[str, Any]:
    for number, button in enumerate(buttons):
        data = button.get("data")
        if wanted in (number, button.get("title"), button.get("id")) or (
            isinstance(data, dict) and wanted in data.values()
        ):
            return button
    raise ValueError(
        f"the card has no button {wanted!r}; it has {[button.get('title') for button in buttons]}"
    )


def _shown(action: Action) -> dict[str, Any]:
    return {
        "id": action.id,
        "type": "submit",
        "messageId": action.message_id,
        "inputs": copy.deepcopy(action.inputs),
        "personId": action.person_id,
        "roomId": action.room_id,
        "created": moment(action.created),
    }
