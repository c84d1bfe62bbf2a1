"""What requests bring: numbers, bodies, streams with a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from include.sandbox.vendors.microsoft.errors import Refusal, invalid
from include.sandbox.wire import BadBody, Request


def too_large() -> Refusal:
    return Refusal(
        413,
        "invalidRequest",
        "The entity size in the request exceeds the maximum limit.",
        inner=("maxRequestLengthExceeded",),
    )


def number_in_query(request: Request, name: str, default: int) -> int:
    text = request.arg(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise invalid(f"The query parameter {name} is not a number.")
    return int(text)


def up_to(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """:raises Refusal: as soon as a body without an announced length is over the limit."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise too_large()
        yield piece


def optional_json(request: Request) -> dict[str, Any]:
    """The body is optional, as for createUploadSession."""
    if request.body.absent or request.body.length == 0:
        return {}
    body = request.json()
    if not isinstance(body, dict):
        raise BadBody("not an object")
    return body
