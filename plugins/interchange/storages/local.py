"""
A folder of a disk: written beside its place, synced, then linked to its name, which never replaces anything.

The unfinished file stays, as a second name of the same file, until the ledger knows: it says whose the file is, which a
disk does not note.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from interchange.errors import NotFound, SettingsError, Unavailable
from interchange.settings.spinoco_sync import LocalStorage
from interchange.storages.base import (
    CHUNK,
    MANIFESTS,
    Content,
    Occupied,
    Spooled,
    Storage,
    Stored,
    difference,
    difference_of_bytes,
)

OPERATION = "storage.local"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class LocalDisk(Storage):
    """``save_to`` is made if it is missing; every worker must see the same."""

    def __init__(self, settings: LocalStorage, *, name: str) -> None:
        super().__init__(name=name)
        self._root = Path(settings.save_to)
        self._synced: set[Path] = set()
        with _translated():
            self._root.mkdir(parents=True, exist_ok=True)

    @property
    def place(self) -> str:
        return f"file://{self._root}"

    @cached_property
    def spool_folder(self) -> Path:
        # On the disk itself: a file is linked to its name, not copied.
        return self._root / MANIFESTS / "unfinished" / self.name

    def store(self, file: Spooled, path: str, *, key: str) -> None:
        target = self._root / path
        with _translated():
            try:
                self._make_folder(target.parent)
            except (FileExistsError, NotADirectoryError):
                raise Occupied(OPERATION, "another file has the name of its folder") from None
            _sync_file(file.path)
            try:
                _link(file.path, target)
            except FileExistsError:
                if target.is_dir():
                    raise Occupied(OPERATION, "a folder has this name already") from None
                # An earlier attempt may have got this far, and the same bytes are the same file.
                if self.prove(path, file) is not None:
                    raise Occupied(OPERATION, "another file has this name already") from None
                file.path.unlink()

    def flush(self, paths: Iterable[str]) -> None:
        with _translated():
            for folder in {(self._root / path).parent for path in paths}:
                _sync(folder)

    def found(self, path: str, key: str) -> Stored | None:
        with _translated():
            try:
                ours = Path(self.spool_path(key)).samefile(self._root / path)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return self.look(path) if ours else None

    def settled(self, keys: Iterable[str]) -> None:
        with _translated():
            for key in keys:
                self.spool_path(key).unlink(missing_ok=True)

    def sweep(self, *, all_settled: bool = False) -> None:
        with _translated():
            for path in self.spool_folder.glob("*"):
                if all_settled or path.stat().st_nlink == 1:
                    path.unlink(missing_ok=True)
            if all_settled:
                self._remove_empty(self.spool_folder)

    def _remove_empty(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()

    def _make_folder(self, folder: Path) -> None:
        """A folder that outlives a power cut, with all above it."""
        if folder in self._synced:
            return
        if folder != self._root:
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            _sync(folder.parent)
        self._synced.add(folder)

    def look(self, path: str) -> Stored | None:
        target = self._root / path
        with _translated():
            try:
                return Stored(size=target.stat().st_size, sha256=None, key=None)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def prove(self, path: str, content: Content) -> str | None:
        """By reading all of it."""
        return difference(self.look(path), content) or difference_of_bytes(self.read(path), content)

    def read(self, path: str) -> Iterator[bytes]:
        with _translated():
            try:
                file = (self._root / path).open("rb")
            except (FileNotFoundError, NotADirectoryError):
                raise NotFound(OPERATION, "there is no such file") from None
            with file:
                while chunk := file.read(CHUNK):
                    yield chunk

    def close(self) -> None:
        """Nothing is kept open."""

    def paths(self) -> Iterator[str]:
        with _translated():
            for folder, folders, names in os.walk(self._root, onerror=_raise):
                if Path(folder) == self._root and MANIFESTS in folders:
                    folders.remove(MANIFESTS)
                for name in sorted(names):
                    yield str((Path(folder) / name).relative_to(self._root))


def _raise(exc: OSError) -> None:
    raise exc


def _link(source: Path, target: Path) -> None:
    """
    :raises FileExistsError: ``target`` is there.
    """
    try:
        os.link(source, target)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        raise SettingsError(
            f"the disk of {target.parent} knows no hard links, without which a file cannot be written once and for "
            "all: use another disk"
        ) from None


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        # Asked again, the system may call written what it has lost: the file must come anew.
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Network file systems may have nothing to sync a folder with.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PermissionError as exc:
        raise SettingsError(f"save_to: {exc.filename} may not be read or written by this worker") from None
    except (FileExistsError, NotADirectoryError) as exc:
        raise SettingsError(f"save_to: {exc.filename} is no folder") from None
    except OSError as exc:
        what = "the disk is full" if exc.errno in _FULL else f"the disk is not well ({exc.strerror})"
        raise Unavailable(OPERATION, what) from None
