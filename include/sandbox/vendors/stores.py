"""
Object stores: the real emulators, behind a front that adds what they lack.

An emulator is started by the first request. It keeps its objects in memory: they end with the sandbox. In front of it
calls are counted, noted and disturbed as with every vendor; and uploads are held to what the emulators pass over:
checksums (S3, Google), "only if it is not there" (Google), credentials (S3, Google).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import logging
import re
import tempfile
import urllib.parse
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, ClassVar

import httpx

from include.sandbox.connections import S3_KEY
from include.sandbox.core import Sandbox, Vendor
from include.sandbox.emulators import HOST, S3, AzureBlob, Emulator, Gcs
from include.sandbox.wire import CHUNK, Request, Response, answer_json, route

IN_MEMORY = 1 << 20
TIMEOUT_S = 120
# They belong to one connection, not to the message.
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "expect",
    }
)  # fmt: skip


class Store(Vendor):
    """One emulator. ``buckets`` are there from the start."""

    tls = False
    emulator_class: ClassVar[type[Emulator]]
    buckets: ClassVar[tuple[str, ...]] = ("recordings", "reports")

    def __init__(self, sandbox: Sandbox) -> None:
        self._emulator: Emulator | None = None
        super().__init__(sandbox)

    def clear(self) -> None:
        if self._emulator is not None:
            self.wipe(self._emulator)

    def wipe(self, emulator: Emulator) -> None:
        """Leave nothing but the buckets. One that cannot forget is started anew, when it is needed."""
        self.close()

    def close(self) -> None:
        if self._emulator is not None:
            self._emulator.stop()
            self._emulator = None

    @property
    def emulator(self) -> Any:
        """The emulator, running."""
        with self.lock:
            if self._emulator is None:
                started = self.emulator_class()
                started.start()
                for bucket in self.buckets:
                    started.create_bucket(bucket)
                self._emulator = started
            return self._emulator

    @abstractmethod
    def objects(self, bucket: str) -> dict[str, bytes]:
        """All there is, past every fault; for a test."""

    def forward(self, request: Request, body: Iterable[bytes] = (), length: int | None = None) -> Response:
        """
        The emulator's answer.

        :param length: of the body; None: there is none.
        """
        upstream = http.client.HTTPConnection(HOST, self.emulator.port, timeout=TIMEOUT_S)
        try:
            target = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
            upstream.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in HOP_BY_HOP | {"content-length"}:
                    upstream.putheader(name, value)
            if length is not None:
                upstream.putheader("Content-Length", str(length))
            upstream.endheaders()
            for piece in body:
                upstream.send(piece)
            answer = upstream.getresponse()
        except BaseException:
            upstream.close()
            raise
        headers = [
            (name, value.replace(self.emulator.url, self.url))
            for name, value in answer.headers.items()
            if name.lower() not in HOP_BY_HOP | {"content-length", "date", "server"}
        ]
        announced = answer.headers.get("Content-Length")
        if request.method == "HEAD":
            # Nobody will read a body that is not there, and so end the connection.
            upstream.close()
        return Response(
            status=answer.status,
            body=_pieces(upstream, answer),
            headers=headers,
            length=int(announced) if announced is not None else None,
        )

    def forward_whole(self, request: Request, check: Callable[[IO[bytes]], Response | None]) -> Response:
        """
        Take the whole body first, so that a cut one never reaches the emulator.

        :param check: refuses it, or not.
        """
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as spooled:
            for piece in request.body:
                spooled.write(piece)
            length = spooled.tell()
            spooled.seek(0)
            if (refusal := check(spooled)) is not None:
                return refusal
            spooled.seek(0)
            nothing = request.body.absent
            return self.forward(request, iter(lambda: spooled.read(CHUNK), b""), None if nothing else length)


def _pieces(upstream: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := answer.read(CHUNK):
            yield piece
    finally:
        upstream.close()


# Amazon


def _crc32(content: IO[bytes]) -> bytes:
    value = 0
    while piece := content.read(CHUNK):
        value = zlib.crc32(piece, value)
    return value.to_bytes(4, "big")


def _digest(name: str) -> Callable[[IO[bytes]], bytes]:
    return lambda content: hashlib.file_digest(content, name).digest()  # type: ignore[arg-type]  # any file will do


S3_CHECKSUMS: dict[str, Callable[[IO[bytes]], bytes]] = {
    "content-md5": _digest("md5"),
    "x-amz-checksum-sha256": _digest("sha256"),
    "x-amz-checksum-sha1": _digest("sha1"),
    "x-amz-checksum-crc32": _crc32,
}


class S3Store(Store):
    """Amazon S3, by moto."""

    name = "s3"
    emulator_class = S3

    def wipe(self, emulator: Emulator) -> None:
        httpx.post(f"{emulator.url}/moto-api/reset", trust_env=False).raise_for_status()
        for bucket in self.buckets:
            emulator.create_bucket(bucket)

    def failure(self, request: Request, status: int) -> Response:
        codes = {503: "SlowDown", 403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed"}
        return _s3_error(status, codes.get(status, "InternalError"))

    def bad_body(self, request: Request, reason: str) -> Response:
        return _s3_error(400, "IncompleteBody")

    @route("GET", "/{path:path}", operation="get")
    @route("GET", "/", operation="get")
    @route("HEAD", "/{path:path}", operation="head")
    @route("DELETE", "/{path:path}", operation="delete")
    def read(self, request: Request) -> Response:
        return self._refusal(request) or self.forward(request)

    @route("PUT", "/{path:path}", operation="put")
    @route("POST", "/{path:path}", operation="post")
    def write(self, request: Request) -> Response:
        return self._refusal(request) or self.forward_whole(
            request, lambda content: self._wrong_sum(request, content)
        )

    def _refusal(self, request: Request) -> Response | None:
        given = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
        if given is None:
            return _s3_error(403, "AccessDenied")
        return None if hmac.compare_digest(given[1], S3_KEY) else _s3_error(403, "InvalidAccessKeyId")

    @staticmethod
    def _wrong_sum(request: Request, content: IO[bytes]) -> Response | None:
        for name, make in S3_CHECKSUMS.items():
            if (wanted := request.headers.get(name)) is not None:
                content.seek(0)
                if base64.b64encode(make(content)).decode() != wanted:
                    return _s3_error(400, "BadDigest")
        return None

    def _client(self) -> Any:
        import boto3  # type: ignore[import-untyped]  # it has no types

        fields = self.emulator.connection()
        return boto3.client(
            "s3",
            endpoint_url=self.emulator.url,
            region_name=self.emulator.region,
            aws_access_key_id=fields["login"],
            aws_secret_access_key=fields["password"],
        )

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Somebody else's object, past every fault."""
        self._client().put_object(Bucket=bucket, Key=key, Body=content)

    def objects(self, bucket: str) -> dict[str, bytes]:
        client = self._client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def _s3_error(status: int, code: str) -> Response:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    )
    return Response(status=status, body=text.encode(), headers=[("Content-Type", "application/xml")])


