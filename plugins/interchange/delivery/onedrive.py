"""
An export file into OneDrive: the same item however often it is tried, checked against what was read.

Small files go in one request. Larger ones go through an upload session, whose secret URL is kept, encrypted, with the
effect, so that another try on another worker goes on from the last accepted fragment; it does so only when the
source gives the same bytes again, and starts over otherwise. Nothing is committed before the whole file has been
read and found sound.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from interchange.core.fragments import FRAGMENT_UNIT, Step, after_answer, next_offset
from interchange.core.stored import Verdict, judge
from interchange.delivery.source import Damaged, FileFacts, Fragment, Reading, Source
from interchange.errors import (
    BadRecord,
    Conflict,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from interchange.hooks.onedrive import DriveItem, OneDriveHook

log = logging.getLogger(__name__)

# Every server takes this much in one request (the documented limit is 250 MB, older ones say 4 MB).
SMALL_FILE = 4_000_000
TRIES_PER_FRAGMENT = 5
SESSIONS_PER_TRY = 3
LOOKS_FOR_HASH = 4


class Progress(Protocol):
    """Where an unfinished delivery keeps what the next try needs; encrypted, since a session's URL is a secret."""

    def load(self) -> Mapping[str, Any] | None: ...

    def save(self, data: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where in OneDrive: the owner of the drive, a folder path and a file name."""

    user: str
    folder: str
    name: str
    media_type: str

    @property
    def path(self) -> str:
        return f"{self.folder.strip('/')}/{self.name}".lstrip("/")


@dataclass(frozen=True, kw_only=True)
class Delivered:
    item: DriveItem
    facts: FileFacts
    verdict: Verdict


class _SessionLost(Exception):
    """The upload session is of no use any more; the file has to be sent again from its first byte."""


class OneDriveDelivery:
    """
    Delivers one file to one target.

    :param fragment_size: bytes of one request of an upload session, a multiple of 327,680.
    :param small_file: bytes up to which a file goes in one request.
    :param pause: how to wait, given seconds.
    """

    def __init__(
        self,
        hook: OneDriveHook,
        target: Target,
        progress: Progress,
        *,
        fragment_size: int,
        small_file: int = SMALL_FILE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hook = hook
        self._target = target
        self._progress = progress
        self._fragment_size = fragment_size
        self._small_file = small_file
        self._pause = pause
        # What an earlier try left counts only for the place that this one is about.
        place = f"{hook.account}\n{target.user}\n{target.path}"
        self._place = hashlib.sha256(place.encode()).hexdigest()

    def find(self) -> Delivered | None:
        """What an interrupted try left: the item, if it is the file that try was about to finish."""
        saved = self._progress.load() or {}
        expected = saved.get("expected")
        if not isinstance(expected, Mapping) or saved.get("place") != self._place:
            return None  # No try ever came to its last byte here.
        facts = FileFacts(**expected)
        item = self._stored(facts, before=saved.get("before"))
        return None if item is None else Delivered(item=item, facts=facts, verdict=self._judge(item, facts))

    def deliver(self, source: Source) -> Delivered:
        """
        Send the file.

        :raises Unavailable: nothing was committed; a later call goes on where this one stopped, if it can.
        :raises Damaged: the source is no usable file.
        :raises Refused: a person must act (quota, permission, name).
        :raises OutcomeUnknown: the last request may have been carried out: ask :meth:`find` first.
        """
        self._hook.ensure_folder(self._target.user, self._target.folder)
        with source.reading() as reading:
            if reading.length is not None:
                return self._deliver(source, reading, reading.length)
            # An upload names its length first, so the file is read twice and kept nowhere.
            size = reading.measure().size
        with source.reading() as reading:
            return self._deliver(source, reading, size)

    def _deliver(self, source: Source, reading: Reading, total: int) -> Delivered:
        if total <= self._small_file:
            item, facts = self._put(reading, total)
        else:
            item, facts = self._upload(source, reading, total)
        return Delivered(item=item, facts=facts, verdict=self._verify(item, facts))

    # One request

    def _put(self, reading: Reading, total: int) -> tuple[DriveItem, FileFacts]:
        self._drop_session()
        (fragment,) = reading.fragments(max(total, 1), total=total)
        facts = _facts_of(fragment)
        self._progress.save(
            {"place": self._place, "expected": facts.as_json(), "before": self._version_now()}
        )
        item = self._hook.put_small(
            self._target.user, self._target.path, bytes(fragment.content), media_type=self._target.media_type
        )
        return item, facts

    def _version_now(self) -> str | None:
        """The content that our last request is going to replace: tells a new file of equal size from the old one."""
        item = self._hook.item(self._target.user, self._target.path)
        return None if item is None else item.version

    # Upload session

    def _upload(self, source: Source, reading: Reading, total: int) -> tuple[DriveItem, FileFacts]:
        with contextlib.ExitStack() as reopened:
            for _ in range(SESSIONS_PER_TRY):
                session = self._open_session(source, total)
                try:
                    return self._send_all(reading, total, session)
                except _SessionLost as lost:
                    log.warning("The upload session cannot go on (%s): starting over with a new one", lost)
                except (Refused, Damaged):
                    # A break on the way can be mended by a later try; a refusal or a useless source cannot.
                    self._drop_session(keep_if_open=True)
                    raise
                self._drop_session()
                reopened.close()
                reading = reopened.enter_context(source.reading())
        raise Unavailable(
            "onedrive.upload", f"{SESSIONS_PER_TRY} upload sessions were lost one after another"
        )

    def _open_session(self, source: Source, total: int) -> dict[str, Any]:
        progress = self._progress.load() or {}
        saved = progress.get("session")
        if isinstance(saved, dict):
            same_place = progress.get("place") == self._place
            if same_place and saved["total"] == total and saved["source"] == source.identity:
                try:
                    saved["resume_at"] = next_offset(self._hook.session_ranges(saved["url"])) or 0
                except (NotFound, BadRecord):
                    log.info("The upload session of an earlier try has ended")
                except Refused:
                    log.info("The credential of an earlier try's upload session has ended")
                else:
                    if saved["resume_at"] in (0, saved["sent"], saved["sending"]):
                        log.info(
                            "Going on with the upload session of an earlier try at byte %s",
                            saved["resume_at"],
                        )
                        return saved
            self._drop_session()
        session = {
            "url": self._new_session(total),
            "total": total,
            "source": source.identity,
            "sent": 0,
            "sent_prefix": "",
            "sending": 0,
            "sending_prefix": "",
            "resume_at": 0,
        }
        self._progress.save({"place": self._place, "session": session})
        return session

    def _new_session(self, total: int) -> str:
        try:
            return self._hook.create_session(self._target.user, self._target.path, size=total)
        except Conflict as exc:
            # We hold the claim on this path: it is a session whose URL was lost with its answer. It cannot be
            # cancelled without that URL and ends by itself within 15 minutes.
            raise RateLimited(
                exc.operation,
                "a forgotten upload session still holds the file",
                retry_after_s=300,
                status=exc.status,
            ) from exc
        except OutcomeUnknown as exc:
            # A session that nobody uses changes nothing.
            raise Unavailable(
                exc.operation, exc.detail, status=exc.status, request_id=exc.request_id
            ) from exc

    def _send_all(self, reading: Reading, total: int, session: dict[str, Any]) -> tuple[DriveItem, FileFacts]:
        if reading.length not in (None, total):
            raise _SessionLost("the source has another length now")
        with contextlib.closing(reading.fragments(self._fragment_size, total=total)) as fragments:
            return self._send_fragments(fragments, total, session)

    def _send_fragments(
        self, fragments: Iterable[Fragment], total: int, session: dict[str, Any]
    ) -> tuple[DriveItem, FileFacts]:
        resume_at = session["resume_at"]
        prefixes = {session["sent"]: session["sent_prefix"], session["sending"]: session["sending_prefix"]}
        for fragment in fragments:
            if fragment.end <= resume_at and fragment.facts is None:
                continue
            if fragment.start == resume_at > 0 and fragment.prefix != prefixes.get(resume_at):
                raise _SessionLost("the source gives other bytes than before")
            if fragment.start < resume_at:
                raise _SessionLost("the fragment size has changed since")
            progress: dict[str, Any] = {
                "place": self._place,
                "session": {
                    **session,
                    "sent": fragment.start,
                    "sent_prefix": fragment.prefix,
                    "sending": fragment.end,
                    "sending_prefix": fragment.prefix_after,
                },
            }
            if fragment.facts is not None:
                progress |= {"expected": fragment.facts.as_json(), "before": self._version_now()}
            self._progress.save(progress)
            item = self._send(session["url"], fragment, total)
            if fragment.facts is not None:
                if item is None:
                    raise _SessionLost("the server has every byte and still makes no file of them")
                return item, fragment.facts
            if item is not None:
                raise _SessionLost("the server finished the file too early")
        raise _SessionLost("the source ended without its last fragment")

    def _send(self, url: str, fragment: Fragment, total: int) -> DriveItem | None:
        """Send one fragment until the server has it; the item after the last one."""
        content = memoryview(fragment.content)
        offset = fragment.start
        last = fragment.facts is not None
        trouble: Unavailable | Refused | OutcomeUnknown | None = None
        for attempt in range(TRIES_PER_FRAGMENT):
            if attempt:
                self._pause(min(0.5 * 2 ** (attempt - 1), 8.0))
            try:
                answer = self._hook.put_fragment(
                    url, content[offset - fragment.start :], start=offset, total=total
                )
                if answer.item is not None:
                    return answer.item
                ranges = answer.next_ranges
            except RateLimited:
                raise
            except Conflict:
                if not last:
                    raise
                return self._hook.commit_session(self._target.user, self._target.path, url)
            except (Unavailable, OutcomeUnknown, Refused) as exc:
                if exc.status == 401:
                    raise _SessionLost("its credential has ended") from exc
                if isinstance(exc, Refused) and not isinstance(exc, NotFound) and exc.status != 416:
                    raise
                trouble = exc
                try:
                    found = self._ask(url, fragment, last)
                except (Unavailable, Refused):
                    if last and isinstance(exc, OutcomeUnknown):
                        # The file may be there by now: another try has to look before it sends.
                        raise exc from None
                    raise
                if isinstance(found, DriveItem):
                    return found
                if found is None:
                    # A 404 can be replication lag once; the next attempt tells.
                    if attempt == 0:
                        continue
                    raise _SessionLost("it is gone") from exc
                ranges = found
            offset = self._next(ranges, fragment, total)
            if offset == fragment.end and not last:
                return None
            if offset == fragment.end:
                return self._stored(_facts_of(fragment), before=(self._progress.load() or {}).get("before"))
        if last and isinstance(trouble, OutcomeUnknown):
            raise trouble
        detail = trouble.detail if trouble is not None else "the server keeps asking for the same bytes"
        raise Unavailable("onedrive.put_fragment", detail)

    def _ask(self, url: str, fragment: Fragment, last: bool) -> tuple[str, ...] | DriveItem | None:
        """What the server has after an unclear answer: ranges it wants, the finished item, or no session at all."""
        try:
            return self._hook.session_ranges(url)
        except NotFound:
            before = (self._progress.load() or {}).get("before")
            return self._stored(_facts_of(fragment), before=before) if last else None

    def _stored(self, facts: FileFacts, *, before: str | None) -> DriveItem | None:
        """
        The item, if it is the file with these facts.

        :param before: the version that our upload was to replace. Where the hash cannot tell, a version that is
            still the same is the old file.
        """
        item = self._hook.item(self._target.user, self._target.path)
        if item is None:
            return None
        verdict = self._judge(item, facts)
        if verdict is Verdict.DIFFERENT or (verdict is not Verdict.SAME and item.version == before):
            return None
        return item

    def _next(self, ranges: tuple[str, ...], fragment: Fragment, total: int) -> int:
        try:
            step, offset = after_answer(
                ranges, buffered_from=fragment.start, sent_to=fragment.end, total=total
            )
        except BadRecord as exc:
            raise _SessionLost(f"the server's answer cannot be read: {exc}") from exc
        if step is Step.FINISHED:
            return fragment.end
        if step is Step.RESTART or (
            offset < fragment.end < total and (fragment.end - offset) % FRAGMENT_UNIT
        ):
            raise _SessionLost("the server wants bytes that have passed")
        return offset

    def abandon(self) -> None:
        """End an upload session that an earlier try left open: the file is not wanted any more."""
        saved = (self._progress.load() or {}).get("session")
        if isinstance(saved, dict):
            self._cancel(saved)

    def _drop_session(self, *, keep_if_open: bool = False) -> None:
        """:param keep_if_open: one that cannot be cancelled now is left to the next try, which goes on with it."""
        saved = (self._progress.load() or {}).get("session")
        if isinstance(saved, dict) and (self._cancel(saved) or not keep_if_open):
            self._progress.save({})

    def _cancel(self, session: Mapping[str, Any]) -> bool:
        try:
            self._hook.cancel_session(session["url"])
        except NotFound:
            return True
        except (Unavailable, Refused):
            log.info("An abandoned upload session could not be cancelled; it ends by itself")
            return False
        return True

    # Proof

    def _verify(self, item: DriveItem, facts: FileFacts) -> Verdict:
        verdict = self._judge(item, facts)
        for look in range(LOOKS_FOR_HASH):
            if verdict is not Verdict.SAME_SIZE_NO_HASH:
                break
            # Directly after an upload the hash may still be missing.
            self._pause(0.5 * 2**look)
            again = self._hook.item(self._target.user, self._target.path)
            if again is not None:
                verdict = self._judge(again, facts)
        if verdict is Verdict.DIFFERENT:
            self._progress.save({})
            raise Unavailable(
                "onedrive.verify", "the stored file is not the one that was sent; it will be sent again"
            )
        return verdict

    def _judge(self, item: DriveItem, facts: FileFacts) -> Verdict:
        return judge(
            self._target.name,
            size=facts.size,
            quick_xor_hash=facts.quick_xor_hash,
            stored_size=item.size,
            stored_hash=item.quick_xor_hash,
        )


def receipt_of(delivered: Delivered) -> dict[str, Any]:
    """The item's part of a delivery's receipt."""
    item = asdict(delivered.item)
    return {
        "item_id": item["id"],
        "drive_id": item["drive_id"],
        "version": item["version"],
        # It contains the mailbox's name.
        "web_url": item["web_url"],
        "personal": ["web_url"],
        "proof": delivered.verdict.value,
        **delivered.facts.as_json(),
    }


def _facts_of(fragment: Fragment) -> FileFacts:
    if fragment.facts is None:
        raise ValueError("only the last fragment has facts")
    return fragment.facts
