"""A chat's incoming webhook: takes a sentence and shows it to people."""

from __future__ import annotations

import dataclasses
import hmac
from typing import Any, ClassVar

from include.sandbox.core import Vendor
from include.sandbox.wire import Request, Response, answer_json, route

TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class Alerts(Vendor):
    name: ClassVar[str] = "alerts"

    @dataclasses.dataclass
    class Options:
        token: str = ""
        """If given, asked for as ``Authorization: Bearer …``."""

    def clear(self) -> None:
        self.texts: list[str] = []

    def snapshot(self) -> dict[str, Any]:
        return {"texts": self.texts}

    def dump(self) -> Any:
        return self.texts

    def load(self, dumped: Any) -> None:
        self.texts = dumped

    @route("POST", "/hook", operation="alert")
    def alert(self, request: Request) -> Response:
        given = request.headers.get("Authorization", "")
        if self.options.token and not hmac.compare_digest(given, f"Bearer {self.options.token}"):
            return answer_json(401, {"error": "invalid_token"})
        payload = request.json()
        text = payload.get("text") if isinstance(payload, dict) else None
        if not isinstance(text, str) or not text.strip():
            return Response(status=400, body=b"no_text", headers=TEXT)
        with self.lock:
            self.texts.append(text)
        self.effect("alert_received", text=text)
        return Response(status=200, body=b"ok", headers=TEXT)