# Google


class GcsStore(Store):
    """Google Cloud Storage, by gcp-storage-emulator."""

    name = "gcs"
    emulator_class = Gcs

    def clear(self) -> None:
        super().clear()
        self._sums: dict[str, str] = {}
        """Announced checksums of uploads that have begun, by upload id."""

    def wipe(self, emulator: Emulator) -> None:
        httpx.get(f"{emulator.url}/wipe", trust_env=False).raise_for_status()
        for bucket in self.buckets:
            emulator.create_bucket(bucket)

    def failure(self, request: Request, status: int) -> Response:
        return _google_error(status, "injected")

    @route("GET", "/{path:path}", operation="get")
    @route("HEAD", "/{path:path}", operation="head")
    @route("DELETE", "/{path:path}", operation="delete")
    @route("PATCH", "/{path:path}", operation="patch")
    def read(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if request.method == "PATCH":
            return self.forward_whole(request, lambda _: None)
        return self.forward(request)

    @route("POST", "/{path:path}", operation="post")
    @route("PUT", "/{path:path}", operation="put")
    def write(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        begun: dict[str, Any] = {}

        def check(content: IO[bytes]) -> Response | None:
            begun.update(_metadata(request, content))
            if request.arg("ifGenerationMatch") == "0" and self._is_there(request, begun.get("name")):
                return _google_error(412, "At least one of the pre-conditions you specified did not hold.")
            return None

        with self.lock:
            answer = self.forward_whole(request, check)
        return self._checked(request, begun, answer)

    def _checked(self, request: Request, begun: dict[str, Any], answer: Response) -> Response:
        """What the emulator has stored must be what the client said it would send."""
        upload = request.arg("upload_id")
        if request.arg("uploadType") == "resumable" and upload is None:
            location = next((value for name, value in answer.headers if name.lower() == "location"), "")
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
            self._sums[query.get("upload_id", [""])[0]] = str(begun.get("crc32c", ""))
        if answer.status != 200 or not isinstance(answer.body, Iterator):
            return answer
        text = b"".join(answer.body)
        wanted = begun.get("crc32c") or self._sums.pop(upload or "", "") or _hash_header(request)
        stored = json.loads(text) if text.startswith(b"{") else {}
        if wanted and stored.get("crc32c", wanted) != wanted:
            self._remove(stored)
            return _google_error(400, "Provided CRC32C does not match calculated CRC32C.")
        return Response(status=200, body=text, headers=answer.headers)

    def _refusal(self, request: Request) -> Response | None:
        google = self.sandbox.vendors.get("google")
        refusal = google.refusal(request, STORAGE_SCOPES) if google is not None else None  # type: ignore[attr-defined]  # Vendor knows no tokens
        return refusal if isinstance(refusal, Response) else None

    def _is_there(self, request: Request, name: Any) -> bool:
        bucket = re.search(r"/b/([^/]+)/o", request.path)
        wanted = name or request.arg("name")
        if bucket is None or not wanted:
            return False
        connection = http.client.HTTPConnection(HOST, self.emulator.port, timeout=TIMEOUT_S)
        connection.request("GET", f"/storage/v1/b/{bucket[1]}/o/{urllib.parse.quote(str(wanted), safe='')}")
        return connection.getresponse().status == 200

    def _remove(self, stored: dict[str, Any]) -> None:
        connection = http.client.HTTPConnection(HOST, self.emulator.port, timeout=TIMEOUT_S)
        name = urllib.parse.quote(stored["name"], safe="")
        connection.request("DELETE", f"/storage/v1/b/{stored['bucket']}/o/{name}")
        connection.getresponse().read()

    def objects(self, bucket: str) -> dict[str, bytes]:
        def get(path: str) -> bytes:
            connection = http.client.HTTPConnection(HOST, self.emulator.port, timeout=TIMEOUT_S)
            connection.request("GET", path)
            return connection.getresponse().read()

        names = [entry["name"] for entry in json.loads(get(f"/storage/v1/b/{bucket}/o")).get("items", [])]
        return {
            name: get(f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media")
            for name in names
        }


STORAGE_SCOPES = frozenset(
    f"https://www.googleapis.com/auth/{name}"
    for name in ("cloud-platform", "devstorage.full_control", "devstorage.read_write")
)


def _metadata(request: Request, content: IO[bytes]) -> dict[str, Any]:
    """What an upload says of itself: the first part of a multipart body, or the body that begins a resumable one."""
    kind = request.headers.get_content_type()
    if kind == "multipart/related":
        head = content.read(1 << 16)
        found = re.search(rb"\r?\n\r?\n(\{.*?\})\r?\n--", head, re.DOTALL)
        text = found[1] if found else b"{}"
    elif request.arg("uploadType") == "resumable" and kind == "application/json":
        text = content.read(1 << 16) or b"{}"
    else:
        return {}
    try:
        metadata = json.loads(text)
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _hash_header(request: Request) -> str:
    found = re.search(r"crc32c=([\w+/=]+)", request.headers.get("X-Goog-Hash", ""))
    return found[1] if found else ""


def _google_error(status: int, message: str) -> Response:
    return answer_json(
        status, {"error": {"code": status, "message": message, "errors": [{"message": message}]}}
    )


# Microsoft


class AzureStore(Store):
    """Azure Blob Storage, by Azurite, which checks signatures and preconditions itself."""

    name = "azure"
    emulator_class = AzureBlob

    def failure(self, request: Request, status: int) -> Response:
        codes = {
            503: "ServerBusy",
            403: "AuthenticationFailed",
            404: "BlobNotFound",
            409: "BlobAlreadyExists",
        }
        code = codes.get(status, "InternalError")
        text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
        headers = [("Content-Type", "application/xml"), ("x-ms-error-code", code)]
        return Response(status=status, body=text.encode(), headers=headers)

    @route("GET", "/{path:path}", operation="get")
    @route("HEAD", "/{path:path}", operation="head")
    @route("DELETE", "/{path:path}", operation="delete")
    def read(self, request: Request) -> Response:
        return self.forward(request)

    @route("PUT", "/{path:path}", operation="put")
    @route("POST", "/{path:path}", operation="post")
    def write(self, request: Request) -> Response:
        return self.forward_whole(request, lambda content: _wrong_md5(request, content))

    @property
    def connection_string(self) -> str:
        """As the emulator's, with our address: the signature does not cover the host."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={AzureBlob.account};AccountKey={AzureBlob.key};"
            f"BlobEndpoint={self.url}/{AzureBlob.account};"
        )

    def objects(self, bucket: str) -> dict[str, bytes]:
        from azure.storage.blob import BlobServiceClient

        logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
        with BlobServiceClient.from_connection_string(self.emulator.connection_string) as service:
            container = service.get_container_client(bucket)
            return {name: container.download_blob(name).readall() for name in container.list_blob_names()}


def _wrong_md5(request: Request, content: IO[bytes]) -> Response | None:
    wanted = request.headers.get("Content-MD5")
    if wanted is None or base64.b64encode(_digest("md5")(content)).decode() == wanted:
        return None
    text = '<?xml version="1.0" encoding="utf-8"?><Error><Code>Md5Mismatch</Code></Error>'
    headers = [("Content-Type", "application/xml"), ("x-ms-error-code", "Md5Mismatch")]
    return Response(status=400, body=text.encode(), headers=headers)
