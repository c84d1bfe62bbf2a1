"""Where a process may be stopped: at each step of the ledger and at each outbound call."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

LEDGER = "ledger"
CALL = "call"
BEFORE = "before"
AFTER = "after"
KILL = "kill"
PAUSE = "pause"
FREEZE = "freeze"

_CHANGE = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM) (effects|claims|roulette_\w+)\b", re.IGNORECASE)
# Renewals of a claim come by the clock, not by the work.
_RENEWALS = "interchange-renewal"
# Google's library asks by itself, in a thread of its own, where a service account may be used
# (google.auth._regional_access_boundary_utils). The sandbox has no such host, and nobody waits for the answer.
_BESIDE = ("iamcredentials.googleapis.com",)


def is_of_the_work(url: str) -> bool:
    """Whether the run itself makes the call, and waits for it."""
    return urlsplit(url).hostname not in _BESIDE


class Numbered:
    """Steps in the order in which they are reached, by several threads at once."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self._numbers: Counter[str] = Counter()
        self._one_by_one = threading.Lock()

    def add(self, where: str, label: str) -> int:
        """:return: the step's own number, from 1, among those of its kind."""
        with self._one_by_one:
            self._numbers[where] += 1
            self.seen.append({"where": where, "label": label})
            return self._numbers[where]


class Steps:
    """
    Numbers this process's steps, and stops it at one of them.

    A step of the ledger is a transaction that changes an effect, a claim, or what is known of rounds and people;
    ``before`` is directly before its commit.
    A call is one HTTP request; ``after`` is when the answer's head has come.

    :param stop: ``{"where": "ledger" | "call", "number": n-th from 1, "side": "before" | "after", "how"}``, where
        ``kill`` ends the process, ``pause`` lets its work wait while its claims are renewed, and ``freeze`` stops all
        of it, as a machine does that is short of everything.
    :param pause: returns when the work may go on.
    :param freeze: told this process's number directly before it stops.
    """

    def __init__(
        self,
        ledger: Path,
        *,
        stop: dict[str, Any] | None,
        pause: Callable[[], None],
        freeze: Callable[[int], None],
    ) -> None:
        self._numbered = Numbered()
        self._ledger = str(ledger)
        self._stop = stop
        self._pause = pause
        self._freeze = freeze
        self._changes: dict[int, str] = {}
        self._committing: dict[int, int] = {}
        self._in_ledger = threading.RLock()
        self._entered: set[int] = set()
        event.listen(Engine, "engine_connect", self._enter_ledger)
        event.listen(Engine, "before_cursor_execute", self._note_change)
        event.listen(Engine, "commit", self._before_commit)
        event.listen(Pool, "checkin", self._leave_ledger)
        self._watch_calls()

    @property
    def seen(self) -> list[dict[str, str]]:
        """All steps so far, in their order."""
        return self._numbered.seen

    def _reach(self, where: str, label: str) -> int:
        number = self._numbered.add(where, label)
        self._maybe_stop(where, number, BEFORE)
        return number

    def _maybe_stop(self, where: str, number: int, side: str) -> None:
        if not self._stop or (where, number, side) != tuple(
            self._stop[k] for k in ("where", "number", "side")
        ):
            return
        match self._stop["how"]:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "pause":
                self._pause()
            case "freeze":
                # Not while a renewal has the ledger's file locked: that would stop everybody, not only us.
                with self._in_ledger:
                    self._freeze(os.getpid())
                    os.kill(os.getpid(), signal.SIGSTOP)

    def _note_change(
        self, connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: Any
    ) -> None:
        if connection.engine.url.database != self._ledger:
            return
        if threading.current_thread().name.startswith(_RENEWALS):
            return
        if found := _CHANGE.match(statement):
            self._changes[id(connection.connection.dbapi_connection)] = " ".join(found.groups())

    def _before_commit(self, connection: Any) -> None:
        key = id(connection.connection.dbapi_connection)
        if (label := self._changes.pop(key, None)) is not None:
            self._committing[key] = self._reach(LEDGER, label)

    def _enter_ledger(self, connection: Any) -> None:
        if connection.engine.url.database == self._ledger:
            self._in_ledger.acquire()
            self._entered.add(id(connection.connection.dbapi_connection))

    def _leave_ledger(self, dbapi_connection: Any, _record: Any) -> None:
        key = id(dbapi_connection)
        if key in self._entered:
            self._entered.remove(key)
            self._in_ledger.release()
        number = self._committing.pop(key, None)
        if number is not None:
            self._maybe_stop(LEDGER, number, AFTER)

    def _watch_calls(self) -> None:
        send = requests.adapters.HTTPAdapter.send

        def watched(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_of_the_work(request.url):
                return send(adapter, request, *args, **kwargs)
            number = self._reach(CALL, f"{request.method} {request.url.partition('?')[0]}")
            answer = send(adapter, request, *args, **kwargs)
            self._maybe_stop(CALL, number, AFTER)
            return answer

        requests.adapters.HTTPAdapter.send = watched  # type: ignore[method-assign, assignment]
