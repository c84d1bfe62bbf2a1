"""Fetching files, several at once, and storing each: what becomes of every one of them."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from interchange.core.spinoco_files import NotEmpty, checker_of, comes_late
from interchange.errors import BadRecord, NotFound, RateLimited, Refused, Unavailable
from interchange.hooks.spinoco import SpinocoHook
from interchange.storages import Content, Occupied, Spooled, Storage, spool
from interchange.sync.pages import Source
from interchange.sync.refusals import is_not_let_in

log = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 3
"""Of a transfer that breaks off, before the rest goes on without it."""
PAUSE_S = 1.0
OF_STORAGE = "storage."
NOT_YET = "is not there yet"
DATA_TYPES = {
    ".ogg": "Recordings",
    ".trans.json": "Transcriptions",
    ".history.json": "ChatHistory",
    ".meta.json": "Metadata",
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """
    One file to be moved.

    :param path: where it is stored.
    :param begun_before: an earlier attempt may have stored it.
    """

    source: Source
    path: str
    begun_before: bool = False


class Fate(StrEnum):
    """What became of one file."""

    STORED = "stored"
    BAD = "bad"
    """It is not sound, or cannot be fetched."""
    GONE = "gone"
    """It is not there."""
    LATE = "late"
    """It is not there, and may still come."""
    AWAY = "away"
    """Spinoco does not give it now."""
    OCCUPIED = "occupied"
    """Somebody else's file has its name."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """
    :param receipt: of a file that is stored; :param reason: of one that is not.
    """

    item: Item
    fate: Fate
    receipt: dict[str, Any] | None = None
    reason: str = ""


class Movers:
    """
    Two pools of threads: one fetches files, the other stores them meanwhile. Each thread has a hook or a storage of its
    own.

    Memory: a chunk of a mebibyte and its buffers for each, of a JSON file all of it (at most 16 MiB). Disk: at most two
    files for each that is fetched at once.

    :param spooled_for: the storage, asked where unfinished files are kept and what is to be known of them.
    :param parallel: files that are fetched at once; as many may be on their way into the storage.
    """

    def __init__(
        self,
        *,
        hook: Callable[[], SpinocoHook],
        storage: Callable[[], Storage],
        spooled_for: Storage,
        parallel: int,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._make_hook = hook
        self._make_storage = storage
        self._spooled_for = spooled_for
        self._pause = pause
        self._own = threading.local()
        self._opened: list[SpinocoHook | Storage] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._room = threading.BoundedSemaphore(2 * parallel)
        """For files that are fetched and not yet stored."""
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="spinoco")
        self._storing = ThreadPoolExecutor(parallel, thread_name_prefix="storing")

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._storing.shutdown(cancel_futures=True)
        for opened in self._opened:
            opened.close()

    @property
    def hook(self) -> SpinocoHook:
        mine: SpinocoHook = self._mine("hook", self._make_hook)
        return mine

    @property
    def storage(self) -> Storage:
        mine: Storage = self._mine("storage", self._make_storage)
        return mine

    def _mine(self, name: str, make: Callable[[], Any]) -> Any:
        made = getattr(self._own, name, None)
        if made is None:
            # Airflow's connections are read one at a time.
            with self._lock:
                made = make()
                self._opened.append(made)
            setattr(self._own, name, made)
        return made

    def each(self, do: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """
        Do something with each item, several at once; all results at the end.

        The first error ends it: what has begun is waited for, nothing else is begun. It is raised after the results.

        :param do: returns a result, None for none, or the future of one that another pool works at.
        """
        self._stop.clear()
        futures: list[Future[Any]] = []
        error: BaseException | None = None
        try:
            # One by one: the first is worked at while the next is still being made.
            for item in items:
                futures.append(self._pool.submit(self._unless_stopped, do, item))  # noqa: PERF401  # kept if one fails
            # Whoever woke up for each result would take the interpreter from those who work.
            wait(futures, return_when=FIRST_EXCEPTION)
            wait(_handed_on(futures), return_when=FIRST_EXCEPTION)
        except BaseException as exc:  # noqa: BLE001  # raised below
            error = exc
        self._stop.set()
        for future in futures:
            future.cancel()
        wait(futures)
        begun = [future for future in futures if not future.cancelled()]
        handed_on = _handed_on(begun)
        wait(handed_on)
        for future in [*begun, *handed_on]:
            if (failure := future.exception()) is not None:
                error = error or failure
            elif (result := future.result()) is not None and not isinstance(result, Future):
                yield result
        if error is not None:
            raise error

    def _unless_stopped(self, do: Callable[[Any], Any], item: Any) -> Any:
        if self._stop.is_set():
            return None
        try:
            return do(item)
        except BaseException:
            self._stop.set()
            raise

    def move(self, items: Iterable[Item]) -> Iterator[Moved]:
        """
        Fetch and store files.

        :raises Refused: Spinoco or the storage does not let us in. :raises Unavailable: the storage is not well.
        """
        return self.each(self._move, items)

    def _move(self, item: Item) -> Moved | Future[Moved | None] | None:
        if item.begun_before and (receipt := self._found(item)) is not None:
            return Moved(item=item, fate=Fate.STORED, receipt=receipt)
        self._room.acquire()
        storing: Future[Moved | None] | None = None
        try:
            if self._stop.is_set():
                return None
            fetched = _judged(item, lambda: self._fetch(item))
            if isinstance(fetched, Moved):
                return fetched
            storing = self._storing.submit(self._store, item, fetched)
            return storing
        finally:
            if storing is None:
                self._room.release()

    def _store(self, item: Item, file: Spooled) -> Moved | None:
        try:
            if self._stop.is_set():
                _remove(file.path)
                return None
            return _judged(item, lambda: self._stored(item, file))
        except BaseException:
            self._stop.set()
            raise
        finally:
            self._room.release()

    def _stored(self, item: Item, file: Spooled) -> Moved:
        storage: Storage = self.storage
        try:
            self._patiently(lambda: storage.store(file, item.path, key=item.source.key))
        except BaseException:
            _remove(file.path)
            raise
        return Moved(item=item, fate=Fate.STORED, receipt=receipt_of(item, file, storage))

    def _fetch(self, item: Item) -> Spooled:
        spooled = self._spooled_for.spool_path(item.source.key)

        def fetch() -> Spooled:
            with self.hook.file(item.source.path) as download:
                return spool(
                    download.chunks(), spooled, checker_of(item.source.name), self._spooled_for.digests
                )

        try:
            fetched: Spooled = self._patiently(fetch)
            return fetched
        except BaseException:
            _remove(spooled)
            raise

    def _patiently(self, do: Callable[[], Any]) -> Any:
        """A transfer that breaks off is begun anew, a few times."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return do()
            except RateLimited:
                raise
            except Unavailable:
                if attempt == ATTEMPTS:
                    raise
                self._pause(PAUSE_S * attempt)
        raise AssertionError("the loop ends by itself")

    def _found(self, item: Item) -> dict[str, Any] | None:
        """
        The receipt of what an attempt before this one has stored; None: nothing of ours is there.

        It was stored whole. Where the storage notes no checksum, the file is read.
        """
        storage: Storage = self.storage
        found = self._patiently(lambda: storage.found(item.path, item.source.key))
        if found is None:
            return None
        if found.sha256 is not None:
            content = Content(size=found.size, sha256=found.sha256, digests={})
            return receipt_of(item, content, storage)
        digest, size = sha256(), 0
        for chunk in storage.read(item.path):
            digest.update(chunk)
            size += len(chunk)
        return receipt_of(item, Content(size=size, sha256=digest.hexdigest(), digests={}), storage)


