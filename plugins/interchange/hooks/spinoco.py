"""
Spinoco: synchronisation of recordings and transcriptions.

Spinoco's documentation is not public. What is known comes from its own open-source connector (version 1.2.0) and from
one independent client: a query names a tag, whose state the server keeps; pages of tasks are followed by an opaque
cursor; presenting a cursor is the only sign that the page before it was received. Whether the server already counts a
page as received when it serves it is not known: a caller must be safe either way.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from interchange.errors import NotFound, SettingsError, Unavailable
from interchange.hooks.answers import Download
from interchange.hooks.http import VendorHook

PAGE_SIZE = 10
"""Tasks of a page: what the vendor's own client asks for; the server's limit is not known."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """
    :param name: made by the server from the query's template; from outside, so not safe as a path.
    :param path: where it is fetched.
    """

    name: str
    path: str


@dataclass(frozen=True, kw_only=True)
class SyncedTask:
    """
    :param get: files to fetch.
    :param delete: paths that may be deleted when their files are safe.
    """

    id: str
    get: tuple[RemoteFile, ...]
    delete: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SyncPage:
    """:param cursor: of the next page; None: there is nothing more now."""

    tasks: tuple[SyncedTask, ...]
    cursor: str | None


class SpinocoHook(VendorHook):
    """``password`` is the API token of a user."""

    conn_type = "spinoco"
    default_conn_name = "spinoco_default"
    hook_name = "Spinoco"
    routine = frozenset({"spinoco.file", "spinoco.delete"})
    default_host = "https://api.spinoco.com"  # type: ignore[misc]  # as in the base class

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        token = self.connection.password
        if not token:
            raise SettingsError(f"connection {self.http_conn_id}: password (the API token) is missing")
        return {"Authorization": f"Bearer {token}"}

    def first_page(self, query: Mapping[str, Any], *, count: int = PAGE_SIZE) -> SyncPage:
        """
        What the tag of a query has not received yet.

        :param query: ``tag``, ``get``, ``delete``, ``fileNameTemplate``, ``startFrom`` …, as the vendor spells it.
        :raises Refused: the query has a mistake.
        """
        return self._page({"query": dict(query), "count": count})

    def next_page(self, cursor: str, *, count: int = PAGE_SIZE) -> SyncPage:
        """
        What comes after a page. **This tells the server that the page before it was received.**

        :raises Refused: the server does not know the cursor (any more).
        """
        return self._page({"page": cursor, "count": count})

    def _page(self, body: Mapping[str, Any]) -> SyncPage:
        # Asked for again, the same question gets the same page, or what came since.
        payload = self.call_json("spinoco.sync", "POST", "/task/sync/", repeatable=True, json=dict(body))
        try:
            tasks = tuple(_task(entry) for entry in payload["result"])
            cursor = payload.get("next")
            if cursor is not None and not (isinstance(cursor, str) and cursor):
                raise TypeError("next is no text")
        except (KeyError, TypeError, AttributeError) as exc:
            raise Unavailable("spinoco.sync", "the answer is no page of tasks", status=200) from exc
        return SyncPage(tasks=tasks, cursor=cursor)

    def file(self, path: str) -> AbstractContextManager[Download]:
        """
        Open a file. Its length may be announced or not; nothing else proves that it is whole.

        :raises NotFound: it is not there, not yet, or deleted.
        """
        return self.download("spinoco.file", path)

    def delete(self, path: str) -> bool:
        """
        Delete a recording at the source, for ever.

        :return: False if it was gone already.
        :raises Unavailable: also if what answers is not Spinoco, such as a proxy's page.
        """
        try:
            # A second deletion finds nothing.
            answer = self.call("spinoco.delete", "DELETE", path, repeatable=True, expected=(200, 202, 204))
        except NotFound:
            return False
        if answer.content.strip():
            raise Unavailable("spinoco.delete", "the answer is not Spinoco's", status=answer.status_code)
        return True

    def probe(self) -> str:
        """Ask for a task that cannot exist: only a token that is let in is told so."""
        try:
            self.call("spinoco.probe", "GET", f"/task/{uuid.UUID(int=0)}", repeatable=True)
        except NotFound:
            return "Spinoco answers, and accepts the token"
        return "Spinoco answers"


def _task(entry: Any) -> SyncedTask:
    # A task without files, or without anything to delete, may lack the list.
    get = tuple(
        RemoteFile(name=_text(file["fileName"]), path=_text(file["path"])) for file in entry.get("get") or ()
    )
    delete = tuple(_text(file["path"]) for file in entry.get("delete") or ())
    return SyncedTask(id=_text(entry["taskId"]), get=get, delete=delete)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text was expected")
    return value
