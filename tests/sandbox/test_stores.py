"""The stores: what their front adds to the emulators, and that everything else passes through."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]  # it has no types
import botocore.exceptions  # type: ignore[import-untyped]  # as above
import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobServiceClient
from google.api_core.exceptions import BadRequest, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs

from include.sandbox.connections import S3_KEY
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors import vendor_classes

LARGE = bytes(range(256)) * 40_000
"""Ten megabytes: more than one request of a resumable upload."""


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(vendor_classes(["s3", "gcs", "azure"])) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def calm(running: Sandbox) -> Iterator[None]:
    yield
    running.clear_faults()


def s3(running: Sandbox, key: str = S3_KEY) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=running.url("s3"),
        region_name="eu-central-1",
        aws_access_key_id=key,
        aws_secret_access_key="secret",
        config=boto3.session.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def google(running: Sandbox) -> Any:
    client = gcs.Client(
        project="p",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # it has no types
        client_options={"api_endpoint": running.url("gcs")},
    )
    return client.bucket("recordings")


def azure(running: Sandbox, **changes: Any) -> Any:
    text = running.vendor("azure").connection_string
    service = BlobServiceClient.from_connection_string(text, retry_total=0, **changes)
    return service.get_container_client("recordings")


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_bytes_come_back_as_they_were(running: Sandbox, content: bytes) -> None:
    name = f"a folder/ü {len(content)}+%.bin"
    s3(running).put_object(Bucket="recordings", Key=name, Body=content)
    assert s3(running).get_object(Bucket="recordings", Key=name)["Body"].read() == content
    google(running).blob(name).upload_from_string(content)
    assert google(running).blob(name).download_as_bytes() == content
    azure(running).upload_blob(name, content)
    assert azure(running).download_blob(name).readall() == content
    for vendor in ("s3", "gcs", "azure"):
        assert running.vendor(vendor).objects("recordings")[name] == content


def test_s3_refuses_a_wrong_checksum_and_a_foreign_key(running: Sandbox) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    for extra in ({"ChecksumSHA256": wrong}, {"ContentMD5": base64.b64encode(bytes(16)).decode()}):
        with pytest.raises(botocore.exceptions.ClientError, match="BadDigest"):
            s3(running).put_object(Bucket="recordings", Key="wrong", Body=b"this", **extra)
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidAccessKeyId"):
        s3(running, "somebody").put_object(Bucket="recordings", Key="wrong", Body=b"this")
    assert httpx.get(f"{running.url('s3')}/recordings", trust_env=False).status_code == 403
    assert "wrong" not in running.vendor("s3").objects("recordings")


def test_s3_gives_the_checksum_it_was_given(running: Sandbox) -> None:
    right = base64.b64encode(hashlib.sha256(b"this").digest()).decode()
    s3(running).put_object(
        Bucket="recordings", Key="right", Body=b"this", ChecksumSHA256=right, ChecksumAlgorithm="SHA256"
    )
    facts = s3(running).head_object(Bucket="recordings", Key="right", ChecksumMode="ENABLED")
    assert facts["ChecksumSHA256"] == right


@pytest.mark.parametrize("content", [b"second", LARGE + b"second"], ids=["small", "large"])
def test_google_overwrites_nothing_that_must_be_new(running: Sandbox, content: bytes) -> None:
    blob = google(running).blob(f"once-{len(content)}")
    blob.upload_from_string(b"first", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(content, if_generation_match=0)
    assert blob.download_as_bytes() == b"first"


@pytest.mark.parametrize("content", [b"this", LARGE], ids=["small", "large"])
def test_google_stores_nothing_with_a_wrong_checksum(running: Sandbox, content: bytes) -> None:
    blob = google(running).blob(f"wrong-{len(content)}")
    blob.crc32c = base64.b64encode(b"abcd").decode()
    with pytest.raises(BadRequest):
        blob.upload_from_string(content, checksum=None)
    assert blob.name not in running.vendor("gcs").objects("recordings")


def test_google_wants_a_token_where_there_are_any() -> None:
    with Sandbox(vendor_classes(["google", "gcs"])) as sandbox:
        answer = httpx.get(f"{sandbox.url('gcs')}/storage/v1/b/recordings/o", trust_env=False)
        assert answer.status_code == 403


def test_azure_keeps_its_own_rules(running: Sandbox) -> None:
    azure(running).upload_blob("once", b"first", overwrite=False)
    with pytest.raises(ResourceExistsError):
        azure(running).upload_blob("once", b"second", overwrite=False)
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        azure(running, credential="bm9uc2Vuc2U=").upload_blob("foreign", b"x")
    address = f"{running.url('azure')}/devstoreaccount1/recordings/sum"
    assert azure(running).download_blob("once").readall() == b"first"
    assert (
        httpx.put(address, content=b"x", headers={"Content-MD5": "bm8="}, trust_env=False).status_code == 400
    )


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.STATUS, FaultKind.LOSE_ANSWER])
def test_faults_come_as_with_every_vendor(running: Sandbox, kind: FaultKind) -> None:
    key = f"faulty-{kind.value}"
    running.arm(Fault(vendor="s3", kind=kind, operation="put"))
    with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError)):
        s3(running).put_object(Bucket="recordings", Key=key, Body=b"x" * 300_000)
    there = key in running.vendor("s3").objects("recordings")
    assert there is (kind is FaultKind.LOSE_ANSWER)
    running.arm(Fault(vendor="azure", kind=kind, operation="put"))
    with pytest.raises((HttpResponseError, Exception)):
        azure(running).upload_blob(key, b"x" * 300_000)
    assert (key in running.vendor("azure").objects("recordings")) is there


def test_they_are_empty_after_a_reset(running: Sandbox) -> None:
    s3(running).put_object(Bucket="recordings", Key="old", Body=b"x")
    running.reset()
    assert running.vendor("s3").objects("recordings") == {}
    assert json.loads(json.dumps(running.vendor("s3").snapshot())) == {}
