"""A client of the sandbox's Webex that checks each answer against the official description; a webhook's receiver."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from include.sandbox.connections import WEBEX_CLIENT, WEBEX_REFRESH_TOKEN, WEBEX_SECRET
from include.sandbox.core import Sandbox
from tests.webex_spec import check_answer

CARD_TYPE = "application/vnd.microsoft.card.adaptive"
PATIENCE_S = 20


class WebexClient:
    """:param token: a bearer token; empty: none is sent."""

    def __init__(self, sandbox: Sandbox, token: str = "") -> None:
        self.http = httpx.Client(
            base_url=f"{sandbox.url('webex')}/v1",
            verify=ssl.create_default_context(cafile=str(sandbox.ca_bundle)),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            trust_env=False,
            timeout=30,
        )

    def answer(self, method: str, path: str, expect: int = 200, **options: Any) -> httpx.Response:
        """The answer, which has the expected status, the described body, and one tracking id."""
        answer = self.http.request(method, path, **options)
        assert answer.status_code == expect, answer.text
        assert answer.headers["trackingid"]
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            body = answer.json()
            check_answer(method, answer.request.url.path, expect, body)
            if expect >= 400:
                assert body["trackingId"] == answer.headers["trackingid"]
        else:
            check_answer(method, answer.request.url.path, expect)
        return answer

    def get(self, path: str, expect: int = 200, **query: Any) -> Any:
        return self.answer("GET", path, expect, params=query).json()

    def post(self, path: str, body: dict[str, Any], expect: int = 200) -> Any:
        return self.answer("POST", path, expect, json=body).json()

    def put(self, path: str, body: dict[str, Any], expect: int = 200) -> Any:
        return self.answer("PUT", path, expect, json=body).json()

    def patch(self, path: str, body: dict[str, Any], expect: int = 200) -> Any:
        return self.answer("PATCH", path, expect, json=body).json()

    def delete(self, path: str, expect: int = 204, **query: Any) -> None:
        self.answer("DELETE", path, expect, params=query)

    def pages(self, path: str, **query: Any) -> list[list[Any]]:
        """All pages of a list, by following its links verbatim."""
        answer = self.answer("GET", path, params=query)
        found = [answer.json()["items"]]
        while "next" in answer.links:
            answer = self.answer("GET", answer.links["next"]["url"])
            found.append(answer.json()["items"])
        return found


def token(sandbox: Sandbox, **form: str) -> httpx.Response:
    """The answer of ``/access_token``; without fields, to a refresh with the integration's first token."""
    fields = {
        "grant_type": "refresh_token",
        "client_id": WEBEX_CLIENT,
        "client_secret": WEBEX_SECRET,
        "refresh_token": WEBEX_REFRESH_TOKEN,
        **form,
    }
    return httpx.post(
        f"{sandbox.url('webex')}/v1/access_token",
        data=fields,
        verify=ssl.create_default_context(cafile=str(sandbox.ca_bundle)),
        trust_env=False,
    )


def card(**action: Any) -> dict[str, Any]:
    """A message's card with a date, a time and two buttons."""
    return {
        "contentType": CARD_TYPE,
        "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.3",
            "body": [
                {"type": "TextBlock", "text": "Pick a new time", "wrap": True},
                {
                    "type": "Input.Date",
                    "id": "date",
                    "label": "Date",
                    "isRequired": True,
                    "errorMessage": "Date?",
                },
                {"type": "Input.Time", "id": "time", "label": "Time", "value": "15:10"},
            ],
            "actions": [
                {"type": "Action.Submit", "title": "Propose", "data": {"k": "opaque-1", "do": "propose"}},
                {"type": "Action.Submit", "title": "Never mind", "data": {"k": "opaque-1", "do": "drop"}},
            ],
            **action,
        },
    }


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """What a condition gives once it is true; no test waits for time."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := holds():
            return found
        threading.Event().wait(0.005)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


class Receiver:
    """An address that takes notifications. ``status`` is what it answers; ``gate`` lets answers out."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.gate = threading.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver._lock:
                    receiver.got.append((dict(self.headers), body))
                    receiver.at_once += 1
                    receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
                receiver.gate.wait(PATIENCE_S)
                with receiver._lock:
                    receiver.at_once -= 1
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name for it
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def envelopes(self, number: int) -> list[dict[str, Any]]:
        """What has come, once it is so many."""
        eventually(lambda: len(self.got) >= number, f"{number} notifications")
        return [json.loads(body) for _, body in self.got]

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
