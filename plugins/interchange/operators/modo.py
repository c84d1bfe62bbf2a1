"""A directory file into Modo: checked before anything leaves this machine, uploaded once."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from interchange.errors import BadRecord, OutcomeUnknown, Refused, SettingsError
from interchange.hooks.http import Limiter
from interchange.hooks.modo import ModoHook
from interchange.ledger import EffectRef, Ledger, RunRef

log = logging.getLogger(__name__)

DAG_ID = "modo_directory"
CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class DirectoryFile:
    """
    What a directory file was found to be.

    :param size: bytes.
    :param entries: elements directly below the root.
    """

    size: int
    entries: int
    sha256: str


def plan_upload(params: Mapping[str, Any]) -> dict[str, Any]:
    """
    What task ``check`` of the DAG gives to its next: file, label and what the file was found to be.

    :raises SettingsError: no file is given.
    :raises BadRecord: the file is no usable directory.
    """
    file = str(params.get("file") or "")
    found = check_directory(file, min_entries=int(params["min_entries"]), max_mib=int(params["max_mib"]))
    name = str(params.get("name") or Path(file).stem)
    log.info("%s: %s bytes, %s entries, as revision %r", file, found.size, found.entries, name)
    return {"file": file, "name": name, **asdict(found)}


def upload_checked(checked: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Upload what :func:`plan_upload` found; see :func:`upload_directory`."""
    from interchange.ledger.limits import RateLimiter
    from interchange.operators.ledger import lease_s, ledger_of, run_of

    ledger = ledger_of(context)
    return upload_directory(
        checked["file"],
        name=checked["name"],
        checked=DirectoryFile(size=checked["size"], entries=checked["entries"], sha256=checked["sha256"]),
        conn_id=ModoHook.default_conn_name,
        ledger=ledger,
        limiter=RateLimiter(ledger.engine),
        run=run_of(context),
        lease_s=lease_s(),
    )


def check_directory(file: str, *, min_entries: int, max_mib: int) -> DirectoryFile:
    """
    Read a directory file once, as a stream. Modo's schema is not public, so only what any schema needs is checked.

    :param file: a path, or a URL such as ``s3://CONN_ID@bucket/directory.xml``.
    :raises BadRecord: missing, empty, too large, not well-formed, with entities of its own, or with fewer entries
        than a directory can have.
    """
    with opened(file) as content:
        return _check(content, min_entries=min_entries, max_size=max_mib << 20)


def _check(content: IO[bytes], *, min_entries: int, max_size: int) -> DirectoryFile:
    digest, size, entries = hashlib.sha256(), 0, _Entries()
    # No tree is built, and nothing outside the file is ever opened.
    parser = expat.ParserCreate()
    parser.StartElementHandler = entries.start
    parser.EndElementHandler = entries.end
    parser.EntityDeclHandler = _refuse_entity
    try:
        while piece := content.read(CHUNK):
            size += len(piece)
            if size > max_size:
                raise BadRecord("file", f"is larger than {max_size >> 20} MiB")
            digest.update(piece)
            parser.Parse(piece, False)
        if size == 0:
            raise BadRecord("file", "is empty")
        parser.Parse(b"", True)
    except expat.ExpatError as exc:
        raise BadRecord("file", f"is not well-formed XML (line {exc.lineno}); it may be cut off") from None
    except (LookupError, ValueError):
        raise BadRecord("file", "is written in an encoding that cannot be read; use UTF-8") from None
    if entries.count < min_entries:
        raise BadRecord(
            "file", f"has {entries.count} entries below its root; at least {min_entries} are expected"
        )
    return DirectoryFile(size=size, entries=entries.count, sha256=digest.hexdigest())


class _Entries:
    """Counts the elements directly below the root."""

    def __init__(self) -> None:
        self.count = 0
        self._depth = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.count += self._depth == 1
        self._depth += 1

    def end(self, name: str) -> None:
        self._depth -= 1


def _refuse_entity(name: str, *declared: object) -> None:
    # Whoever expands them may be made to read other files, or to run out of memory; a directory needs none.
    raise BadRecord("file", f"declares the entity {name!r}: write out what it stands for")


def upload_directory(
    file: str,
    *,
    name: str,
    checked: DirectoryFile,
    conn_id: str,
    ledger: Ledger,
    limiter: Limiter,
    run: RunRef,
    lease_s: float,
) -> dict[str, Any]:
    """
    Upload a checked file as a new revision, and make it the current one where that takes a request of its own.

    :param name: label of the revision; the same label with the same content is uploaded once.
    :raises SettingsError: the file is not there any more, or not the one that was checked.
    :raises Refused: also where the revision may exist: a person looks at Modo's console and settles it.
    """
    key = f"{name}/{checked.sha256[:32]}"
    with closing(ModoHook(conn_id, limiter=limiter)) as modo:

        def upload() -> dict[str, Any]:
            with _still_there(file) as content:
                if _sha256(content) != checked.sha256:
                    raise SettingsError(f"{file} has changed since it was checked; clear task 'check'")
                revision_id = modo.upload_directory(content, name=name, file_name=Path(file).name)
            return {"name": name, "revision_id": revision_id, **asdict(checked)}

        ref = EffectRef(DAG_ID, "directory", key)
        try:
            receipt = ledger.perform(ref, send=upload, find=None, lease_s=lease_s, run=run)
        except OutcomeUnknown as exc:
            # Modo has no look-up: another try would learn nothing, only make the person wait.
            raise Refused(
                "modo.upload_directory",
                f"the revision may exist ({exc.detail}). Look at Modo's console, then: python -m interchange settle "
                f"'{ref}' --to confirmed|planned --reason …, and clear this task",
            ) from exc
        if modo.enables_separately:

            def enable() -> dict[str, Any]:
                modo.enable_directory(name, receipt.get("revision_id"))
                return {"name": name}

            ledger.perform(
                EffectRef(DAG_ID, "directory_enabled", key),
                send=enable,
                find=None,
                resend=True,  # Making the current revision current changes nothing.
                lease_s=lease_s,
                run=run,
            )
    log.info("Directory revision %s: %s bytes, %s entries", name, checked.size, checked.entries)
    return receipt


@contextmanager
def opened(file: str) -> Iterator[IO[bytes]]:
    """
    Open a local path or an object store's URL for reading.

    :raises BadRecord: it is not there or cannot be read.
    """
    if not file:
        raise SettingsError("file: give the path or URL of the directory file")
    try:
        if "://" in file:
            from airflow.sdk import ObjectStoragePath

            path: Any = ObjectStoragePath(file)
            with path.open("rb") as content:
                yield content
        else:
            with Path(file).open("rb") as content:
                yield content
    except OSError as exc:
        raise BadRecord("file", f"cannot be read: {exc.strerror or type(exc).__name__}") from None


@contextmanager
def _still_there(file: str) -> Iterator[IO[bytes]]:
    try:
        with _local_copy(file) as content:
            yield content
    except BadRecord as exc:
        # To set the revision aside would need a person twice: the file is what is missing.
        raise SettingsError(f"{file} {exc.reason}; it was there when task 'check' looked") from None


@contextmanager
def _local_copy(file: str) -> Iterator[IO[bytes]]:
    """A file on this machine's disk: an upload needs its length first."""
    if "://" not in file:
        with opened(file) as content:
            yield content
        return
    with tempfile.TemporaryFile() as copy, opened(file) as content:
        shutil.copyfileobj(content, copy, CHUNK)
        copy.seek(0)
        yield copy


def _sha256(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := content.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()
