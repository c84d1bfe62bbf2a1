"""
Spinoco: synchronisation of recordings and transcriptions, by pages whose cursor is the only acknowledgement.

Spinoco's documentation is not public. What is certain comes from its own open-source connector, which is a client
only, and from one independent client; what the server does inside is a switch in :class:`Spinoco.Options`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import hmac
import json
import struct
import zoneinfo
from collections.abc import Iterator
from typing import Any, ClassVar

from include.sandbox.core import Vendor
from include.sandbox.vendors.spinoco import query as queries
from include.sandbox.vendors.spinoco.model import RECORDINGS, SUFFIXES, File, Task, make_task, transcribe
from include.sandbox.vendors.spinoco.names import BadTemplate, file_name
from include.sandbox.vendors.spinoco.ogg import LAST, checksum
from include.sandbox.wire import Request, Response, answer_json, route

TOKEN = "sandbox-spinoco-token-0001"
ACKNOWLEDGEMENTS = ("cursor", "serve", "first_query")
DAMAGES = ("empty", "short", "cut", "wrong_bit", "no_end", "missing", "error")


@dataclasses.dataclass(kw_only=True)
class Tag:
    """
    The state of one synchronisation.

    :param done: number of the last change that counts as received.
    :param served: number of the last change in the last page.
    """

    start_from: dt.datetime | None
    done: int = 0
    served: int = 0


class Spinoco(Vendor):
    name: ClassVar[str] = "spinoco"

    @dataclasses.dataclass
    class Options:
        token: str = TOKEN
        acknowledge: str = "cursor"
        """
        What counts a page as received. ``cursor``: presenting its cursor, which every page has that is not empty.
        ``serve``: serving it. ``first_query``: the next query without a cursor; the last page has none.
        """
        zone: str = "UTC"
        """In which dates in file names are written."""
        most_tasks: int = 100
        """A page never has more, whatever ``count`` says."""
        several: str = "index"
        """How a task's second recording is named: ``index`` (-2, -3, …) or ``same``, which collides."""
        lengths: str = "announced"
        """Of files: ``announced``, ``none`` (chunked) or ``wrong`` (one byte more than there is)."""
        leading_slash: bool = True
        """Paths begin with a slash."""
        always_lists: bool = True
        """``get`` and ``delete`` are there even if they are empty."""
        revoked: str = ""
        """``all`` or ``files``: the token is refused there from now on."""
        bad_cursor_status: int = 400

    def clear(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.tags: dict[str, Tag] = {}
        self.changes = 0
        self.deleted: set[str] = set()
        self.damages: dict[str, str] = {}

    def seed(self, data: dict[str, Any]) -> None:
        """
        ``{"tasks": [see :func:`make_task`], "transcribe": [task ids], "touch": [task ids], "damage": {path: kind}}``.

        Damages: ``empty``, ``short`` (whole pages are missing at the end, consistently), ``cut`` (ends in mid-page),
        ``wrong_bit``, ``no_end`` (without the flag of the last page), ``missing`` (404), ``error`` (500); null mends.
        """
        if unknown := set(data) - {"tasks", "transcribe", "touch", "damage"}:
            raise ValueError(f"unknown seeds {sorted(unknown)}; known: tasks, transcribe, touch, damage")
        with self.lock:
            for entry in data.get("tasks", []):
                self.changes += 1
                task = make_task(len(self.tasks) + 1, self.changes, entry)
                self.tasks[task.id] = task
            for task_id in data.get("transcribe", []):
                transcribe(self._known(task_id))
                self._change(task_id)
            for task_id in data.get("touch", []):
                self._change(task_id)
            for path, kind in data.get("damage", {}).items():
                if kind is None:
                    self.damages.pop(path, None)
                elif kind not in DAMAGES:
                    raise ValueError(f"no damage {kind!r}; there are {list(DAMAGES)}")
                else:
                    self.damages[path] = kind

    def _known(self, task_id: str) -> Task:
        try:
            return self.tasks[task_id]
        except KeyError:
            raise ValueError(f"no task {task_id!r}") from None

    def _change(self, task_id: str) -> None:
        self.changes += 1
        self._known(task_id).change = self.changes

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            return {
                "tasks": [
                    {
                        "id": task.id,
                        "change": task.change,
                        "files": [
                            {
                                "path": file.path,
                                "type": file.data_type,
                                "size": file.size,
                                "deleted": file.path in self.deleted,
                            }
                            for file in task.files
                        ],
                    }
                    for task in self.tasks.values()
                ],
                "tags": {name: {"done": tag.done, "served": tag.served} for name, tag in self.tags.items()},
            }

    def dump(self) -> Any:
        return self.tasks, self.tags, self.changes, self.deleted, self.damages

    def load(self, dumped: Any) -> None:
        self.tasks, self.tags, self.changes, self.deleted, self.damages = dumped

    def file(self, path: str) -> File | None:
        """The file at a path, deleted or not; for a test."""
        wanted = f"/{path.lstrip('/')}"
        return next((f for task in self.tasks.values() for f in task.files if f.path == wanted), None)

    def _refusal(self, request: Request, *, files: bool) -> Response | None:
        given = request.headers.get("Authorization", "")
        revoked = self.options.revoked == "all" or (files and self.options.revoked == "files")
        if revoked or not hmac.compare_digest(given, f"Bearer {self.options.token}"):
            return answer_json(401, {"error": "Unauthorized"})
        return None

    # Synchronisation

    @route("POST", "/task/sync/", operation="sync")
    def sync(self, request: Request) -> Response:
        if (refusal := self._refusal(request, files=False)) is not None:
            return refusal
        body = request.json()
        if not isinstance(body, dict):
            return answer_json(400, {"error": "an object was expected"})
        count = body.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            return answer_json(400, {"error": "count must be a number from 1"})
        try:
            with self.lock:
                if "page" in body:
                    return self._next_page(body, count)
                return self._first_page(body, count)
        except (queries.BadQuery, BadTemplate) as exc:
            return answer_json(400, {"error": str(exc)})

    def _first_page(self, body: dict[str, Any], count: int) -> Response:
        if unknown := set(body) - {"query", "count"}:
            raise queries.BadQuery(f"unknown members {sorted(unknown)}")
        query = queries.parse(body.get("query"))
        # startFrom counts only where the tag has no state yet.
        tag = self.tags.setdefault(query.tag, Tag(start_from=query.start_from))
        if self.options.acknowledge == "first_query":
            tag.done = max(tag.done, tag.served)
        return self._page(query, body["query"], tag, tag.done, count)

    def _next_page(self, body: dict[str, Any], count: int) -> Response:
        if unknown := set(body) - {"page", "count"}:
            raise queries.BadQuery(f"unknown members {sorted(unknown)}: the cursor holds the query")
        opened = _opened(body["page"])
        if opened is None:
            return answer_json(self.options.bad_cursor_status, {"error": "unknown page"})
        data, position = opened
        query = queries.parse(data)
        tag = self.tags.setdefault(query.tag, Tag(start_from=query.start_from))
        if self.options.acknowledge == "cursor":
            tag.done = max(tag.done, position)
        return self._page(query, data, tag, position, count)

    def _page(self, query: queries.Query, data: Any, tag: Tag, after: int, count: int) -> Response:
        waiting = sorted(
            (task for task in self.tasks.values() if task.change > after and self._covers(query, tag, task)),
            key=lambda task: task.change,
        )
        page = waiting[: min(count, self.options.most_tasks)]
        result = [self._entry(query, tag, task) for task in page]
        answer: dict[str, Any] = {"result": result}
        last = page[-1].change if page else after
        tag.served = max(tag.served, last)
        more = len(waiting) > len(page)
        if self.options.acknowledge == "serve":
            tag.done = max(tag.done, last)
        if page and (more or self.options.acknowledge == "cursor"):
            answer["next"] = _sealed(data, last)
        return answer_json(200, answer)

    @staticmethod
    def _covers(query: queries.Query, tag: Tag, task: Task) -> bool:
        return query.covers(task) and (tag.start_from is None or task.due >= tag.start_from)

    def _entry(self, query: queries.Query, tag: Tag, task: Task) -> dict[str, Any]:
        zone = zoneinfo.ZoneInfo(self.options.zone)
        stem = file_name(
            query.template, task_id=task.id, due=task.due,
            call_from=task.call_from, call_to=task.call_to, zone=zone,
        )  # fmt: skip
        numbers: dict[str, int] = {}
        get = []
        for file in task.of_types(query.get):
            number = numbers[file.data_type] = numbers.get(file.data_type, 0) + 1
            if file.path in self.deleted:
                continue
            index = f"-{number}" if number > 1 and self.options.several == "index" else ""
            get.append(
                {"fileName": f"{stem}{index}{SUFFIXES[file.data_type]}", "path": self._shown(file.path)}
            )
        delete = [
            {"path": self._shown(file.path)}
            for file in task.of_types(query.delete)
            if file.data_type == RECORDINGS and file.path not in self.deleted
        ]
        lists = {"get": get, "delete": delete}
        if not self.options.always_lists:
            lists = {name: listed for name, listed in lists.items() if listed}
        return {"taskId": task.id, **lists}

    def _shown(self, path: str) -> str:
        return path if self.options.leading_slash else path.lstrip("/")

    @route("GET", "/task/{id}", operation="get_task")
    def get_task(self, request: Request) -> Response:
        if (refusal := self._refusal(request, files=False)) is not None:
            return refusal
        with self.lock:
            task = self.tasks.get(request.params["id"])
        if task is None:
            return answer_json(404, {"error": "Not found"})
        return answer_json(200, {"id": task.id, "lastUpdate": int(task.due.timestamp() * 1000)})

    # Files

    @route("GET", "/recording/{path:path}", operation="get_file")
    @route("GET", "/transcription/{path:path}", operation="get_file")
    @route("GET", "/metadata/{path:path}", operation="get_file")
    @route("GET", "/history/{path:path}", operation="get_file")
    def get_file(self, request: Request) -> Response:
        if (refusal := self._refusal(request, files=True)) is not None:
            return refusal
        with self.lock:
            file = self.file(request.path)
            damage = self.damages.get(request.path, "")
            gone = request.path in self.deleted
        if file is None or gone or damage == "missing":
            return answer_json(404, {"error": "Not found"})
        if damage == "error":
            return answer_json(500, {"error": "Internal error"})
        kind = "audio/ogg" if file.data_type == RECORDINGS else "application/json"
        pieces = list(_damaged(file, damage)) if damage else file
        size = sum(map(len, pieces)) if damage else file.size
        length = {"announced": size, "none": None, "wrong": size + 1}[self.options.lengths]
        return Response(body=iter(pieces), length=length, headers=[("Content-Type", kind)])

    @route("DELETE", "/recording/{path:path}", operation="delete_file")
    def delete_file(self, request: Request) -> Response:
        if (refusal := self._refusal(request, files=True)) is not None:
            return refusal
        with self.lock:
            file = self.file(request.path)
            if file is None or request.path in self.deleted:
                return answer_json(404, {"error": "Not found"})
            self.deleted.add(request.path)
        self.effect("file_deleted", path=request.path)
        return Response(status=204)


def _sealed(data: Any, position: int) -> str:
    text = json.dumps({"query": data, "position": position}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _opened(cursor: Any) -> tuple[Any, int] | None:
    try:
        content = json.loads(base64.urlsafe_b64decode(str(cursor)))
        return content["query"], int(content["position"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None


def _damaged(file: File, damage: str) -> Iterator[bytes]:
    """A file that looks like one and is not what was recorded."""
    pages = list(file)
    if damage == "empty":
        return
    if damage == "short":
        # All that is there is sound; the flag on the last page says nothing of what is missing.
        yield from pages[: max(len(pages) - 1, 0)]
    elif damage == "cut":
        yield from pages[:-1]
        yield pages[-1][: len(pages[-1]) // 2]
    elif damage == "wrong_bit":
        yield from pages[:-1]
        broken = bytearray(pages[-1])
        broken[-1] ^= 1
        yield bytes(broken)
    elif damage == "no_end":
        yield from pages[:-1]
        yield _without_end(pages[-1])


def _without_end(page: bytes) -> bytes:
    bare = page[:5] + bytes([page[5] & ~LAST]) + page[6:22] + bytes(4) + page[26:]
    return bare[:22] + struct.pack("<I", checksum(bare)) + bare[26:]
