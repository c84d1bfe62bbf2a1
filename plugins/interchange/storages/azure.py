"""
Azure Blob Storage: one Put Blob with Content-MD5 and ``If-None-Match: *``.

Source: Blob service REST API, Put Blob (a Content-MD5 that does not fit is refused, the service keeps the one it
computed; at most 5,000 MiB) and Get Blob Properties.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from interchange.errors import NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.settings.spinoco_sync import AzureStorage
from interchange.storages.base import (
    OTHER_CHECKSUM,
    Content,
    Digest,
    Spooled,
    Stored,
    difference,
    difference_of_bytes,
)
from interchange.storages.objects import ObjectStore

OPERATION = "storage.azure"
IN_ONE_PIECE = 64 << 20
"""The client library sends more than this in blocks."""
# The library's own repetitions wait for minutes; whoever calls repeats what is worth it.
OPTIONS = {"connection_timeout": 20, "read_timeout": 60, "retry_total": 0}


def _md5() -> Digest:
    return hashlib.md5(usedforsecurity=False)


class AzureContainer(ObjectStore):
    """A container, through Airflow's connection."""

    operation = OPERATION
    largest = 5000 << 20

    digests: ClassVar[Mapping[str, Callable[[], Digest]]] = {"md5": _md5}

    def __init__(self, settings: AzureStorage, *, name: str) -> None:
        super().__init__(name=name, prefix=settings.prefix)
        # The library notes each request's address, and with it names of files, in the task's log.
        logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
        self._settings = settings
        with self._translated():
            from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

            hook = WasbHook(wasb_conn_id=settings.conn_id)
            self._container: Any = hook.get_conn().get_container_client(settings.container)

    @property
    def place(self) -> str:
        return f"azure://{self._container.account_name}/{self._settings.container}/{self.prefix}".rstrip("/")

    def put(self, file: Spooled, name: str, *, key: str) -> bool:
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob import ContentSettings

        with self._translated(), file.path.open("rb") as content:
            try:
                self._container.get_blob_client(name).upload_blob(
                    content,
                    length=file.size,
                    overwrite=False,
                    metadata={"interchange_key": key, "sha256": file.sha256},
                    content_settings=ContentSettings(content_md5=bytearray(file.digests["md5"])),
                    validate_content=True,
                    **OPTIONS,
                )
            except ResourceExistsError:
                return False
        return True

    def look(self, path: str) -> Stored | None:
        return _stored(self._facts(path))

    def _facts(self, path: str) -> Any:
        from azure.core.exceptions import ResourceNotFoundError

        with self._translated():
            try:
                facts = self._blob(path).get_blob_properties(**OPTIONS)
            except ResourceNotFoundError as exc:
                if getattr(exc, "error_code", None) == "ContainerNotFound":
                    raise
                return None
        if not facts.etag:
            # A proxy's page with a 200.
            raise Unavailable(OPERATION, "the answer is not Azure's")
        return facts

    def prove(self, path: str, content: Content) -> str | None:
        """
        By the service's own MD5, computed from what it received.

        By reading where it has none: of a blob put together from blocks, it only keeps what it was told.
        """
        facts = self._facts(path)
        wrong = difference(_stored(facts), content)
        if wrong is not None:
            return wrong
        known = content.digests.get("md5")
        if known is None or content.size > IN_ONE_PIECE:
            return difference_of_bytes(self.read(path), content)
        computed = facts.content_settings.content_md5
        return None if computed is not None and bytes(computed) == known else OTHER_CHECKSUM

    def read(self, path: str) -> Iterator[bytes]:
        with self._translated():
            yield from self._blob(path).download_blob(**OPTIONS).chunks()

    def paths(self) -> Iterator[str]:
        with self._translated():
            yield from self.data(
                self._container.list_blob_names(name_starts_with=self.prefix or None, **OPTIONS)
            )

    def close(self) -> None:
        self._container.close()

    def _blob(self, path: str) -> Any:
        return self._container.get_blob_client(f"{self.prefix}{path}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import azure.core.exceptions as azure
        from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

        try:
            yield
        except AirflowNotFoundException:
            raise SettingsError(
                f"there is no connection {self._settings.conn_id}; create it (type wasb)"
            ) from None
        except azure.HttpResponseError as exc:
            raise self._meaning(exc) from None
        except azure.AzureError as exc:
            raise Unavailable(OPERATION, f"no usable answer ({type(exc).__name__})") from None
        except (AirflowException, ValueError):
            raise SettingsError(
                f"connection {self._settings.conn_id} holds no usable credentials for Azure"
            ) from None
        except OSError as exc:
            raise Unavailable(OPERATION, f"no usable answer ({type(exc).__name__})") from None

    def _meaning(self, exc: Any) -> Exception:
        status, code = exc.status_code, str(getattr(exc.error_code, "value", exc.error_code) or "")
        facts: dict[str, Any] = {"status": status, "code": code}
        if code == "ServerBusy" or status == 429:
            return RateLimited(OPERATION, "Azure asks to slow down", retry_after_s=30.0, **facts)
        if code == "BlobNotFound":
            return NotFound(OPERATION, "there is no such blob", **facts)
        if code == "Md5Mismatch" or (status or 500) >= 500 or status < 400:
            return Unavailable(OPERATION, f"Azure did not take it ({code or status})", **facts)
        return Refused(OPERATION, f"Azure refuses container {self._settings.container} ({code})", **facts)


def _stored(facts: Any) -> Stored | None:
    if facts is None:
        return None
    return Stored(
        size=facts.size, sha256=facts.metadata.get("sha256"), key=facts.metadata.get("interchange_key")
    )
