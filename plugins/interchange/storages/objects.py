"""What the clouds' object stores have in common: a prefix, one upload under a condition, a note beside each object."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

from interchange.errors import BadRecord
from interchange.storages.base import MANIFESTS, Occupied, Spooled, Storage


class ObjectStore(Storage):
    """
    :param prefix: in front of every name, without a slash at its end.
    """

    operation: ClassVar[str]
    largest: ClassVar[int | None] = None
    """Bytes of one upload; None: there is no limit that matters."""

    def __init__(self, *, name: str, prefix: str) -> None:
        super().__init__(name=name)
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @abstractmethod
    def put(self, file: Spooled, name: str, *, key: str) -> bool:
        """
        Upload a file, its key and SHA-256 noted beside it, if there is nothing of that name.

        :param name: with the prefix.
        :return: False: there is something.
        """

    def store(self, file: Spooled, path: str, *, key: str) -> None:
        if self.largest is not None and file.size > self.largest:
            raise BadRecord(
                "file", f"has more than {self.largest} bytes, which the store does not take in one piece"
            )
        if not self.put(file, f"{self.prefix}{path}", key=key):
            found = self.look(path)
            if found is None or (found.key, found.sha256) != (key, file.sha256):
                raise Occupied(self.operation, "another object has this name already")
        file.path.unlink(missing_ok=True)

    def flush(self, paths: Iterable[str]) -> None:
        """What the service has taken it keeps."""

    def settled(self, keys: Iterable[str]) -> None:
        """Whose an object is stands beside it, for ever."""

    def data(self, names: Iterable[str]) -> Iterator[str]:
        """Paths of listed names, manifests left out."""
        for name in names:
            path = name.removeprefix(self.prefix)
            if not path.startswith(f"{MANIFESTS}/"):
                yield path
