"""Tasks of a call centre: calls with recordings and transcriptions, and what else can be synchronised of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.vendors.spinoco.ogg import SMALLEST, OggFile

RECORDINGS = "Recordings"
TRANSCRIPTIONS = "Transcriptions"
SUFFIXES = {
    RECORDINGS: ".ogg",
    TRANSCRIPTIONS: ".trans.json",
    "CallMetadata": ".meta.json",
    "ChatMetadata": ".meta.json",
    "ChatHistory": ".history.json",
    "SMSMetadata": ".meta.json",
    "EmailMetadata": ".meta.json",
    "CommonMetadata": ".meta.json",
    "WorkflowMetadata": ".meta.json",
}
"""What can be asked for, and how its files end."""
KINDS = {
    "call": "CallMetadata",
    "chat": "ChatMetadata",
    "sms": "SMSMetadata",
    "email": "EmailMetadata",
    "workflow": "WorkflowMetadata",
}
"""Kinds of tasks, and whose metadata they have; every task has common metadata as well."""


@dataclass(kw_only=True)
class File:
    """
    One file that can be fetched.

    :param path: begins without a host.
    :param data_type: a key of :data:`SUFFIXES`.
    """

    path: str
    data_type: str
    content: OggFile | bytes

    @property
    def size(self) -> int:
        return self.content.size if isinstance(self.content, OggFile) else len(self.content)

    def __iter__(self) -> Iterator[bytes]:
        if isinstance(self.content, OggFile):
            yield from self.content
        else:
            yield self.content

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()


@dataclass(kw_only=True)
class Task:
    """
    :param change: the number of its last change: tasks are synchronised in this order.
    :param due: decides its files' names and whether ``startFrom`` covers it.
    """

    id: str
    kind: str
    change: int
    due: dt.datetime
    call_from: str = "420111222333"
    call_to: str = "420444555666"
    skill: str = ""
    hash_tags: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)

    def of_types(self, types: Sequence[str]) -> list[File]:
        return [file for file in self.files if file.data_type in types]


def make_task(number: int, change: int, seed: dict[str, Any]) -> Task:
    """
    A task from what a test or the demo asks for.

    ``{"id", "kind": "call", "due": ISO text, "from", "to", "skill", "hash_tags", "recordings": [bytes, …],
    "transcribed": true}``; everything has a default.

    :raises ValueError: a key or a kind is not known.
    """
    known = {"id", "kind", "due", "from", "to", "skill", "hash_tags", "recordings", "transcribed"}
    if unknown := set(seed) - known:
        raise ValueError(f"unknown keys {sorted(unknown)}; known: {sorted(known)}")
    kind = str(seed.get("kind", "call"))
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {list(KINDS)}, got {kind!r}")
    due = dt.datetime.fromisoformat(str(seed.get("due", "2026-11-22T07:15:00+00:00")))
    task = Task(
        id=str(seed.get("id") or uuid.uuid5(uuid.NAMESPACE_OID, f"task-{number}")),
        kind=kind,
        change=change,
        due=due,
        call_from=str(seed.get("from", "420111222333")),
        call_to=str(seed.get("to", "420444555666")),
        skill=str(seed.get("skill", "")),
        hash_tags=[str(tag) for tag in seed.get("hash_tags", [])],
    )
    sizes = [int(size) for size in seed.get("recordings", [20_000] if kind == "call" else [])]
    for index, size in enumerate(sizes):
        recording = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{task.id}-{index}"))
        content = OggFile(seed=recording, size=max(size, SMALLEST))
        task.files.append(
            File(path=f"/recording/{task.id}/{recording}", data_type=RECORDINGS, content=content)
        )
    if seed.get("transcribed"):
        transcribe(task)
    for name in ("CommonMetadata", KINDS[kind]):
        text = json.dumps({"id": task.id, "kind": kind, "due": task.due.isoformat(), "skill": task.skill})
        path = f"/metadata/{task.id}/{name}"
        task.files.append(File(path=path, data_type=name, content=text.encode()))
    if kind == "chat":
        history = json.dumps({"messages": [{"text": "Dobrý den"}, {"text": "Hello"}]}, ensure_ascii=False)
        task.files.append(File(path=f"/history/{task.id}", data_type="ChatHistory", content=history.encode()))
    return task


def transcribe(task: Task) -> None:
    """Give every recording its transcription."""
    for file in task.of_types([RECORDINGS]):
        text = json.dumps({"transcription": [{"speaker": "A", "text": "Dobrý den"}]}, ensure_ascii=False)
        path = file.path.replace("/recording/", "/transcription/")
        if all(other.path != path for other in task.files):
            task.files.append(File(path=path, data_type=TRANSCRIPTIONS, content=text.encode()))
