"""A plain client of the simulated Qualtrics, for its own tests. It looks at every JSON answer's envelope."""

from __future__ import annotations

import csv
import io
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any

import requests

from include.sandbox.core import Sandbox
from include.sandbox.vendors.qualtrics import Qualtrics
from include.sandbox.vendors.qualtrics.defaults import API_TOKEN, CLIENT_ID, CLIENT_SECRET

CREDENTIALS = (CLIENT_ID, CLIENT_SECRET)
GRANT = {"grant_type": "client_credentials"}
SYMPTOMS, FEEDBACK, VISITORS = "SV_0symptoms", "SV_0feedback", "SV_0visitors"
DAY = {"startDate": "2026-03-01T00:00:00Z", "endDate": "2026-03-02T00:00:00Z"}
HOUR = {"startDate": "2026-03-01T09:00:00Z", "endDate": "2026-03-01T10:00:00Z"}


class Api:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.vendor: Qualtrics = sandbox.vendor("qualtrics")
        self.url = sandbox.url("qualtrics")
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(sandbox.ca_bundle)
        self.session.headers["X-API-TOKEN"] = API_TOKEN

    def switch(self, **values: Any) -> None:
        self.vendor.set_options(values)

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        url = path if path.startswith("https:") else self.url + path
        response = self.session.request(method, url, timeout=10, **arguments)
        if not path.endswith(("/file", "/oauth2/token")):
            check_envelope(response)
        return response

    def get(self, path: str, **arguments: Any) -> requests.Response:
        return self.call("GET", path, **arguments)

    def token(self, **arguments: Any) -> requests.Response:
        return self.call("POST", "/oauth2/token", **{"auth": CREDENTIALS, "data": GRANT, **arguments})

    def sign_in(self, scope: str | None = None) -> str:
        """Use an OAuth token from now on."""
        text: str = self.token(data=GRANT | ({"scope": scope} if scope else {})).json()["access_token"]
        self.session.headers.pop("X-API-TOKEN", None)
        self.session.headers["Authorization"] = f"Bearer {text}"
        return text

    def start(self, survey: str = SYMPTOMS, **options: Any) -> requests.Response:
        return self.call("POST", f"{exports(survey)}", json={"format": "csv", **options})

    def begin(self, survey: str = SYMPTOMS, **options: Any) -> str:
        response = self.start(survey, **options)
        assert response.status_code == 200, response.text
        progress_id: str = response.json()["result"]["progressId"]
        return progress_id

    def poll(self, progress_id: str, survey: str = SYMPTOMS) -> dict[str, Any]:
        result: dict[str, Any] = self.get(f"{exports(survey)}/{progress_id}").json()["result"]
        return result

    def wait(self, progress_id: str, survey: str = SYMPTOMS) -> dict[str, Any]:
        for _ in range(20):
            result = self.poll(progress_id, survey)
            if result["status"] != "inProgress":
                return result
        raise AssertionError("the job does not end")

    def finish(self, survey: str = SYMPTOMS, **options: Any) -> str:
        """A completed export's file id."""
        file_id: str = self.wait(self.begin(survey, **options), survey)["fileId"]
        return file_id

    def download(self, file_id: str, survey: str = SYMPTOMS, **arguments: Any) -> requests.Response:
        return self.get(f"{exports(survey)}/{file_id}/file", **arguments)

    def export(self, survey: str = SYMPTOMS, **options: Any) -> bytes:
        """The uncompressed file."""
        response = self.download(self.finish(survey, **{"compress": False, **options}), survey)
        assert response.status_code == 200
        return response.content

    def table(self, survey: str = SYMPTOMS, **options: Any) -> list[list[str]]:
        """The rows of a csv export, header rows included."""
        return rows(self.export(survey, **options))

    def ids(self, survey: str = SYMPTOMS, **options: Any) -> list[str]:
        """The response ids of an export, in the order of the file."""
        header, *data = self.table(survey, **options)
        return [row[header.index("ResponseId")] for row in data[2:]]


def exports(survey: str) -> str:
    return f"/API/v3/surveys/{survey}/export-responses"


def rows(content: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter, strict=True))


def unzipped(content: bytes) -> tuple[str, bytes]:
    """Name and bytes of the only entry."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (entry,) = archive.infolist()
        return entry.filename, archive.read(entry)


def check_envelope(response: requests.Response) -> None:
    """What every JSON answer of the API keeps to."""
    assert response.headers["Content-Type"] == "application/json"
    payload = response.json()
    meta = payload["meta"]
    assert meta["httpStatus"].startswith(f"{response.status_code} - ")
    if response.status_code == 200:
        assert set(payload) == {"result", "meta"}
        assert meta["requestId"]
    else:
        assert set(payload) == {"meta"}
        assert meta["error"]["errorMessage"]


def error_of(response: requests.Response) -> tuple[int, str | None]:
    return response.status_code, response.json()["meta"]["error"].get("errorCode")


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the awaited state was not reached"
        pause.wait(0.01)
