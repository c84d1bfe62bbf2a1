"""What is asked for: the query of a synchronisation, checked as the vendor's own client writes it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.sandbox.vendors.spinoco.model import RECORDINGS, SUFFIXES, Task

LONGEST_TAG = 64
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HASH_TAG = re.compile(rf"{_UUID}(?::.+)?")
_SKILL = re.compile(r".{1,4}")
_KEYS = {
    "tag", "get", "delete", "fileNameTemplate", "startFrom",
    "skillsShould", "skillsMust", "skillsMustNot", "hashTagsShould", "hashTagsMust", "hashTagsMustNot",
}  # fmt: skip


class BadQuery(ValueError):
    """The query is not one that the vendor takes."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Of skills or hash tags: all of ``must``, one of ``should``, none of ``must_not``; empty: no condition."""

    must: tuple[str, ...]
    should: tuple[str, ...]
    must_not: tuple[str, ...]

    def fit(self, there: Sequence[str]) -> bool:
        def has(wanted: str) -> bool:
            # A hash tag without a value stands for any value of it.
            return any(tag == wanted or tag.split(":", 1)[0] == wanted for tag in there)

        return (
            all(map(has, self.must))
            and (not self.should or any(map(has, self.should)))
            and not any(map(has, self.must_not))
        )


@dataclass(frozen=True, kw_only=True)
class Query:
    tag: str
    get: tuple[str, ...]
    delete: tuple[str, ...]
    template: str
    start_from: dt.datetime | None
    skills: Conditions
    hash_tags: Conditions

    def covers(self, task: Task) -> bool:
        skills = [task.skill] if task.skill else []
        return self.skills.fit(skills) and self.hash_tags.fit(task.hash_tags)


def parse(data: Any) -> Query:
    """
    :raises BadQuery: says what is wrong.
    """
    if not isinstance(data, dict):
        raise BadQuery("query must be an object")
    if unknown := set(data) - _KEYS:
        raise BadQuery(f"unknown members {sorted(unknown)}")
    tag = data.get("tag")
    if not isinstance(tag, str) or not tag or len(tag.encode()) > LONGEST_TAG:
        raise BadQuery(f"tag must be text of 1 to {LONGEST_TAG} bytes")
    template = data.get("fileNameTemplate")
    if not isinstance(template, str) or not template:
        raise BadQuery("fileNameTemplate must be text")
    return Query(
        tag=tag,
        get=_types(data, "get", tuple(SUFFIXES)),
        delete=_types(data, "delete", (RECORDINGS,)),
        template=template,
        start_from=_start(data.get("startFrom")),
        skills=_conditions(data, "skills", _SKILL),
        hash_tags=_conditions(data, "hashTags", _HASH_TAG),
    )


def _types(data: dict[str, Any], key: str, allowed: Sequence[str]) -> tuple[str, ...]:
    text = data.get(key, "")
    if not isinstance(text, str):
        raise BadQuery(f"{key} must be a list in one text")
    names = tuple(name for name in text.split(",") if name)
    if unknown := [name for name in names if name not in allowed]:
        raise BadQuery(f"{key} has unknown data types {unknown}")
    return names


def _start(text: Any) -> dt.datetime | None:
    if text is None:
        return None
    if not isinstance(text, str) or not text.isdecimal():
        raise BadQuery("startFrom must be milliseconds in a text")
    return dt.datetime.fromtimestamp(int(text) / 1000, dt.UTC)


def _conditions(data: dict[str, Any], name: str, form: re.Pattern[str]) -> Conditions:
    found: dict[str, tuple[str, ...]] = {}
    for key in ("Must", "Should", "MustNot"):
        values = data.get(name + key, [])
        if not isinstance(values, list) or not all(isinstance(v, str) and form.fullmatch(v) for v in values):
            raise BadQuery(f"{name}{key} must be a list of {name}")
        found[key] = tuple(values)
    return Conditions(must=found["Must"], should=found["Should"], must_not=found["MustNot"])
