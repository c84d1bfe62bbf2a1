"""
Pages as the ledger keeps them.

Presenting a page's cursor tells Spinoco that the page was received, and serving one may count as that already: so a
page is written down, with all it holds, before anything is done with it. It is open until all of it is dealt with and
the page after it is written down as well. A run begins with what is open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interchange.core.safe_names import comparison_key
from interchange.core.spinoco_files import file_key, source_path
from interchange.hooks.spinoco import SyncPage
from interchange.ledger import EffectRef, Ledger, Receipt, RunRef, State

WORKFLOW = "spinoco_sync"
PAGE, PAGE_DONE, FILE, NAME, DELETION = "page", "page_done", "file", "name", "deletion"
LOOKED_AT = 20
"""Newest pages that are looked at; more than two are never open."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """
    One file at Spinoco.

    :param name: the server's.
    :param path: with a leading slash.
    """

    task_id: str
    name: str
    path: str

    @cached_property
    def key(self) -> str:
        return file_key(self.task_id, self.path)

    @cached_property
    def ref(self) -> EffectRef:
        return EffectRef(WORKFLOW, FILE, self.key)


@dataclass(frozen=True, kw_only=True)
class Page:
    """
    :param number: from 1, within its synchronisation.
    :param files: all to be fetched; :param originals: paths that may be deleted, by task.
    :param cursor: of the page after it.
    """

    key: str
    number: int
    files: tuple[Source, ...]
    originals: tuple[tuple[str, str], ...]
    cursor: str | None


def sync_key(conn_id: str, tag: str) -> str:
    """A synchronisation in the ledger's keys: the account and the tag, whatever the settings call it."""
    return hashlib.sha256(f"{conn_id}\n{tag}".encode()).hexdigest()[:12]


class PageBook:
    """All pages of one synchronisation."""

    def __init__(self, ledger: Ledger, *, key: str, run: RunRef, lease_s: float) -> None:
        self._ledger = ledger
        self._key = key
        self._run = run
        self._lease_s = lease_s

    def open(self) -> list[Page]:
        """Pages that are not dealt with, oldest first."""
        received, done = self._newest(PAGE), self._newest(PAGE_DONE)
        return [page for key in sorted(received - done) if (page := self.read(key)) is not None]

    def read(self, key: str) -> Page | None:
        """A page by its key; None: what it held is not kept any more."""
        effect = self._ledger.get(EffectRef(WORKFLOW, PAGE, key))
        if effect is None or "tasks" not in (receipt := effect.receipt or {}):
            return None
        return _page(key, receipt)

    def record(self, received: SyncPage, *, closes: Sequence[Page]) -> Page:
        """
        Write a page down, and that its files, and the deletions it permits, are wanted.

        :param closes: pages before it, which are dealt with.
        """
        newest = max(self._newest(PAGE, 1), default=f"{self._key}/0")
        key = f"{self._key}/{int(newest.rpartition('/')[2]) + 1:010}"
        tasks: list[tuple[str, list[tuple[str, str]], list[str]]] = [
            (
                task.id,
                [(file.name, source_path(file.path)) for file in task.get],
                [source_path(path) for path in task.delete],
            )
            for task in received.tasks
        ]
        plans: dict[EffectRef, str | None] = {}
        for task_id, files, originals in tasks:
            for _, path in files:
                plans[EffectRef(WORKFLOW, FILE, file_key(task_id, path))] = key
            for path in originals:
                plans[deletion_ref(self._key, task_id, path)] = key
        receipt = {"tasks": tasks, "cursor": received.cursor, "personal": ["tasks"]}
        ref = EffectRef(WORKFLOW, PAGE, key)
        written = self._ledger.record(
            {ref: receipt} | _done(closes), plans=plans, lease_s=self._lease_s, run=self._run
        )[ref]
        if written is None:
            raise ValueError(f"page {key} is another process's")
        return _page(key, written)

    def close(self, pages: Sequence[Page]) -> None:
        """All of these pages is dealt with, and nothing comes after them."""
        self._ledger.record(_done(pages), lease_s=self._lease_s, run=self._run)

    def _newest(self, kind: str, number: int = LOOKED_AT) -> frozenset[str]:
        return self._ledger.keys(
            workflow=WORKFLOW,
            kind=kind,
            states=(State.CONFIRMED,),
            first=f"{self._key}/",
            last=f"{self._key}0",
            greatest=number,
        )


def _page(key: str, receipt: Mapping[str, Any]) -> Page:
    return Page(
        key=key,
        number=int(key.rpartition("/")[2]),
        files=tuple(
            Source(task_id=task, name=name, path=path)
            for task, files, _ in receipt["tasks"]
            for name, path in files
        ),
        originals=tuple((task, path) for task, _, paths in receipt["tasks"] for path in paths),
        cursor=receipt["cursor"],
    )


def _done(pages: Sequence[Page]) -> dict[EffectRef, Receipt]:
    return {EffectRef(WORKFLOW, PAGE_DONE, page.key): {"files": len(page.files)} for page in pages}


def deletion_ref(sync: str, task_id: str, path: str) -> EffectRef:
    return EffectRef(WORKFLOW, DELETION, f"{sync}/{file_key(task_id, path)}")


def file_ref_of(deletion: EffectRef) -> EffectRef:
    """The file whose original a deletion is about."""
    return EffectRef(WORKFLOW, FILE, deletion.key.partition("/")[2])


class Names:
    """Which file each stored name belongs to; letter case does not tell two names apart."""

    def __init__(self, ledger: Ledger, *, place: str, run: RunRef, lease_s: float) -> None:
        self._ledger = ledger
        self._place = hashlib.sha256(place.encode()).hexdigest()[:12]
        self._run = run
        self._lease_s = lease_s

    def claim(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """
        Claim paths for files.

        :param wanted: path by the file's key.
        :return: the paths that are the files' own now, or were before. A key that is missing lost its path to another.
        """
        facts: dict[EffectRef, dict[str, Any]] = {}
        for key, path in wanted.items():
            facts.setdefault(self._ref(path), {"file": key, "path": path})
        owners = self._ledger.record(facts, lease_s=self._lease_s, run=self._run)
        return {
            key: owner["path"]
            for key, path in wanted.items()
            if (owner := owners[self._ref(path)] or {}).get("file") == key
        }

    def _ref(self, path: str) -> EffectRef:
        digest = hashlib.sha256(comparison_key(path).encode()).hexdigest()[:32]
        return EffectRef(WORKFLOW, NAME, f"{self._place}/{digest}")
