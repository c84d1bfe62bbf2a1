"""
What happens to the drives, whichever host is asked: shared by Graph and the upload host.

Everything here is called with Graph's lock held, except writing a :class:`Content`.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from include.sandbox.core import Vendor
from include.sandbox.vendors.microsoft.address import Address, check_length
from include.sandbox.vendors.microsoft.content import Content, Sealed
from include.sandbox.vendors.microsoft.errors import Refusal, invalid, name_exists, not_found
from include.sandbox.vendors.microsoft.model import (
    USER_STATES,
    Drive,
    DriveState,
    Item,
    Session,
    Target,
    Version,
)

ALTERATION = b"\n<!-- properties added by the server -->\n"


class Library:
    """
    What Graph and the upload host do to the drives.

    :param vendor: Graph: its clock, its switches, its effects.
    :param folder: where files' bytes are kept.
    """

    def __init__(self, vendor: Vendor, folder: Path) -> None:
        self._vendor = vendor
        self._folder = folder
        self.state = DriveState()

    @property
    def options(self) -> Any:
        return self._vendor.options

    def now(self) -> dt.datetime:
        return self._vendor.now()

    # Users and drives

    def add_user(self, user: str, *, state: str = "normal", total: int | None = None) -> Drive:
        """:param total: the drive's quota in bytes, if it differs from the switch ``quota_bytes``."""
        if state not in USER_STATES:
            raise ValueError(f"state {state!r} of a user; it is one of {USER_STATES}")
        digest = hashlib.sha256(user.lower().encode()).digest()
        now = self.now()
        root = Item(
            id="01" + base64.b32encode(digest[:20]).decode(),
            guid=str(uuid.UUID(bytes=digest[:16])).upper(),
            name="root",
            parent=None,
            folder=True,
            created=now,
            modified=now,
        )
        drive = Drive(
            id="b!" + base64.urlsafe_b64encode(digest[:24] + digest[:24]).decode(),
            user=user,
            user_id=str(uuid.UUID(bytes=digest[16:])),
            state=state,
            total=total,
            root=root,
        )
        self.state.drives[drive.id] = drive
        self.state.users[user.lower()] = self.state.users[drive.user_id] = drive.id
        return drive

    def drive(self, address: Address) -> Drive:
        """:raises Refusal: for an unknown user or drive, and for a user who has none."""
        if address.user is not None:
            drive_id = self.state.users.get(address.user.lower())
            if drive_id is None:
                code = self.options.unknown_user_code
                raise Refusal(404, code, f"Resource '{address.user}' does not exist.")
        else:
            drive_id = address.drive
        drive = self.state.drives.get(drive_id or "")
        if drive is None:
            raise not_found()
        if drive.state == "no_mysite":
            raise Refusal(404, "ResourceNotFound", "User's mysite not found.")
        if drive.state == "no_licence":
            raise Refusal(400, "BadRequest", "Tenant does not have a SPO license.")
        return drive

    def quota(self, drive: Drive) -> int:
        return drive.total if drive.total is not None else int(self.options.quota_bytes)

    def need_room(self, drive: Drive, extra: int) -> None:
        if drive.used + extra > self.quota(drive):
            raise Refusal(507, "quotaLimitReached", "Insufficient space available.")

    # Items

    def find(self, address: Address) -> Target:
        """:raises Refusal: 404 for an unknown drive or item id, 400 for a path that leads through a file."""
        drive = self.drive(address)
        anchor = drive.root if address.item is None else drive.items.get(address.item)
        if anchor is None:
            raise not_found()
        target = self.walk(drive, anchor, address.segments)
        check_length(target.path)
        return target

    def walk(self, drive: Drive, anchor: Item, segments: tuple[str, ...]) -> Target:
        item = anchor
        for depth, name in enumerate(segments):
            if not item.folder:
                raise invalid("The path leads through a file.", "invalidPath")
            found = drive.child(item, name)
            if found is None:
                return Target(drive=drive, item=None, parent=item, missing=segments[depth:])
            item = found
        return Target(drive=drive, item=item, parent=drive.items[item.parent] if item.parent else drive.root)

    def look_up(self, address: Address) -> tuple[Drive, Item]:
        """The item for a reader, to whom a new item may not be visible yet."""
        target = self.find(address)
        if target.item is None:
            raise not_found()
        if target.item.hidden_gets > 0:
            target.item.hidden_gets -= 1
            raise not_found()
        return target.drive, target.item

    def check_lock(self, path: str) -> None:
        if path.lower() in (str(locked).lower() for locked in self.options.locked_paths):
            raise Refusal(423, "resourceLocked", "The resource you are attempting to access is locked")

    def make_folder(self, drive: Drive, parent: Item, name: str) -> Item:
        folder = self._new_item(parent, name, folder=True)
        drive.add(folder)
        self._vendor.effect("folder_created", user=drive.user, path=drive.path_of(folder), item_id=folder.id)
        return folder

    def need_parents(self, target: Target, mode: str) -> None:
        """:param mode: what the service does about missing folders: ``create``, ``404`` or ``409``."""
        if len(target.missing) > 1 and mode != "create":
            if mode == "409":
                raise Refusal(409, "invalidRequest", "The parent folder does not exist.")
            raise not_found()

    def free_name(self, drive: Drive, parent: Item, name: str) -> str:
        """The server's choice for ``rename``: ``f 1.csv``."""
        stem, dot, suffix = name.rpartition(".") if "." in name.strip(".") else (name, "", "")
        number = 1
        while drive.child(parent, chosen := f"{stem} {number}{dot}{suffix}") is not None:
            number += 1
        return chosen

    def check_conflict(self, target: Target, conflict: str) -> None:
        """:raises Refusal: 409 where a file must not be stored at the target."""
        if target.item is not None and (conflict == "fail" or target.item.folder):
            raise name_exists()

    def store(self, target: Target, content: Content, conflict: str) -> tuple[Item, bool]:
        """
        Make a complete content a file: missing folders are created, an existing file may be replaced.

        :return: the item, and whether it is new.
        """
        drive = target.drive
        self.check_conflict(target, conflict)
        self.check_lock(target.path)
        self.need_room(drive, content.size)
        replaced, parent = target.item, target.parent
        for name in target.missing[:-1]:
            parent = self.make_folder(drive, parent, name)
        name = target.missing[-1] if target.missing else target.item.name if target.item else ""
        if replaced is not None and conflict == "rename":
            name, replaced = self.free_name(drive, parent, name), None
        if name.lower().endswith(tuple(self.options.altered_suffixes)):
            content.take([ALTERATION])
        item = replaced or self._new_item(parent, name, folder=False)
        self._put_version(item, content.seal())
        if replaced is None:
            item.hidden_gets = int(self.options.visible_after_gets)
            drive.add(item)
        item.hashless_gets = int(self.options.hashes_after_gets)
        version = item.versions[-1]
        self._vendor.effect(
            "file_stored",
            user=drive.user,
            path=drive.path_of(item),
            item_id=item.id,
            size=version.size,
            sha256=version.sha256,
            quick_xor_hash=version.quick_xor_hash,
            version=version.number,
            replaced=replaced is not None,
        )
        return item, replaced is None

    def _new_item(self, parent: Item, name: str, *, folder: bool) -> Item:
        self.state.items_made += 1
        digest = hashlib.sha256(f"{parent.id}/{self.state.items_made}".encode()).digest()
        now = self.now()
        return Item(
            id="01" + base64.b32encode(digest[:20]).decode(),
            guid=str(uuid.UUID(bytes=digest[:16])).upper(),
            name=name,
            parent=parent.id,
            folder=folder,
            created=now,
            modified=now,
        )

    def _put_version(self, item: Item, sealed: Sealed) -> None:
        self.drop_blob(item)
        item.modified = self.now()
        # A new item starts with 1.
        item.changes += bool(item.versions)
        item.content_changes += bool(item.versions)
        item.blob = sealed.blob
        item.versions.append(
            Version(
                number=len(item.versions) + 1,
                size=sealed.size,
                sha256=sealed.sha256,
                quick_xor_hash=sealed.quick_xor_hash,
                modified=item.modified,
            )
        )

    def new_metadata(self, item: Item) -> None:
        """A change of a file's metadata alone is a version too, with the same content."""
        item.changes += 1
        if item.versions:
            last = item.versions[-1]
            item.versions.append(replace(last, number=last.number + 1, modified=self.now()))

    def delete(self, drive: Drive, item: Item) -> None:
        path = drive.path_of(item)
        for child in drive.children(item):
            self.delete(drive, child)
        drive.remove(item)
        self.drop_blob(item)
        self._vendor.effect("item_deleted", user=drive.user, path=path, item_id=item.id)

    @staticmethod
    def drop_blob(item: Item) -> None:
        if item.blob is not None:
            item.blob.unlink(missing_ok=True)

    # Content on its way in

    def begin_content(self) -> Content:
        """Uploads, simple ones and sessions alike, are counted from 1 for ``corrupt_uploads``."""
        with self._vendor.lock:
            self.state.uploads_begun += 1
            spoiled = self.state.uploads_begun in self.options.corrupt_uploads
        path = self._folder / uuid.uuid4().hex if self.options.store_content else None
        return Content(path, spoiled=spoiled)

    @contextmanager
    def incoming(self) -> Iterator[Content]:
        """A content that is thrown away unless it has become a file."""
        content = self.begin_content()
        try:
            yield content
        finally:
            content.discard()

    # Sessions

    def open_session(
        self, target: Target, *, anchor: Item, segments: tuple[str, ...], conflict: str, defer: bool
    ) -> Session:
        now = self.now()
        session = Session(
            guid=str(uuid.uuid4()),
            drive=target.drive.id,
            anchor=anchor.id,
            segments=segments,
            file_id=target.item.id if target.item is not None and not segments else None,
            path=target.path,
            conflict=conflict,
            defer=defer,
            content=self.begin_content(),
            expires=now + dt.timedelta(seconds=self.options.session_life_s),
        )
        self.state.sessions[session.guid] = session
        self._vendor.effect("session_created", user=target.drive.user, path=session.path)
        return session

    def open_sessions(self, drive: Drive | None = None) -> list[Session]:
        self.expire_sessions()
        unfinished = [s for s in self.state.sessions.values() if s.finished is None]
        return [s for s in unfinished if drive is None or s.drive == drive.id]

    def expire_sessions(self) -> None:
        now = self.now()
        for session in [s for s in self.state.sessions.values() if s.finished is None and s.expires <= now]:
            self.drop_session(session, "session_expired")

    def drop_session(self, session: Session, effect: str) -> None:
        del self.state.sessions[session.guid]
        session.content.discard()
        self._vendor.effect(effect, user=self.state.drives[session.drive].user, path=session.path)

    def session(self, guid: str) -> Session:
        """:raises Refusal: 404 for a session that is unknown, cancelled or expired."""
        self.expire_sessions()
        found = self.state.sessions.get(guid)
        if found is None:
            raise not_found()
        return found

    def touch(self, session: Session) -> None:
        session.expires = self.now() + dt.timedelta(seconds=self.options.session_life_s)

    def commit(
        self, session: Session, *, target: Target | None = None, conflict: str | None = None
    ) -> tuple[Item, bool]:
        """
        Make a session's bytes a file.

        :param target: another place than the session was opened for.
        :raises Refusal: 409 for a name conflict: the bytes are kept.
        """
        drive = self.state.drives[session.drive]
        if target is None:
            anchor = drive.items.get(session.file_id or session.anchor)
            if anchor is None:
                raise not_found()
            target = self.walk(drive, anchor, session.segments)
        item, new = self.store(target, session.content, conflict or session.conflict)
        session.finished = item.id
        # The bytes belong to the item now.
        session.content.path = None
        return item, new

    # Credentials inside URLs

    def ticket(self, subject: str, life_s: float) -> str:
        """What makes a URL a secret: who holds it may use it, until it ends."""
        start = int(self.now().timestamp())
        head = f"{start}.{start + int(life_s)}"
        return f"{head}.{self._sign(f'{head}.{subject}')}"

    def check_ticket(self, ticket: str, subject: str) -> None:
        """:raises Refusal: 401, with inner code expiredToken where it was right once."""
        head, _, signature = ticket.rpartition(".")
        if not hmac.compare_digest(signature, self._sign(f"{head}.{subject}")):
            raise Refusal(401, "unauthenticated", "The caller is not authenticated.")
        start, end = (dt.datetime.fromtimestamp(int(part), dt.UTC) for part in head.split("."))
        if self.now() >= end:
            raise Refusal(
                401,
                "unauthenticated",
                f"The access token has expired. It's valid from '{start:%m/%d/%Y %H:%M:%S}' "
                f"to '{end:%m/%d/%Y %H:%M:%S}'.",
                inner=("expiredToken",),
            )

    def _sign(self, text: str) -> str:
        return hmac.new(self.state.secret, text.encode(), "sha256").hexdigest()
