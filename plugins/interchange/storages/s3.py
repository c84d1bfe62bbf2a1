"""
Amazon S3: one PUT, with a checksum S3 checks and ``If-None-Match: *``.

Sources: S3 API reference, PutObject (``IfNoneMatch``, ``ChecksumSHA256``: the object is not stored if the body does not
fit; at most 5 GiB in one PUT) and HeadObject (``ChecksumMode``).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

from interchange.errors import NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.settings.spinoco_sync import S3Storage
from interchange.storages.base import (
    CHUNK,
    Content,
    Spooled,
    Stored,
    difference,
    difference_of_bytes,
)
from interchange.storages.objects import ObjectStore

OPERATION = "storage.s3"
_THROTTLED = ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded")
_EXISTS = ("PreconditionFailed", "412")
# While another upload of the same key is being decided.
_UNDECIDED = ("ConditionalRequestConflict", "409")


class S3Bucket(ObjectStore):
    """A bucket, through Airflow's connection."""

    operation = OPERATION
    largest = 5 << 30

    def __init__(self, settings: S3Storage, *, name: str) -> None:
        super().__init__(name=name, prefix=settings.prefix)
        self._settings = settings
        with self._translated():
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook

            hook = S3Hook(aws_conn_id=settings.conn_id, region_name=settings.region)
            self._client: Any = hook.get_conn()

    @property
    def place(self) -> str:
        return f"s3://{self._settings.bucket}/{self.prefix}".rstrip("/")

    def put(self, file: Spooled, name: str, *, key: str) -> bool:
        with self._translated(), file.path.open("rb") as content:
            try:
                answer = self._client.put_object(
                    Bucket=self._settings.bucket,
                    Key=name,
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
                return False
        _check_that_it_is_s3(answer)
        return True

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
                Bucket=self._settings.bucket, Prefix=self.prefix
            )
            yield from self.data(entry["Key"] for page in listed for entry in page.get("Contents", []))

    def close(self) -> None:
        self._client.close()

    def _named(self, path: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": f"{self.prefix}{path}"}

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
