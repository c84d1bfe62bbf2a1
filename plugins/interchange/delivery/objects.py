"""
An export file onto a disk or into an object store, by Airflow's ObjectStoragePath and its connections.

A file appears under its name only when it is whole: locally through a rename, in a store through the commit at the
end of an upload. An interrupted delivery leaves nothing under the name, and the next one starts over: unlike an
OneDrive session, these cannot be gone on with from another worker.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from interchange.core.destination import join_url
from interchange.delivery.source import FileFacts, Reading, Source
from interchange.errors import Refused, SettingsError, Unavailable

log = logging.getLogger(__name__)

# The smallest part S3 takes is 5 MiB; GCS wants multiples of 256 KiB.
BLOCK = 8 << 20
OPERATION = "store.write"
_WRONG_PLACE = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)


class ObjectDelivery:
    """
    Delivers one file to ``folder_url``, replacing what has its name.

    :param folder_url: ``file:///…``, ``s3://CONN_ID@bucket/…``, ``gs://…`` or ``abfs://CONN_ID@container/…``.
    """

    def __init__(self, folder_url: str, name: str) -> None:
        url = join_url(folder_url, name)
        if urlsplit(url).scheme == "file":
            # A percent sign, # or ? in the name is part of it and must not end it or lead out of the folder.
            url = url.removesuffix(name) + quote(name, safe="")
        self._url = url

    def deliver(self, source: Source) -> dict[str, Any]:
        """
        Write the file, read it back, and return its part of the receipt.

        :raises Unavailable: nothing was committed, or what is stored is not what was sent: safe to do again.
        :raises Damaged: the source is no usable file; nothing was committed.
        :raises SettingsError: the place does not exist or may not be written.
        """
        with source.reading() as reading:
            facts = self._write(reading)
        stored = read_back(self._url)
        if stored != (facts.size, facts.sha256):
            raise Unavailable(
                "store.verify", "the stored file is not the one that was sent; it will be sent again"
            )
        return {"url": self._url, "proof": "size and sha256, read back", **facts.as_json()}

    def _write(self, reading: Reading) -> FileFacts:
        try:
            if urlsplit(self._url).scheme == "file":
                return _write_local(_local_path(self._url), reading)
            return self._write_remote(reading)
        except OSError as exc:
            if isinstance(exc, _WRONG_PLACE) or exc.errno in (errno.EROFS, errno.ENAMETOOLONG):
                reason = exc.strerror or type(exc).__name__
                raise SettingsError(f"{self._url}: cannot be written: {reason}") from None
            raise Unavailable(OPERATION, f"writing failed: {exc.strerror or type(exc).__name__}") from exc

    def _write_remote(self, reading: Reading) -> FileFacts:
        with _translated():
            file = _open(self._url, "wb")
            try:
                for chunk in reading.chunks():
                    file.write(chunk)
                facts = reading.facts()
            except BaseException:
                _discard(file)
                raise
            file.close()
            return facts


def read_back(url: str) -> tuple[int, str] | None:
    """
    Size and SHA-256 (hex) of the file as it is stored now; None if it is not there.

    :raises Unavailable: it cannot be read now.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with _translated(), _opened(url) as content:
            while piece := content.read(BLOCK):
                digest.update(piece)
                size += len(piece)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise Unavailable(
            "store.verify", f"reading back failed: {exc.strerror or type(exc).__name__}"
        ) from exc
    return size, digest.hexdigest()


@contextlib.contextmanager
def _opened(url: str) -> Iterator[IO[bytes]]:
    if urlsplit(url).scheme == "file":
        with _local_path(url).open("rb") as content:
            yield content
        return
    with _open(url, "rb") as content:
        yield content


def _open(url: str, mode: str) -> Any:
    from airflow.sdk import ObjectStoragePath

    # At INFO, Azure's library writes every request with its URL into the task's log.
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
    path: Any = ObjectStoragePath(url)
    # A listing from before an upload must not answer for the file of now.
    path.fs.invalidate_cache()
    # Not the path's own open(): it wraps the file, and a wrapped file cannot be told not to commit (see _discard).
    return path.fs.open(path.path, mode, block_size=BLOCK)


def _write_local(path: Path, reading: Reading) -> FileFacts:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The claim on the place keeps others away; what a killed process left here is simply overwritten.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            for chunk in reading.chunks():
                file.write(chunk)
            facts = reading.facts()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return facts


def _local_path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _discard(file: Any) -> None:
    """Give up an upload. Closing it, as leaving its ``with`` block or losing sight of it does, would commit it."""
    try:
        if "s3" in file.fs.protocol:
            # Parts of an unfinished upload are kept, and paid for, until somebody aborts it. GCS and Azure forget
            # theirs after a week.
            file.discard()
    except OSError:
        log.info("An unfinished upload could not be aborted; the bucket's lifecycle rule has to")
    finally:
        file.closed = True


_STORES = ("azure", "botocore", "aiobotocore", "google", "gcsfs", "aiohttp")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The stores' own libraries raise their own errors; their classes tell what to do, their texts may hold URLs."""
    try:
        yield
    except OSError:
        raise
    except Exception as exc:
        # adlfs hides Azure's error behind a RuntimeError.
        store_error = next(
            (e for e in (exc, exc.__cause__) if type(e).__module__.partition(".")[0] in _STORES), None
        )
        if store_error is None:
            raise
        name = type(store_error).__name__
        status = getattr(store_error, "status_code", None) or getattr(store_error, "code", None)
        if status in (400, 401, 403, 404):
            raise Refused(
                OPERATION, f"the store refuses: {name}; check the bucket and the connection"
            ) from None
        raise Unavailable(OPERATION, f"the store fails: {name}") from None