def _handed_on(futures: Iterable[Future[Any]]) -> list[Future[Any]]:
    """Those that they have left to another pool, as far as they are done."""
    done = [future for future in futures if future.done() and not future.cancelled()]
    return [
        future.result()
        for future in done
        if future.exception() is None and isinstance(future.result(), Future)
    ]


def _judged(item: Item, do: Callable[[], Result]) -> Result | Moved:
    """What an error means for one file; one that means more than that is raised."""
    try:
        return do()
    except RateLimited:
        raise
    except Occupied as exc:
        return Moved(item=item, fate=Fate.OCCUPIED, reason=exc.detail)
    except BadRecord as exc:
        return Moved(item=item, fate=Fate.BAD, reason=exc.reason)
    except NotFound as exc:
        if exc.operation.startswith(OF_STORAGE):
            raise
        fate = Fate.LATE if comes_late(item.source.name) else Fate.GONE
        return Moved(item=item, fate=fate, reason=NOT_YET if fate is Fate.LATE else "is not there")
    except Refused as exc:
        if exc.operation.startswith(OF_STORAGE) or is_not_let_in(exc) or exc.status is None:
            raise
        return Moved(item=item, fate=Fate.BAD, reason=f"is refused (HTTP {exc.status})")
    except Unavailable as exc:
        if exc.operation.startswith(OF_STORAGE):
            raise
        return Moved(item=item, fate=Fate.AWAY, reason=exc.detail)


def _remove(path: Path) -> None:
    """What cannot be removed now is swept by the next run; why we are here matters more."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def receipt_of(item: Item, content: Content, storage: Storage) -> dict[str, Any]:
    """What the ledger keeps of a stored file, and the manifest beside the data."""
    return {
        "task": item.source.task_id,
        "type": data_type(item.source.name),
        "source": item.source.path,
        "storage": storage.place,
        "place": storage.address(item.path),
        "path": item.path,
        "size": content.size,
        "sha256": content.sha256,
        "digests": {name: base64.b64encode(value).decode() for name, value in content.digests.items()},
        "stored_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def content_of(receipt: dict[str, Any]) -> Content:
    """What a receipt says a file is."""
    digests = {name: base64.b64decode(text) for name, text in receipt.get("digests", {}).items()}
    return Content(size=receipt["size"], sha256=receipt["sha256"], digests=digests)


def data_type(name: str) -> str:
    """What a file is, by the suffix of the server's name for it."""
    lower = name.lower()
    return next((kind for suffix, kind in DATA_TYPES.items() if lower.endswith(suffix)), "other")


def store_text(storage: Storage, text: str, path: str, *, key: str) -> None:
    """A small file of our own, such as a manifest."""
    file = spool([text.encode()], storage.spool_path(key), NotEmpty(), storage.digests)
    storage.store(file, path, key=key)
    storage.settled([key])
