"""
What every storage does: write a file once, say what it holds, prove it.

A file is brought to this machine's disk first, looked at on the way, and only then handed to the storage as a whole,
with checksums the storage itself checks: what is not sound never reaches it, and an upload that fails is repeated from
here, not from the source.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from interchange.core.spinoco_files import Checker
from interchange.errors import Conflict, Unavailable

MANIFESTS = ".interchange"
"""Folder beside the data, for what describes it."""
CHUNK = 1 << 20


class Digest(Protocol):
    """As of :mod:`hashlib`."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Content:
    """
    What a file is, without its bytes.

    :param sha256: hexadecimal.
    :param digests: by name, those the storage asked for.
    """

    size: int
    sha256: str
    digests: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Spooled(Content):
    """A whole, sound file on this machine's disk."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class Stored:
    """
    What a storage says of one file.

    :param sha256: as noted with it; None: the storage keeps no such note.
    :param key: whose it is, as noted with it; None as above.
    :param computed: the storage itself has computed the SHA-256.
    """

    size: int
    sha256: str | None
    key: str | None
    computed: bool = False


class Occupied(Conflict):
    """Another file is there already; nothing was written."""


class Storage(ABC):
    """
    One place for files. Not safe for two threads at once: each opens its own.

    All methods raise :class:`~interchange.errors.Unavailable` if the storage is not well,
    :class:`~interchange.errors.Refused` if it does not let us in, and
    :class:`~interchange.errors.SettingsError` if bucket or connection are wrong.
    """

    digests: ClassVar[Mapping[str, Callable[[], Digest]]] = {}
    """What is computed beside SHA-256 while a file comes in: checksums of the storage's own."""

    def __init__(self, *, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def place(self) -> str:
        """Where this is, the same for ever: ``s3://bucket/prefix``."""

    @cached_property
    def spool_folder(self) -> Path:
        """Where unfinished files are kept. A process that is killed leaves some; :meth:`sweep` removes them."""
        return (
            Path(tempfile.gettempdir())
            / "interchange-spool"
            / hashlib.sha256(f"{self.place}\n{self.name}".encode()).hexdigest()[:16]
        )

    def spool_path(self, key: str) -> Path:
        """Where the file of a key is brought to, before it is stored."""
        return self.spool_folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.part"

    def address(self, path: str) -> str:
        """A file's full name, for people."""
        return f"{self.place}/{path}"

    @abstractmethod
    def store(self, file: Spooled, path: str, *, key: str) -> None:
        """
        Write a file that is not there yet. What an earlier attempt of the same ``key`` has written is left.

        The spooled file is used up, unless an error is raised.

        :param key: names the file for ever, see :func:`~interchange.core.spinoco_files.file_key`.
        :raises Occupied: something else is there.
        """

    @abstractmethod
    def look(self, path: str) -> Stored | None:
        """What is there; None: nothing."""

    def found(self, path: str, key: str) -> Stored | None:
        """What an attempt before this one has stored under a key; None: nothing, or somebody else's file."""
        there = self.look(path)
        return there if there is not None and there.key == key else None

    @abstractmethod
    def flush(self, paths: Iterable[str]) -> None:
        """What was stored under these names outlives a power cut from now on; before, only what is in it does."""

    @abstractmethod
    def settled(self, keys: Iterable[str]) -> None:
        """The ledger knows of these files now: what :meth:`found` needs for them may go."""

    @abstractmethod
    def prove(self, path: str, content: Content) -> str | None:
        """
        Hold what is stored against what was stored, by a checksum the storage has computed or by reading it.

        :return: what is wrong, in words that follow the file's name; None: it is the file that was stored.
        """

    @abstractmethod
    def read(self, path: str) -> Iterator[bytes]:
        """:raises NotFound: there is nothing."""

    @abstractmethod
    def paths(self) -> Iterator[str]:
        """Everything there, manifests left out."""

    def sweep(self, *, all_settled: bool = False) -> None:
        """
        Remove what killed processes of this synchronisation have left unfinished. Nobody may be at work.

        :param all_settled: as by :meth:`settled`, of every file there is.
        """
        shutil.rmtree(self.spool_folder, ignore_errors=True)

    @abstractmethod
    def close(self) -> None:
        """Give connections back."""


def spool(
    chunks: Iterable[bytes], path: Path, checker: Checker, digests: Mapping[str, Callable[[], Digest]]
) -> Spooled:
    """
    Bring a stream to disk and look at every byte of it on the way.

    :param digests: of the storage it is for.
    :raises BadRecord: it is not sound. :raises Unavailable: it broke off, or this machine's disk does not take it.
    """
    try:
        return _spool(chunks, path, checker, digests)
    except OSError as exc:
        what = f"{path.parent} of this worker does not take the file ({exc.strerror})"
        raise Unavailable("storage.spool", what) from None


def _spool(
    chunks: Iterable[bytes], path: Path, checker: Checker, digests: Mapping[str, Callable[[], Digest]]
) -> Spooled:
    sha256 = hashlib.sha256()
    others: dict[str, Digest] = {name: make() for name, make in digests.items()}
    size = 0
    with _new(path) as file:
        for chunk in chunks:
            checker.feed(chunk)
            sha256.update(chunk)
            for digest in others.values():
                digest.update(chunk)
            size += file.write(chunk)
        checker.finish()
    return Spooled(
        path=path,
        size=size,
        sha256=sha256.hexdigest(),
        digests={name: digest.digest() for name, digest in others.items()},
    )


def _new(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileNotFoundError:
        # Others on this machine may not read what passes here.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        # Never written over: it may be a second name of a file that is stored.
        path.unlink()
    return path.open("xb")


OTHER_CHECKSUM = "has another checksum"


def difference(found: Stored | None, content: Content) -> str | None:
    """What a storage's word on a file has against what was stored."""
    if found is None:
        return "is missing"
    if found.size != content.size:
        return f"has {found.size} bytes, not {content.size}"
    if found.sha256 is not None and found.sha256 != content.sha256:
        return OTHER_CHECKSUM
    return None


def difference_of_bytes(chunks: Iterable[bytes], content: Content) -> str | None:
    """The same of a file that is read."""
    size, sha256 = 0, hashlib.sha256()
    for chunk in chunks:
        size += len(chunk)
        sha256.update(chunk)
    return difference(Stored(size=size, sha256=sha256.hexdigest(), key=None), content)
