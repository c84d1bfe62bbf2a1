"""What the drives consist of: users, folders, files with their versions, upload sessions."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from include.sandbox.vendors.microsoft.content import Content

USER_STATES = ("normal", "no_mysite", "no_licence")


@dataclass(frozen=True, kw_only=True)
class Version:
    number: int
    size: int
    sha256: str
    quick_xor_hash: str
    modified: dt.datetime


@dataclass(kw_only=True)
class Item:
    """
    A file or a folder.

    :param parent: the folder's id; None: the drive's root.
    :param changes: goes up with every change (eTag); ``content_changes`` with new content only (cTag).
    :param versions: of a file, oldest first; a folder has none.
    :param client_times: what a client has set in ``fileSystemInfo``.
    :param hidden_gets: so many more look-ups do not find the item yet.
    :param hashless_gets: so many more look-ups show it without hashes.
    """

    id: str
    guid: str
    name: str
    parent: str | None
    folder: bool
    created: dt.datetime
    modified: dt.datetime
    changes: int = 1
    content_changes: int = 1
    versions: list[Version] = field(default_factory=list)
    blob: Path | None = None
    client_times: dict[str, str] = field(default_factory=dict)
    hidden_gets: int = 0
    hashless_gets: int = 0

    @property
    def size(self) -> int:
        return self.versions[-1].size if self.versions else 0

    @property
    def etag(self) -> str:
        return f'"{{{self.guid}}},{self.changes}"'

    @property
    def ctag(self) -> str:
        return f'"c:{{{self.guid}}},{self.content_changes}"'


@dataclass(kw_only=True)
class Drive:
    """One user's OneDrive. Names of one folder are the same if they differ in letter case only."""

    id: str
    user: str
    user_id: str
    state: str
    total: int | None
    root: Item
    items: dict[str, Item] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.items[self.root.id] = self.root

    def child(self, parent: Item, name: str) -> Item | None:
        found = self.names.get(parent.id, {}).get(name.lower())
        return self.items[found] if found else None

    def children(self, parent: Item) -> list[Item]:
        return [self.items[i] for _, i in sorted(self.names.get(parent.id, {}).items())]

    def add(self, item: Item) -> None:
        self.items[item.id] = item
        self.names.setdefault(item.parent or "", {})[item.name.lower()] = item.id

    def remove(self, item: Item) -> None:
        del self.items[item.id]
        del self.names[item.parent or ""][item.name.lower()]
        self.names.pop(item.id, None)

    def rename(self, item: Item, name: str) -> None:
        del self.names[item.parent or ""][item.name.lower()]
        item.name = name
        self.names[item.parent or ""][name.lower()] = item.id

    def path_of(self, item: Item) -> str:
        """``/Folder/file``; the root is ``/``."""
        parts: list[str] = []
        while item.parent is not None:
            parts.append(item.name)
            item = self.items[item.parent]
        return "/" + "/".join(reversed(parts))

    @property
    def used(self) -> int:
        return sum(item.size for item in self.items.values())


@dataclass(kw_only=True)
class Target:
    """
    Where an address leads: an item, or the names that are missing below the last folder that exists.
    """

    drive: Drive
    item: Item | None
    parent: Item
    missing: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        if self.item is not None:
            return self.drive.path_of(self.item)
        return self.drive.path_of(self.parent).rstrip("/") + "/" + "/".join(self.missing)


@dataclass(kw_only=True)
class Session:
    """
    An upload session.

    :param anchor: id of the folder from which ``segments`` lead to the file.
    :param file_id: the file itself, where the session was opened by its id.
    :param total: the file's size, as the first fragment states it.
    :param expires: moves on with each fragment; ``credential_until`` does not.
    :param split: the answer names the missing bytes as two ranges, up to here and from here on.
    :param finished: the item's id, once there is one.
    """

    guid: str
    drive: str
    anchor: str
    segments: tuple[str, ...]
    file_id: str | None
    path: str
    conflict: str
    defer: bool
    content: Content
    expires: dt.datetime
    total: int | None = None
    misaligned: bool = False
    split: int | None = None
    finished: str | None = None

    @property
    def complete(self) -> bool:
        return self.total is not None and self.content.size == self.total

    def ranges(self) -> list[str]:
        """``nextExpectedRanges``: what is still missing."""
        if self.complete:
            return []
        if self.split is not None and self.total is not None:
            return [f"{self.content.size}-{self.split}", f"{self.split + 1}-"]
        return [f"{self.content.size}-"]


@dataclass(kw_only=True)
class DriveState:
    """All that a restart keeps."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    drives: dict[str, Drive] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    items_made: int = 0
    uploads_begun: int = 0
