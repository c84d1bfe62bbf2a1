"""What people write to the bot: commands, numbers, days; never guessed where it could mean two things."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

_DAY = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})", re.ASCII)
# As some clients of Webex send a date, and as most of Europe writes it.
_OTHER_DAY = re.compile(r"(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{4})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,4}")
# "2nd", "3 please", "no. 2": short, and one number in it.
_NEARLY = re.compile(r"[^0-9]{0,16}(?P<number>[0-9]{1,4})[^0-9]{0,16}")
_UNTIL = re.compile(r"(?:until|till|to)\s+", re.IGNORECASE)


class Word(StrEnum):
    """What a text asks for."""

    LIST = "list"
    """Anything else: the meetings are listed."""
    NUMBER = "number"
    NEARLY = "nearly"
    """There is a number in it, but also something else."""
    PAUSE = "pause"
    RESUME = "resume"
    SKIP = "skip"
    HELP = "help"
    STATS = "stats"
    INFORM = "inform"
    FORGET = "forget"
    UNKNOWN = "unknown"
    """A command that there is not."""


_WITH_MORE = {Word.PAUSE, Word.FORGET}
_COMMANDS = {
    "change": Word.LIST,
    **{str(word): word for word in Word if word not in (Word.NUMBER, Word.NEARLY, Word.UNKNOWN, Word.LIST)},
}


@dataclass(frozen=True, kw_only=True)
class Said:
    """
    :param number: of ``NUMBER`` and ``NEARLY``.
    :param rest: what stands behind the command.
    """

    word: Word
    number: int | None = None
    rest: str = ""

    @property
    def day(self) -> date | None:
        """The day behind ``/pause until``; None if there is none, or none that is clear."""
        return parse_day(_UNTIL.sub("", self.rest, count=1))


def read(text: str, *, names: Collection[str] = ()) -> Said:
    """
    What a text means.

    Commands begin with a slash; without it they count if they stand alone, or as ``pause until``.

    :param names: of the bot: in a group space the text begins with the one that was mentioned.
    """
    text = without_mention(" ".join(text.split()), names)
    if _NUMBER.fullmatch(text):
        return Said(word=Word.NUMBER, number=int(text))
    first, _, rest = text.partition(" ")
    rest = rest.strip()
    word = _COMMANDS.get(first.lstrip("/").lower())
    if first.startswith("/"):
        return Said(word=word or Word.UNKNOWN, rest=rest)
    if word is not None and (not rest or (word is Word.PAUSE and _UNTIL.match(rest))):
        return Said(word=word, rest=rest)
    if found := _NEARLY.fullmatch(text):
        return Said(word=Word.NEARLY, number=int(found["number"]))
    return Said(word=Word.LIST)


def without_mention(text: str, names: Collection[str]) -> str:
    """
    A text without the bot's name in front, in whatever letter case; the longest of its names counts.

    Webex shows a mention as the name alone, or with an @.
    """
    folded = text.casefold()
    for name in sorted((name for name in names if name.strip()), key=len, reverse=True):
        for mention in (name, f"@{name}"):
            shown = " ".join(mention.casefold().split())
            if folded == shown or folded.startswith((f"{shown} ", f"{shown},", f"{shown}:")):
                return text[len(shown) :].lstrip(" ,:")
    return text


def parse_day(text: str) -> date | None:
    """``2026-12-24`` or ``24/12/2026`` as a day; None if it is neither, or there is no such day."""
    found = _DAY.fullmatch(text.strip()) or _OTHER_DAY.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return date(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        return None
