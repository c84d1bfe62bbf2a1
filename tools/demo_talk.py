"""
A conversation with the bot, as two colleagues have it: one suggests another time, the other agrees.

What people do (write, press a button) is done in the simulated Webex, which delivers it to Airflow as Webex would; what
comes back is read there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

ANSWER_S = 120.0
ZONE = "Europe/Kyiv"  # as in include/config/webex_roulette.yaml


class TalkError(Exception):
    """The bot does not do what it should."""


def move_a_meeting(seed: Callable[[dict[str, Any]], object], state: Callable[[], Any]) -> Iterator[str]:
    """
    Have the first live meeting moved by a day.

    :param seed: lets people in the simulated Webex do something. :param state: reads what it holds.

    :return: what was said, for a person to read.
    :raises TalkError: no answer, or not this one.
    """
    talk = _Talk(seed, state)
    coming = [
        entry for entry in talk.meetings() if datetime.fromisoformat(entry["start"]) > datetime.now(UTC)
    ]
    meeting = min(coming, key=lambda entry: str(entry["start"]))
    proposer, *others = meeting["invitees"]
    before = datetime.fromisoformat(meeting["start"]).astimezone(ZoneInfo(ZONE))
    # It stays in its week, however often the demo is started.
    new = before + timedelta(days=1 if before.weekday() < 4 else -1)
    yield f"{proposer} writes: change"
    talk.say(proposer, "change")
    listing = talk.answer(proposer)
    yield f"the bot: {listing.splitlines()[0]} …"
    number = next(
        (line[0] for line in listing.splitlines() if f"{before:%H:%M}" in line and line[0].isdigit()), ""
    )
    if not number:
        raise TalkError(f"the bot lists no meeting of {proposer}")
    yield f"{proposer} writes: {number}"
    talk.say(proposer, number)
    talk.answer(proposer)
    yield f"{proposer} fills in the card: {new:%d/%m/%Y}, {new:%H:%M}"
    # As the Webex app for macOS writes a date.
    talk.press(proposer, "Suggest", day=f"{new:%d/%m/%Y}", clock=f"{new:%H:%M}")
    talk.answer(proposer)
    for other in others:
        talk.wait_for(other, "suggests another time")
        yield f"{other} presses: Yes (twice)"
        talk.press(other, "Yes", times=2)
    talk.wait_for(proposer, "all agree")
    (moved,) = [entry for entry in talk.meetings() if entry["meeting_id"] == meeting["meeting_id"]]
    if datetime.fromisoformat(moved["start"]) != new:
        raise TalkError(f"the meeting is at {moved['start']}, not at {new.isoformat()}")
    yield f"the same meeting is now at {new:%Y-%m-%d %H:%M}"


class _Talk:
    def __init__(self, seed: Callable[[dict[str, Any]], object], state: Callable[[], Any]) -> None:
        self._seed = seed
        self._state = state
        self._seen: dict[str, int] = {}

    def meetings(self) -> list[dict[str, Any]]:
        return [entry for entry in self._state()["meetings"] if entry["state"] == "live"]

    def said_to(self, person: str) -> list[str]:
        return [entry["text"] for entry in self._state()["messages"] if person in entry["to"]]

    def last(self, person: str) -> str:
        said = self.said_to(person)
        return said[-1] if said else ""

    def say(self, person: str, text: str) -> None:
        self._seen[person] = len(self.said_to(person))
        self._seed({"say": {"person": person, "text": text}})

    def press(self, person: str, button: str, *, times: int = 1, **inputs: str) -> None:
        self._seen[person] = len(self.said_to(person))
        self._seed({"submit": {"person": person, "button": button, "inputs": inputs, "times": times}})

    def answer(self, person: str) -> str:
        """What the bot says to somebody who has just written or pressed a button."""
        self.wait(lambda: len(self.said_to(person)) > self._seen[person], f"the bot does not answer {person}")
        return self.last(person)

    def wait_for(self, person: str, words: str) -> None:
        self.wait(lambda: words in self.last(person), f"{person} is not told that … {words} …")

    def wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        give_up_at = time.monotonic() + ANSWER_S
        while not condition():
            if time.monotonic() > give_up_at:
                raise TalkError(otherwise)
            time.sleep(0.3)
