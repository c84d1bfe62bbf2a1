"""
Invented people and answers: the same for the same key, on every machine and Python.

Draws come from a hash, not from ``random``, whose methods may change between versions of Python.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from include.sandbox.vendors.qualtrics.data import Question, Survey

BEGIN = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
"""When the default surveys were made, and their generated responses begin."""

PEOPLE = (
    ("Zoë", "Łukaszewicz", "zlukaszewicz"),
    ("José", "Núñez", "jnunez"),
    ("Mary-Ann", "O'Neill", "moneill"),
    ("Ngọc", "Trần", "ntran"),
    ("Søren", "Ørsted", "sorsted"),
    ("陽子", "佐藤", "ysato"),
    ("Дарина", "Коваль", "dkoval"),
    ("Amélie", "d'Aubigné", "adaubigne"),
    ("Sam", "Smith, Jr.", "ssmith"),
    ("نور", "حداد", "nhaddad"),
)
COMMENTS = (
    "Nothing to report.",
    'She said "fine", then left;\nback on Monday.',
    "Fièvre légère, 38,2 °C — naïve estimate…",
    "Line one\nLine two, with a comma\n\nLine four",
    "=1+1 is not a formula here",
    "très bien 👍🏽",
    "",
    "お腹が痛い",
    '"quoted"',
    "tab\there and a trailing space ",
)
LANGUAGES = ("EN", "FR", "UK", "ES", "JA")
CHANNELS = ("email", "anonymous", "qr")
T = TypeVar("T")


class Draw:
    """A text, and numbers, that depend on the key alone. The numbers end, in zeros, after 416 bits."""

    def __init__(self, key: str) -> None:
        digest = hashlib.blake2b(key.encode(), digest_size=64).digest()
        self.text = base64.b32encode(digest[:10]).decode()[:15]
        self._left = int.from_bytes(digest[12:], "big")

    def below(self, bound: int) -> int:
        self._left, drawn = divmod(self._left, bound)
        return drawn

    def one_of(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]


def values(survey: Survey, draw: Draw, *, finished: bool) -> dict[str, Any]:
    """Answers and metadata of one response, by import id."""
    first, last, net_id = draw.one_of(PEOPLE)
    found: dict[str, Any] = {
        "status": 0,
        "progress": 100 if finished else 10 * draw.below(10),
        "distributionChannel": draw.one_of(CHANNELS),
        "userLanguage": draw.one_of(LANGUAGES),
        "externalDataReference": net_id,
    }
    if not survey.anonymous:
        found |= {
            "ipAddress": f"192.0.2.{draw.below(255)}",
            "recipientLastName": last,
            "recipientFirstName": first,
            "recipientEmail": f"{net_id}@example.edu",
            "locationLatitude": f"37.{draw.below(10000):04}",
            "locationLongitude": f"-76.{draw.below(10000):04}",
        }
    for question in survey.questions:
        found[question.import_id] = _answer(question, draw)
    for name in survey.embedded:
        found[name] = net_id if name == "NetID" else f"{name} {1 + draw.below(9)}"
    return found


def _answer(question: Question, draw: Draw) -> Any:
    codes = [code for code, _ in question.choices]
    match question.kind:
        case "choice":
            return draw.one_of(codes) if draw.below(12) else None
        case "multi":
            return [code for code in codes if draw.below(2)] or None
        case "number":
            return round(36.0 + draw.below(40) / 10, 1)
        case _:
            return draw.one_of(COMMENTS) or None
