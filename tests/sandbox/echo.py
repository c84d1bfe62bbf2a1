"""A small vendor for the tests of the sandbox itself: it stores things and streams bytes."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, ClassVar

from include.sandbox.core import Vendor
from include.sandbox.wire import Request, Response, answer_json, route

STREAM = b"0123456789" * 20_000


class Echo(Vendor):
    name: ClassVar[str] = "echo"

    @dataclasses.dataclass
    class Options:
        loud: bool = False

    def clear(self) -> None:
        self.things: dict[str, str] = {}

    def seed(self, data: dict[str, Any]) -> None:
        self.things.update(data)

    def snapshot(self) -> dict[str, Any]:
        return {"things": self.things}

    def dump(self) -> Any:
        return self.things

    def load(self, dumped: Any) -> None:
        self.things = dumped

    @route("PUT", "/things/{id}", operation="store")
    def store(self, request: Request) -> Response:
        content = request.body.read(limit=8 << 20)
        digest = hashlib.sha256(content).hexdigest()
        with self.lock:
            self.things[request.params["id"]] = digest
        self.effect("stored", id=request.params["id"], size=len(content))
        return answer_json(200, {"size": len(content), "sha256": digest, "loud": self.options.loud})

    @route("DELETE", "/things/{id}", operation="remove")
    def remove(self, request: Request) -> Response:
        with self.lock:
            self.things.pop(request.params["id"], None)
        return Response(status=204)

    @route("GET", "/files/{path:path}", operation="file")
    def file(self, request: Request) -> Response:
        return answer_json(200, {"path": request.params["path"], "query": request.query})

    @route("POST", "/early", operation="early")
    def early(self, request: Request) -> Response:
        """Answers without a look at the body."""
        return answer_json(413, {"error": "too much"})

    @route("POST", "/form", operation="form")
    def form(self, request: Request) -> Response:
        return answer_json(200, request.form())

    @route("POST", "/json", operation="json")
    def json(self, request: Request) -> Response:
        return answer_json(200, request.json())

    @route("GET", "/stream", operation="stream")
    @route("HEAD", "/stream", operation="stream_head")
    def stream(self, request: Request) -> Response:
        return Response(body=iter([STREAM[:70_000], STREAM[70_000:]]), length=len(STREAM))

    @route("GET", "/chunks", operation="chunks")
    def chunks(self, request: Request) -> Response:
        return Response(body=iter([STREAM[:70_000], STREAM[70_000:]]))


class Quiet(Vendor):
    """Without TLS, to be told from the other one."""

    name: ClassVar[str] = "quiet"
    tls: ClassVar[bool] = False

    @route("GET", "/", operation="hello")
    def hello(self, request: Request) -> Response:
        return answer_json(200, {"hello": request.base_url})


class Guarded(Echo):
    name: ClassVar[str] = "guarded"
    client_certificate_required: ClassVar[bool] = True

    @route("GET", "/who", operation="who")
    def who(self, request: Request) -> Response:
        return answer_json(200, {"subject": str((request.client_certificate or {}).get("subject"))})
