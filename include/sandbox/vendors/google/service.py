"""
Google's token endpoint for service accounts, and Sheets v4: ``values.get`` and ``values:batchGet``.

Sources: Google's discovery document of Sheets v4 for paths, parameters and schemas; its pages on limits and on service
accounts; error bodies as clients have quoted them in public issues.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import urllib.parse
from typing import Any, ClassVar

import jwt

from include.sandbox.core import Vendor
from include.sandbox.vendors.google import ranges
from include.sandbox.vendors.google.ranges import BadRange
from include.sandbox.vendors.google.seeds import demo_sheet
from include.sandbox.wire import Request, Response, answer_json, route

ACCOUNT = "interchange@sandbox-project.iam.gserviceaccount.com"
SPREADSHEET = "report"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
READ_SCOPES = frozenset(
    f"https://www.googleapis.com/auth/{name}"
    for name in ("spreadsheets.readonly", "spreadsheets", "drive", "drive.readonly", "drive.file")
)
LIFE_S = 3599
COLUMNS = 26
ROWS = 1000
SEEDS = frozenset(
    (
        "spreadsheet", "rows", "append", "insert", "remove_column", "sort_by", "title", "date_format", "shared",
    )
)  # fmt: skip
_EPOCH = dt.date(1899, 12, 30)
_NAMES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip


@dataclasses.dataclass
class Sheet:
    """:param rows: cells are text, numbers, booleans, ``{"date": ISO day}`` or ``{"formula": …, "value": …}``."""

    title: str
    rows: list[list[Any]]


@dataclasses.dataclass
class Spreadsheet:
    """:param date_format: how days are shown, which the spreadsheet's locale decides; in strftime's words."""

    sheets: list[Sheet]
    date_format: str = "%d/%m/%Y"
    shared: bool = True


class Google(Vendor):
    name: ClassVar[str] = "google"
    # Google's client library takes its authorities from a file of its own.
    tls: ClassVar[bool] = False

    @dataclasses.dataclass
    class Options:
        reads_per_minute: int = 60
        """Of one user; refilled each minute."""
        project_reads_per_minute: int = 300

    def clear(self) -> None:
        self.spreadsheets = {
            SPREADSHEET: Spreadsheet(sheets=[Sheet("Sheet1", demo_sheet(self.now().date()))])
        }
        self.tokens: dict[str, tuple[str, frozenset[str], dt.datetime]] = {}
        self.reads: list[tuple[str, dt.datetime]] = []

    def dump(self) -> Any:
        return self.spreadsheets

    def load(self, dumped: Any) -> None:
        self.spreadsheets = dumped

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            return {
                "spreadsheets": {
                    name: {
                        "date_format": book.date_format,
                        "shared": book.shared,
                        "sheets": {sheet.title: sheet.rows for sheet in book.sheets},
                    }
                    for name, book in self.spreadsheets.items()
                },
                "tokens": len(self.tokens),
            }

    def seed(self, data: dict[str, Any]) -> None:
        """
        Edit a spreadsheet, as a person does: ``{"spreadsheet": id, …}`` with any of ``rows`` (all of the first sheet),
        ``append`` (rows), ``insert`` ({"at": n, "rows": […]}), ``remove_column`` (from 0), ``sort_by`` (column),
        ``title`` (of the first sheet), ``date_format``, ``shared``. One that is not there is made.
        """
        known = {
            "spreadsheet",
            "rows",
            "append",
            "insert",
            "remove_column",
            "sort_by",
            "title",
            "date_format",
            "shared",
        }
        if unknown := set(data) - known:
            raise ValueError(f"unknown seeds {sorted(unknown)}; known: {sorted(known)}")
        with self.lock:
            name = data.get("spreadsheet", SPREADSHEET)
            book = self.spreadsheets.setdefault(name, Spreadsheet(sheets=[Sheet("Sheet1", [])]))
            sheet = book.sheets[0]
            if "rows" in data:
                sheet.rows = [list(row) for row in data["rows"]]
            sheet.rows += [list(row) for row in data.get("append", [])]
            if "insert" in data:
                at = data["insert"]["at"]
                sheet.rows[at:at] = [list(row) for row in data["insert"]["rows"]]
            if "remove_column" in data:
                for row in sheet.rows:
                    del row[data["remove_column"] : data["remove_column"] + 1]
            if "sort_by" in data:
                column = data["sort_by"]
                sheet.rows.sort(key=lambda row: str(row[column]) if column < len(row) else "")
            sheet.title = data.get("title", sheet.title)
            book.date_format = data.get("date_format", book.date_format)
            book.shared = data.get("shared", book.shared)

    def failure(self, request: Request, status: int) -> Response:
        return _error(status, "injected")

    def not_found(self, request: Request) -> Response:
        return _error(404, "Requested entity was not found.")

    # Token

    @route("POST", "/token", operation="token")
    def token(self, request: Request) -> Response:
        form = request.form()
        if form.get("grant_type") != GRANT:
            return answer_json(400, {"error": "unsupported_grant_type"})
        key = self.sandbox.authority.client("google").certificate.read_bytes()
        try:
            # The library names Google's own address as audience wherever the token is fetched.
            claims = jwt.decode(
                form.get("assertion", ""),
                _public_key(key),
                algorithms=["RS256"],
                options={
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_iat": False,
                    "require": ["iss", "exp", "iat"],
                },
            )
        except jwt.InvalidTokenError:
            return _bad_grant("Invalid JWT Signature.")
        now = self.now()
        if claims["iss"] != ACCOUNT:
            return _bad_grant("Invalid grant: account not found")
        if (
            not now.timestamp() - 3900 < claims["iat"] < now.timestamp() + 300
            or claims["exp"] < now.timestamp()
        ):
            return _bad_grant("Invalid JWT: Token must be a short-lived token (60 minutes)")
        token = f"ya29.sandbox-{secrets.token_urlsafe(24)}"
        scopes = frozenset(str(claims.get("scope", "")).split())
        with self.lock:
            self.tokens[token] = (claims["iss"], scopes, now + dt.timedelta(seconds=LIFE_S))
        return answer_json(200, {"access_token": token, "expires_in": LIFE_S, "token_type": "Bearer"})

    def refusal(self, request: Request, allowed: frozenset[str]) -> Response | None:
        """Why a token of ours does not let a caller in; None if it does. One of the scopes must be ``allowed``."""
        given = request.headers.get("Authorization", "")
        if not given:
            return _error(403, "The request is missing a valid API key.")
        with self.lock:
            user, scopes, until = self._holder(given)
        if not user or until <= self.now():
            return _error(
                401, "Request had invalid authentication credentials.", [("WWW-Authenticate", "Bearer")]
            )
        if not scopes & allowed:
            return _error(403, "Request had insufficient authentication scopes.")
        return None

    def _holder(self, authorization: str) -> tuple[str, frozenset[str], dt.datetime]:
        return self.tokens.get(authorization.removeprefix("Bearer "), ("", frozenset(), self.now()))

    def _refusal(self, request: Request) -> Response | None:
        if (refusal := self.refusal(request, READ_SCOPES)) is not None:
            return refusal
        now = self.now()
        with self.lock:
            user, _, _ = self._holder(request.headers.get("Authorization", ""))
            self.reads = [read for read in self.reads if now - read[1] < dt.timedelta(minutes=1)]
            mine = sum(name == user for name, _ in self.reads)
            if mine >= self.options.reads_per_minute:
                return _quota("Read requests per minute per user")
            if len(self.reads) >= self.options.project_reads_per_minute:
                return _quota("Read requests per minute")
            self.reads.append((user, now))
        return None

    # Values

    @route("GET", "/v4/spreadsheets/{id}/values:batchGet", operation="batch_get_values")
    def batch_get(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        return self._values(request, request.query.get("ranges", []), batch=True)

    @route("GET", "/v4/spreadsheets/{id}/values/{range}", operation="get_values")
    def get(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        named = urllib.parse.unquote(urllib.parse.urlsplit(request.raw_path).path.rsplit("/", 1)[1])
        return self._values(request, [named], batch=False)

    def _values(self, request: Request, named: list[str], *, batch: bool) -> Response:
        with self.lock:
            book = self.spreadsheets.get(request.params["id"])
            if book is None:
                return _error(404, "Requested entity was not found.")
            if not book.shared:
                return _error(403, "The caller does not have permission")
            try:
                found = [self._range(request, book, name) for name in named]
            except BadRange as exc:
                return _error(400, str(exc))
        if batch:
            return answer_json(200, {"spreadsheetId": request.params["id"], "valueRanges": found})
        return answer_json(200, found[0])

    def _range(self, request: Request, book: Spreadsheet, name: str) -> dict[str, Any]:
        asked = ranges.parse(name, [sheet.title for sheet in book.sheets])
        sheet = next((s for s in book.sheets if s.title == asked.sheet), book.sheets[0])
        most_rows = max(ROWS, len(sheet.rows))
        most_columns = max([COLUMNS, *(len(row) for row in sheet.rows)])
        if asked.first_row > most_rows or asked.first_column > most_columns:
            raise BadRange(
                f"Range ({name}) exceeds grid limits. Max rows: {most_rows}, max columns: {most_columns}"
            )
        last_row = min(asked.last_row or most_rows, most_rows)
        last_column = min(asked.last_column or most_columns, most_columns)
        render = request.arg("valueRenderOption") or "FORMATTED_VALUE"
        dates = request.arg("dateTimeRenderOption") or "SERIAL_NUMBER"
        cells = [
            [
                _rendered(cell, render, dates, book.date_format)
                for cell in row[asked.first_column - 1 : last_column]
            ]
            for row in sheet.rows[asked.first_row - 1 : last_row]
        ]
        dimension = request.arg("majorDimension") or "ROWS"
        if dimension == "COLUMNS":
            width = max((len(row) for row in cells), default=0)
            cells = [[row[place] if place < len(row) else "" for row in cells] for place in range(width)]
        answer: dict[str, Any] = {
            "range": ranges.shown(sheet.title, asked.first_row, asked.first_column, last_row, last_column),
            "majorDimension": "COLUMNS" if dimension == "COLUMNS" else "ROWS",
        }
        if values := _without_trailing([_without_trailing(row) for row in cells]):
            answer["values"] = values
        return answer


def _rendered(cell: Any, render: str, dates: str, date_format: str) -> Any:
    if cell is None:
        return ""
    if isinstance(cell, dict) and "formula" in cell:
        return (
            cell["formula"] if render == "FORMULA" else _rendered(cell["value"], render, dates, date_format)
        )
    if isinstance(cell, dict):
        day = dt.date.fromisoformat(cell["date"])
        if render == "FORMATTED_VALUE" or dates == "FORMATTED_STRING":
            return day.strftime(date_format)
        return (day - _EPOCH).days
    if render == "FORMATTED_VALUE":
        return str(cell).upper() if isinstance(cell, bool) else str(cell)
    return cell


def _without_trailing(values: list[Any]) -> list[Any]:
    while values and values[-1] in ("", []):
        values = values[:-1]
    return values


def _public_key(certificate: bytes) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate).public_key()


def _bad_grant(text: str) -> Response:
    return answer_json(400, {"error": "invalid_grant", "error_description": text})


def _quota(limit: str) -> Response:
    return _error(
        429,
        f"Quota exceeded for quota metric 'Read requests' and limit '{limit}' of service 'sheets.googleapis.com' for "
        "consumer 'project_number:123456789012'.",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
            }
        ],
    )


def _error(
    code: int, message: str, headers: list[tuple[str, str]] | None = None, details: list[Any] | None = None
) -> Response:
    error: dict[str, Any] = {"code": code, "message": message, "status": _NAMES.get(code, "UNKNOWN")}
    if details:
        error["details"] = details
    return answer_json(code, {"error": error}, headers or [])
