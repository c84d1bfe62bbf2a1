"""
Google Cloud Storage: an upload with ``ifGenerationMatch=0`` and a CRC32C that the service checks before it stores.

Source: Cloud Storage JSON API, Objects: insert (``crc32c`` of the metadata is validated, ``ifGenerationMatch=0``: only
if there is no live version).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from interchange.errors import NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.settings.spinoco_sync import GcsStorage
from interchange.storages.base import (
    CHUNK,
    OTHER_CHECKSUM,
    Content,
    Digest,
    Spooled,
    Stored,
    difference,
    difference_of_bytes,
)
from interchange.storages.objects import ObjectStore

OPERATION = "storage.gcs"
TIMEOUT_S = 60.0
IN_ONE_PIECE = 8 << 20
"""Larger uploads go in pieces, so that no file is held in memory."""


def _crc32c() -> Digest:
    import google_crc32c

    made: Digest = google_crc32c.Checksum()  # type: ignore[no-untyped-call]  # it has no types
    return made


class GcsBucket(ObjectStore):
    """A bucket, through Airflow's connection."""

    operation = OPERATION

    digests: ClassVar[Mapping[str, Callable[[], Digest]]] = {"crc32c": _crc32c}

    def __init__(self, settings: GcsStorage, *, name: str) -> None:
        super().__init__(name=name, prefix=settings.prefix)
        self._settings = settings
        with self._translated():
            self._bucket: Any = _client(settings).bucket(settings.bucket, user_project=settings.project)

    @property
    def place(self) -> str:
        return f"gs://{self._settings.bucket}/{self.prefix}".rstrip("/")

    def put(self, file: Spooled, name: str, *, key: str) -> bool:
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(name)
        blob.metadata = {"interchange-key": key, "sha256": file.sha256}
        blob.crc32c = base64.b64encode(file.digests["crc32c"]).decode()
        blob.chunk_size = IN_ONE_PIECE if file.size > IN_ONE_PIECE else None
        with self._translated(), file.path.open("rb") as content:
            try:
                blob.upload_from_file(
                    content,
                    size=file.size,
                    if_generation_match=0,
                    timeout=TIMEOUT_S,
                    checksum=None,
                    retry=None,
                )
            except PreconditionFailed:
                return False
        return True

    def look(self, path: str) -> Stored | None:
        return _stored(self._facts(path))

    def _facts(self, path: str) -> Any:
        with self._translated():
            return self._bucket.get_blob(f"{self.prefix}{path}", timeout=TIMEOUT_S, retry=None)

    def prove(self, path: str, content: Content) -> str | None:
        """By the service's own CRC32C, computed from what it received; by reading where the receipt has none."""
        facts = self._facts(path)
        wrong = difference(_stored(facts), content)
        if wrong is not None:
            return wrong
        if (known := content.digests.get("crc32c")) is None:
            return difference_of_bytes(self.read(path), content)
        return None if facts.crc32c == base64.b64encode(known).decode() else OTHER_CHECKSUM

    def read(self, path: str) -> Iterator[bytes]:
        blob = self._blob(path)
        with (
            self._translated(),
            blob.open("rb", chunk_size=CHUNK, timeout=TIMEOUT_S, retry=None) as content,
        ):
            while chunk := content.read(CHUNK):
                yield chunk

    def paths(self) -> Iterator[str]:
        with self._translated():
            listed = self._bucket.client.list_blobs(
                self._bucket, prefix=self.prefix, timeout=TIMEOUT_S, retry=None
            )
            yield from self.data(blob.name for blob in listed)

    def close(self) -> None:
        self._bucket.client.close()

    def _blob(self, path: str) -> Any:
        return self._bucket.blob(f"{self.prefix}{path}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import google.api_core.exceptions as google
        import requests
        from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except AirflowNotFoundException:
            raise SettingsError(
                f"there is no connection {self._settings.conn_id}; create it (type google_cloud_platform)"
            ) from None
        except google.TooManyRequests as exc:
            raise RateLimited(
                OPERATION, "Google asks to slow down", retry_after_s=30.0, status=exc.code
            ) from None
        except google.NotFound as exc:
            raise NotFound(
                OPERATION, f"there is no such object, or no bucket {self._settings.bucket}", status=exc.code
            ) from None
        except google.BadRequest as exc:
            # A checksum that does not fit: the bytes changed on their way.
            raise Unavailable(OPERATION, "Google did not take it", status=exc.code) from None
        except google.ClientError as exc:
            raise Refused(
                OPERATION, f"Google refuses bucket {self._settings.bucket}", status=exc.code
            ) from None
        except google.GoogleAPIError as exc:
            raise Unavailable(OPERATION, f"Google is not well ({type(exc).__name__})") from None
        except GoogleAuthError as exc:
            raise _sign_in(exc) from None
        except AirflowException:
            raise SettingsError(
                f"connection {self._settings.conn_id} holds no usable credentials for Google"
            ) from None
        except (requests.RequestException, OSError) as exc:
            raise Unavailable(OPERATION, f"no usable answer ({type(exc).__name__})") from None


def _stored(blob: Any) -> Stored | None:
    if blob is None:
        return None
    noted = blob.metadata or {}
    return Stored(size=blob.size, sha256=noted.get("sha256"), key=noted.get("interchange-key"))


def _sign_in(exc: Exception) -> Exception:
    import google.auth.exceptions as errors

    if isinstance(exc, errors.TransportError) or getattr(exc, "retryable", False):
        return Unavailable(OPERATION, "Google's sign-in gives no usable answer")
    return Refused(OPERATION, "Google does not accept the service account")


def _client(settings: GcsStorage) -> Any:
    from airflow.providers.google.cloud.hooks.gcs import GCSHook
    from google.api_core.client_options import ClientOptions
    from google.cloud import storage

    hook = GCSHook(gcp_conn_id=settings.conn_id)
    endpoint = hook.extras.get("gcs.endpoint")
    return storage.Client(
        project=settings.project or hook.project_id,
        credentials=hook.get_credentials(),
        client_options=ClientOptions(api_endpoint=endpoint) if endpoint else None,
    )
