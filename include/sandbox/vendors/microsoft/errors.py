"""How Graph and the upload host say no."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any

from include.sandbox.wire import Request, Response, answer_json


class Refusal(Exception):
    """
    The answer to a request that is not carried out.

    :param inner: codes of the nested ``innerError`` objects, outermost first.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        inner: tuple[str, ...] = (),
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner
        self.headers = tuple(headers)


def not_found() -> Refusal:
    return Refusal(404, "itemNotFound", "The resource could not be found.")


def invalid(message: str, *inner: str) -> Refusal:
    return Refusal(400, "invalidRequest", message, inner=inner)


def name_exists(message: str = "An item with the same name already exists under the parent") -> Refusal:
    return Refusal(409, "nameAlreadyExists", message)


def throttled(status: int) -> Refusal:
    """What a 429 or 503 of an overloaded service looks like."""
    if status == 429:
        return Refusal(
            429, "activityLimitReached", "The request has been throttled", inner=("throttledRequest", "quota")
        )
    return Refusal(
        status, "serviceNotAvailable", "The service is not available. Try the request again later."
    )


def failed(status: int) -> Refusal:
    """The documented code for a status that the service answers when something is wrong with itself."""
    if status in (429, 503):
        return throttled(status)
    if status == 404:
        return not_found()
    codes = {
        400: "invalidRequest",
        401: "InvalidAuthenticationToken",
        403: "accessDenied",
        409: "nameAlreadyExists",
        412: "resourceModified",
        413: "invalidRequest",
        416: "invalidRange",
        423: "resourceLocked",
        507: "quotaLimitReached",
    }
    return Refusal(
        status, codes.get(status, "generalException"), "An error occurred while processing the request."
    )


def refusal_body(
    refusal: Refusal, request: Request, now: dt.datetime, *, inner_key: str = "innerError"
) -> dict[str, Any]:
    """:param inner_key: ``innerError`` today, ``innererror`` in older answers."""
    request_id = str(uuid.uuid4())
    nested: dict[str, Any] = {}
    for code in reversed(refusal.inner):
        nested = {"code": code, **({inner_key: nested} if nested else {})}
    details = {
        **nested,
        "date": now.strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id", request_id),
    }
    return {"error": {"code": refusal.code, "message": refusal.message, inner_key: details}}


def refusal_answer(
    refusal: Refusal, request: Request, now: dt.datetime, *, inner_key: str = "innerError"
) -> Response:
    body = refusal_body(refusal, request, now, inner_key=inner_key)
    headers = [("request-id", body["error"][inner_key]["request-id"]), *refusal.headers]
    return answer_json(refusal.status, body, headers)
