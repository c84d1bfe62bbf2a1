"""
Amazon S3: one PUT, with a checksum S3 checks and ``If-None-Match: *``.

Sources: S3 API reference, PutObject (``IfNoneMatch``, ``ChecksumSHA256``: the object is not stored if the body does not
fit; at most 5 GiB in one PUT) and HeadObject (``ChecksumMode``).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from interchange.errors import BadRecord, NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.settings.spinoco_sync import S3Storage
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

OPERATION = "storage.s3"
LARGEST = 5 << 30
_THROTTLED = ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded")
_EXISTS = ("PreconditionFailed", "412")
# While another upload of the same key is being decided.
_UNDECIDED = ("ConditionalRequestConflict", "409")


class S3Bucket(Storage):
    """A bucket, through Airflow's connection."""

    def __init__(self, settings: S3Storage, *, name: str) -> None:
        super().__init__(name=name)
        self._settings = settings
        self._prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        with self._translated():
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook

            hook = S3Hook(aws_conn_id=settings.conn_id, region_name=settings.region)
            self._client: Any = hook.get_conn()

    @property
    def place(self) -> str:
        return f"s3://{self._settings.bucket}/{self._prefix}".rstrip("/")

    def store(self, file: Spooled, path: str, *, key: str) -> None:
        if file.size > LARGEST:
            raise BadRecord("file", f"has more than {LARGEST} bytes, which S3 does not take in one piece")
        with self._translated(), file.path.open("rb") as content:
            try:
                answer = self._client.put_object(
                    **self._named(path),
                    Body=content,
                    ContentLength=file.size,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(file.sha256)).decode(),
                    IfNoneMatch="*",
                    Metadata={"interchange-key": key, "sha256": file.sha256},
                )
            except self._client.exceptions.ClientError as exc:
                if _code(exc) not in _EXISTS:
                    raise
                found = self.look(path)
                if found is None or (found.key, found.sha256) != (key, file.sha256):
                    raise Occupied(OPERATION, "another object has this name already") from None
            else:
                _check_that_it_is_s3(answer)
        file.path.unlink(missing_ok=True)

    def flush(self, paths: Iterable[str]) -> None:
        """What the service has taken it keeps."""

    def settled(self, keys: Iterable[str]) -> None:
        """Whose an object is stands beside it, for ever."""

    def look(self, path: str) -> Stored | None:
        with self._translated():
            try:
                facts = self._client.head_object(**self._named(path), ChecksumMode="ENABLED")
            except self._client.exceptions.ClientError as exc:
                if _code(exc) in ("404", "NoSuchKey", "NotFound"):
                    self._check_bucket()
                    return None
                raise
        _check_that_it_is_s3(facts)
        checksum = facts.get("ChecksumSHA256")
        noted = facts["Metadata"].get("sha256")
        return Stored(
            size=facts["ContentLength"],
            # S3's own, computed over what it holds, before what was noted.
            sha256=base64.b64decode(checksum).hex() if checksum else noted,
            computed=bool(checksum),
            key=facts["Metadata"].get("interchange-key"),
        )

    def _check_bucket(self) -> None:
        # A HEAD's answer has no body: a bucket that is not there looks like an object that is not.
        self._client.head_bucket(Bucket=self._settings.bucket)

    def prove(self, path: str, content: Content) -> str | None:
        """By S3's own SHA-256, computed from what it received; by reading where there is none."""
        found = self.look(path)
        wrong = difference(found, content)
        if wrong is None and found is not None and not found.computed:
            return difference_of_bytes(self.read(path), content)
        return wrong

    def read(self, path: str) -> Iterator[bytes]:
        with self._translated():
            body = self._client.get_object(**self._named(path))["Body"]
            with contextlib.closing(body):
                yield from body.iter_chunks(CHUNK)

    def paths(self) -> Iterator[str]:
        with self._translated():
            listed = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.bucket, Prefix=self._prefix
            )
            for page in listed:
                for entry in page.get("Contents", []):
                    path = entry["Key"].removeprefix(self._prefix)
                    if not path.startswith(f"{MANIFESTS}/"):
                        yield path

    def close(self) -> None:
        self._client.close()

    def _named(self, path: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": f"{self._prefix}{path}"}

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import botocore.exceptions  # type: ignore[import-untyped]  # it has no types
        from airflow.providers.common.compat.sdk import AirflowNotFoundException

        try:
            yield
        except AirflowNotFoundException:
            raise SettingsError(
                f"there is no connection {self._settings.conn_id}; create it (type aws)"
            ) from None
        except botocore.exceptions.ClientError as exc:
            raise self._meaning(exc) from None
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError):
            raise SettingsError(f"connection {self._settings.conn_id} holds no credentials for AWS") from None
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError, OSError) as exc:
            raise Unavailable(OPERATION, f"no usable answer ({type(exc).__name__})") from None

    def _meaning(self, exc: Any) -> Exception:
        code = _code(exc)
        metadata = exc.response.get("ResponseMetadata", {})
        facts: dict[str, Any] = {
            "status": metadata.get("HTTPStatusCode"),
            "request_id": metadata.get("RequestId"),
            "code": code,
        }
        if code in _THROTTLED:
            return RateLimited(OPERATION, "S3 asks to slow down", retry_after_s=30.0, **facts)
        if code == "NoSuchKey":
            return NotFound(OPERATION, "there is no such object", **facts)
        if code == "BadDigest" or code in _UNDECIDED or (facts["status"] or 500) >= 500:
            return Unavailable(OPERATION, f"S3 did not take it ({code})", **facts)
        return Refused(OPERATION, f"S3 refuses bucket {self._settings.bucket} ({code})", **facts)


def _check_that_it_is_s3(answer: Any) -> None:
    """The library takes a proxy's page with a 200 for an answer."""
    if not answer.get("ETag"):
        raise Unavailable(OPERATION, "the answer is not S3's")


def _code(exc: Any) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))
