"""
Webex's answers: objects, error envelopes, pages, and the tracking id that each of them carries.

Sources: developer.webex.com/docs/basics for the envelope, ``Link`` and 429; texts of errors as the public
descriptions of the API and the tests of public clients quote them.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import time
import urllib.parse
import uuid
from collections.abc import Sequence
from typing import Any

from include.sandbox.wire import Request, Response, answer_json

JSON = "application/json;charset=UTF-8"
NO_TOKEN = "The request requires a valid access token set in the Authorization request header."
NOT_FOUND = "The requested resource could not be found."
NOT_ALLOWED = (
    "The server understood the request, but refused to fulfill it because the access token is missing required scopes "
    "or the user is missing required roles or licenses."
)
INVALID = "The input parameters contain invalid items."


class Refusal(Exception):
    """
    A call that is answered with an error.

    :param details: the ``errors``, where they say more than the message; None: the message again.
    :param bare: no ``errors`` at all, as some answers of the vendor.
    """

    def __init__(
        self,
        status: int,
        message: str,
        details: Sequence[str] | None = None,
        *,
        bare: bool = False,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = None if bare else list(details if details is not None else [message])
        self.retry_after = retry_after


def not_found(message: str = NOT_FOUND) -> Refusal:
    return Refusal(404, message)


def invalid(*details: str) -> Refusal:
    return Refusal(400, INVALID, details)


def not_allowed(detail: str) -> Refusal:
    return Refusal(403, NOT_ALLOWED, [detail])


def tracking_id(prefix: str = "") -> str:
    """:param prefix: ``ROUTER`` where the answer comes from what stands before the services."""
    unique = uuid.uuid4().hex.upper()
    return f"{prefix}_{unique}" if prefix else f"{unique}_{time.time_ns() // 1_000_000}"


def answered(status: int, payload: Any = None, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """:param payload: None: no body."""
    marked = [("trackingid", tracking_id()), *headers]
    if payload is None:
        return Response(status=status, headers=marked)
    return answer_json(status, payload, marked, content_type=JSON)


def refused(refusal: Refusal, *, without_errors: bool = False) -> Response:
    tracked = tracking_id("ROUTER" if refusal.status == 401 else "")
    payload: dict[str, Any] = {"message": str(refusal)}
    if refusal.details is not None and not without_errors:
        payload["errors"] = [{"description": detail} for detail in refusal.details]
    payload["trackingId"] = tracked
    headers = [("trackingid", tracked)]
    if refusal.retry_after is not None:
        headers.append(("Retry-After", str(refusal.retry_after)))
    return answer_json(refusal.status, payload, headers, content_type=JSON)


def page(request: Request, items: Sequence[Any], *, default: int, most: int) -> Response:
    """
    One page of a list, with a ``Link`` to the next.

    The link holds all of the request's parameters; one too many for ``max`` is lowered to ``most``.
    """
    size = min(_size(request, default), most)
    start = _start(request)
    headers: list[tuple[str, str]] = []
    if start + size < len(items):
        cursor = base64.urlsafe_b64encode(f"from:{start + size}".encode()).decode().rstrip("=")
        kept = {name: values for name, values in request.query.items() if name != "cursor"}
        query = urllib.parse.urlencode({**kept, "max": [str(size)], "cursor": [cursor]}, doseq=True)
        headers.append(("Link", f'<{request.base_url}{request.raw_path}?{query}>; rel="next"'))
    return answered(200, {"items": list(items[start : start + size])}, headers)


def _size(request: Request, default: int) -> int:
    given = request.arg("max")
    if given is None:
        return default
    if not given.isdecimal() or int(given) < 1:
        raise Refusal(400, "Invalid value for max.")
    return int(given)


def _start(request: Request) -> int:
    given = request.arg("cursor")
    if given is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode()
        return int(text.removeprefix("from:"))
    except (ValueError, binascii.Error) as exc:
        raise Refusal(400, "Invalid cursor.") from exc


def moment(when: dt.datetime) -> str:
    """As the messaging part of the API writes times: UTC with milliseconds."""
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def public_id(kind: str, unique: str) -> str:
    """An identifier as clients see it: base64 without padding of ``ciscospark://us/KIND/UUID``."""
    return base64.urlsafe_b64encode(f"ciscospark://us/{kind}/{unique}".encode()).decode().rstrip("=")


def new_id(kind: str) -> str:
    return public_id(kind, str(uuid.uuid4()))
