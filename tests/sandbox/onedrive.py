"""A plain client of the Microsoft simulators: it builds URLs and sends tokens where they belong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from include.sandbox.core import Sandbox, Vendor
from include.sandbox.vendors.microsoft import Graph, Identity, Upload
from include.sandbox.vendors.microsoft.identity import DEFAULT_CLIENT, DEFAULT_SECRET, DEFAULT_TENANT

MICROSOFT: list[type[Vendor]] = [Identity, Graph, Upload]
SCOPE = "https://graph.microsoft.com/.default"
UNIT = 327_680
USER = "reports@contoso.example"


def session(ca_bundle: Path) -> requests.Session:
    """A session that trusts only the sandbox: REQUESTS_CA_BUNDLE and the like would win over ``verify``."""
    made = requests.Session()
    made.trust_env = False
    made.verify = str(ca_bundle)
    return made


def sample(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class OneDrive:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = session(sandbox.ca_bundle)
        self.token = self.ask_token()

    def ask_token(self, **fields: str) -> str:
        form = {
            "client_id": DEFAULT_CLIENT,
            "client_secret": DEFAULT_SECRET,
            "grant_type": "client_credentials",
            "scope": SCOPE,
            **fields,
        }
        url = f"{self.sandbox.url('identity')}/{DEFAULT_TENANT}/oauth2/v2.0/token"
        return str(self.http.post(url, data=form).json()["access_token"])

    def call(
        self,
        method: str,
        path: str,
        *,
        user: str = USER,
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> requests.Response:
        """``path`` follows ``/users/{user}/drive``, already encoded."""
        url = f"{self.sandbox.url('graph')}/v1.0/users/{quote(user)}/drive{path}"
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return self.http.request(method, url, headers=sent, timeout=20, **arguments)

    def put(self, path: str, content: bytes, **arguments: Any) -> requests.Response:
        return self.call("PUT", f"/root:{quote(path)}:/content", data=content, **arguments)

    def item(self, path: str) -> requests.Response:
        return self.call("GET", f"/root:{quote(path)}")

    def folder(self, name: str, parent: str = "/root") -> requests.Response:
        return self.call("POST", f"{parent}/children", json={"name": name, "folder": {}})

    def open(self, path: str, **body: Any) -> requests.Response:
        """createUploadSession; keywords are its body."""
        return self.call("POST", f"/root:{quote(path)}:/createUploadSession", json=body or None)

    def session_url(self, path: str, **body: Any) -> str:
        answer = self.open(path, **body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["uploadUrl"])

    def fragment(
        self, url: str, content: bytes, start: int, size: int, *, total: int | None = None, **arguments: Any
    ) -> requests.Response:
        """``size`` bytes of ``content`` from ``start`` on."""
        piece = content[start : start + size]
        span = f"bytes {start}-{start + len(piece) - 1}/{total or len(content)}"
        headers = {"Content-Range": span, **arguments.pop("headers", {})}
        return self.http.put(url, data=piece, headers=headers, timeout=20, **arguments)

    def send_all(self, url: str, content: bytes, size: int = UNIT) -> requests.Response:
        """All fragments; the answer to the last."""
        for start in range(0, len(content), size):
            answer = self.fragment(url, content, start, size)
        return answer

    def status(self, url: str) -> requests.Response:
        return self.http.get(url, timeout=20)

    # What the sandbox knows

    def options(self, **values: Any) -> None:
        self.sandbox.vendor("graph").set_options(values)

    def host_options(self, **values: Any) -> None:
        self.sandbox.vendor("upload").set_options(values)

    def files(self, user: str = USER) -> dict[str, dict[str, Any]]:
        files: dict[str, dict[str, Any]] = self.sandbox.vendor("graph").snapshot()["users"][user]["files"]
        return files

    def effects(self, kind: str) -> list[dict[str, Any]]:
        return self.sandbox.effects.entries(vendor="graph", kind=kind)


def problem(answer: requests.Response) -> tuple[int, str]:
    """The status and the error code."""
    return answer.status_code, str(answer.json()["error"]["code"])


def inner_codes(answer: requests.Response) -> list[str]:
    """The codes of the nested inner errors, outermost first."""
    found = []
    error = answer.json()["error"]
    while error := error.get("innerError"):
        found += [error["code"]] if "code" in error else []
    return found
