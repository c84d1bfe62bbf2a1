"""
Spinoco's files: which one is sound, where it is stored, when its original may be deleted.

A file's identity is its task and its path at the source, whatever tag or account brought it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

from interchange.core.ogg import FIELD, OggInspector
from interchange.core.safe_names import comparison_key, distinct, safe_path
from interchange.errors import BadRecord

RECORDING = ".ogg"
TRANSCRIPTION = ".trans.json"
JSON_LIMIT = 16 * 1024 * 1024
"""Bytes of a JSON file, which is held in memory; a long call's transcription has two million."""


class Checker(Protocol):
    """Watches one file. Feed every byte once and in order, then call :meth:`finish`."""

    def feed(self, data: bytes, /) -> None:
        """:raises BadRecord: it is already clear that the file is not sound."""

    def finish(self) -> object:
        """:raises BadRecord: the file is empty, cut off, or not what it should be."""


class NotEmpty:
    """Of a kind of file that we do not know: all that can be asked."""

    def __init__(self) -> None:
        self._size = 0

    def feed(self, data: bytes, /) -> None:
        self._size += len(data)

    def finish(self) -> None:
        if not self._size:
            raise BadRecord(FIELD, "is empty")


class JsonChecker:
    """One JSON value in UTF-8, of at most :data:`JSON_LIMIT` bytes."""

    def __init__(self) -> None:
        self._content = bytearray()

    def feed(self, data: bytes, /) -> None:
        if len(self._content) + len(data) > JSON_LIMIT:
            self._content.clear()
            raise BadRecord(FIELD, f"is longer than {JSON_LIMIT} bytes, which no JSON of a task is")
        self._content += data

    def finish(self) -> None:
        if not self._content:
            raise BadRecord(FIELD, "is empty")
        try:
            json.loads(self._content.decode(), parse_constant=_no_json)
        except RecursionError:
            raise BadRecord(FIELD, "is nested too deeply to be JSON of a task") from None
        except UnicodeDecodeError as exc:
            raise BadRecord(FIELD, f"is not UTF-8 at byte {exc.start}") from None
        except json.JSONDecodeError as exc:
            # Not the decoder's own text alone: it may not quote what the file says.
            raise BadRecord(FIELD, f"is no JSON from character {exc.pos} on") from None
        except ValueError:
            raise BadRecord(FIELD, "has a number that JSON has not") from None


def _no_json(_constant: str) -> NoReturn:
    raise ValueError


def checker_of(name: str) -> Checker:
    """What looks at a file while it is moved, by the suffix of the server's name for it."""
    lower = name.lower()
    if lower.endswith(RECORDING):
        return OggInspector()
    return JsonChecker() if lower.endswith(".json") else NotEmpty()


def comes_late(name: str) -> bool:
    """Whether a file that is not there may still be made: a transcription takes its time."""
    return name.lower().endswith(TRANSCRIPTION)


def source_path(path: str) -> str:
    """A path at the source in one spelling: the server may leave out the leading slash."""
    return "/" + path.lstrip("/")


def file_key(task_id: str, path: str) -> str:
    """The ledger's key of a file: its task, and its path at the source as a hash, for that may name a person."""
    return f"{task_id}/{hashlib.sha256(source_path(path).encode(errors='surrogatepass')).hexdigest()[:32]}"


def stored_path(name: str, key: str, taken: Mapping[str, str]) -> str:
    """
    Where a file is stored. The first file of a name gets it; another one is marked by where it comes from.

    :param name: the server's.
    :param key: :func:`file_key` of the file.
    :param taken: keys of stored files by :func:`~interchange.core.safe_names.comparison_key` of their paths: letter
        case does not tell two paths apart.
    :raises BadRecord: there is nothing left of the name, or the marked one is taken too.
    """
    path = safe_path(name)
    for candidate in (path, distinct(path, key)):
        if taken.get(comparison_key(candidate), key) == key:
            return candidate
    raise BadRecord("fileName", "belongs to another file, and so does its marked form")


@dataclass(frozen=True, kw_only=True)
class Original:
    """
    A file at the source that the settings want deleted.

    :param stored_at: when its copy was committed; None: there is no copy.
    :param proved: the stored copy was read again, and is the one that was fetched.
    """

    key: str
    task_id: str
    stored_at: datetime | None
    proved: bool


@dataclass(frozen=True, kw_only=True)
class Deletions:
    """
    What becomes of originals, by key, in the order of their age.

    :param go: may be deleted now.
    :param wait: may be deleted, but only after a person has agreed to more than the limit.
    :param young: stored too short a time ago.
    :param held: of a task on the hold list.
    :param unproved: without a proved copy. Never deleted.
    """

    go: tuple[str, ...]
    wait: tuple[str, ...]
    young: tuple[str, ...]
    held: tuple[str, ...]
    unproved: tuple[str, ...]


def plan_deletions(
    originals: Iterable[Original], *, now: datetime, keep_days: int, hold: Collection[str], limit: int
) -> Deletions:
    """
    Which originals may be deleted.

    :param keep_days: days since the copy was stored; an original of exactly that age may go.
    :param hold: task ids in any letter case.
    :param limit: at most so many go.
    """
    held_tasks = {task.lower() for task in hold}
    go: list[tuple[datetime, str]] = []
    young: list[tuple[datetime, str]] = []
    held: list[str] = []
    unproved: list[str] = []
    for original in originals:
        if original.task_id.lower() in held_tasks:
            held.append(original.key)
        elif original.stored_at is None or not original.proved:
            unproved.append(original.key)
        elif now - original.stored_at < timedelta(days=keep_days):
            young.append((original.stored_at, original.key))
        else:
            go.append((original.stored_at, original.key))
    keys = [key for _, key in sorted(go)]
    return Deletions(
        go=tuple(keys[:limit]),
        wait=tuple(keys[limit:]),
        young=tuple(key for _, key in sorted(young)),
        held=tuple(sorted(held)),
        unproved=tuple(sorted(unproved)),
    )
