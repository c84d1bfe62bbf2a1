"""
Templates of file names, as Spinoco's server fills them in.

The server evaluates them, so a mistake shows only in the names of files that are stored already. What can be known
before the first download is checked here: placeholders, the letters of Java's SimpleDateFormat, and whether two tasks
must get one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from interchange.core.suggest import did_you_mean

FIELDS = ("task_id", "due_date", "call_from", "call_to")
"""What a placeholder may name; only ``due_date`` takes a pattern."""
DATE_LETTERS = frozenset("GyYMLwWDdFEuaHkKhmsSzZX")
"""Letters that mean something to SimpleDateFormat."""

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD = re.compile(r"\s*(\w*)\s*(?:\|(.*))?", re.DOTALL)
_QUOTED = re.compile(r"'(?:[^']|'')*'")
# Each must be there for a moment to be told from every other one, to the second.
_MOMENT = {"year": "yY", "month": "ML", "day": "d", "hour": "HkKh", "minute": "m", "second": "s"}


def template_problems(template: str) -> Iterator[str]:
    """What is wrong with a template, a sentence for each; nothing if it can be used."""
    if re.search(r"[{}]", _PLACEHOLDER.sub("", template)):
        yield f"{template!r} has a brace without its partner; a placeholder is {{{{name}}}} or {{{{due_date|pattern}}}}"
        return
    names: list[str] = []
    letters: set[str] = set()
    wrong = False
    for content in _PLACEHOLDER.findall(template):
        found = _FIELD.fullmatch(content)
        name, pattern = found.groups() if found else (content.strip(), None)
        mistakes = list(_placeholder_problems(name, pattern))
        yield from mistakes
        wrong = wrong or bool(mistakes)
        names.append(name)
        if name == "due_date" and pattern is not None:
            letters.update(_letters(pattern))
    if not wrong:
        yield from _collision(template, names, letters)


def _placeholder_problems(name: str, pattern: str | None) -> Iterator[str]:
    shown = f"{{{{{name}}}}}"
    if name not in FIELDS:
        yield f"{shown} is not known; allowed: {', '.join(FIELDS)}.{did_you_mean(name, FIELDS)}"
    elif name != "due_date":
        if pattern is not None:
            yield f"{shown} takes no pattern; only due_date does"
    elif not pattern:
        yield "{{due_date}} needs a pattern, such as {{due_date|yyyyMMddHHmmss}}"
    elif "'" in _QUOTED.sub("", pattern):
        yield f"the pattern {pattern!r} has a quotation mark without its partner"
    elif unknown := sorted(_letters(pattern) - DATE_LETTERS):
        yield f"the pattern {pattern!r} has the letter {unknown[0]!r}, which means nothing to SimpleDateFormat"


def _letters(pattern: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]", _QUOTED.sub("", pattern)))


def _collision(template: str, names: list[str], letters: set[str]) -> Iterator[str]:
    if "task_id" in names:
        return
    missing = [word for word, some in _MOMENT.items() if not letters.intersection(some)]
    if "D" in letters:
        missing = [word for word in missing if word not in ("month", "day")]
    if letters & set("Kh") and not letters & set("Hk") and "a" not in letters:
        missing.append("half of the day (hh is 1-12, HH is 0-23)")
    if missing:
        hint = " (mm is minutes, MM is months)" if "month" in missing and "m" in letters else ""
        yield (
            f"{template!r} must give different tasks one name: add {{{{task_id}}}}, or to the date: "
            f"{', '.join(missing)}{hint}"
        )
