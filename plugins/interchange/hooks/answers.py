"""
What came back, or did not: bodies read with a bound, and failures of the line told by what they mean for the call.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC

import requests
import urllib3.exceptions

from interchange.errors import OutcomeUnknown, Refused, RemoteError, Unavailable

LARGEST_ANSWER = 8 << 20
# TLS alerts with which a server ends a handshake because of the client's certificate (RFC 8446 §6.2).
_OUR_CERTIFICATE = re.compile(
    r"ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)"
)
CHUNK = 1 << 20


class Download:
    """An open answer whose body is read as a stream. ``length`` is None where the vendor announces none."""

    def __init__(self, response: requests.Response, operation: str) -> None:
        length = response.headers.get("Content-Length")
        self.length = int(length) if length and length.isdigit() else None
        self.content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
        if self.encoded:
            # The length then counts the encoded bytes, not the ones we hand on.
            self.length = None
        self._response = response
        self._operation = operation

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """
        The body, piece by piece.

        :raises Unavailable: the line broke, or fewer bytes came than were announced.
        """
        received = 0
        try:
            while piece := self._response.raw.read(size, decode_content=self.encoded):
                received += len(piece)
                yield piece
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise Unavailable(self._operation, f"the transfer broke off after {received} bytes") from exc
        if self.length is not None and received != self.length:
            raise Unavailable(self._operation, f"{self.length} bytes were announced, {received} came")


def parse_retry_after(value: str | None, *, now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait, from a number of seconds or an HTTP date; None where it is neither (RFC 9110 §10.2.3)."""
    if not value:
        return None
    text = value.strip()
    if text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        # The oldest of HTTP's three forms of a date names no zone; all of them mean GMT.
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now())


def read_all(
    response: requests.Response, operation: str, repeatable: bool, largest: int = LARGEST_ANSWER
) -> None:
    """Read a small answer into ``response.content``; ``largest`` is how many bytes it may have."""
    parts: list[bytes] = []
    size = 0
    try:
        for piece in response.iter_content(1 << 16):
            size += len(piece)
            if size > largest:
                kind = Refused if repeatable else OutcomeUnknown
                raise kind(
                    operation,
                    f"the answer is larger than {largest} bytes",
                    status=response.status_code,
                )
            parts.append(piece)
    except requests.RequestException as exc:
        broken = Unavailable if repeatable else OutcomeUnknown
        raise broken(operation, "the answer broke off", status=response.status_code) from without_address(exc)
    response._content = b"".join(parts)


def network_error(operation: str, exc: requests.RequestException, repeatable: bool) -> RemoteError:
    """What a call without an answer means. Nothing of the exception's text is kept: it holds the URL."""
    reason = getattr(exc.args[0], "reason", None) if exc.args else None
    if isinstance(exc, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return Refused(operation, "the server's certificate is not trusted: check host and extra 'ca_bundle'")
    if _OUR_CERTIFICATE.search(str(exc)):
        # The handshake never ended, so no request was read.
        return Refused(operation, "the server does not accept our client certificate, or wants one")
    if isinstance(exc, (requests.ConnectTimeout, requests.exceptions.ProxyError)) or isinstance(
        reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    ):
        # Raised before the first byte leaves this machine, so a write cannot have happened.
        return Unavailable(operation, "no connection could be made")
    if isinstance(
        exc,
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ),
    ):
        return Refused(operation, "the address is not valid: check the connection's host")
    what = "no answer in time" if isinstance(exc, requests.Timeout) else "the line broke"
    return Unavailable(operation, what) if repeatable else OutcomeUnknown(operation, what)


def without_address(exc: BaseException) -> BaseException:
    """The same kind of error without its text: ``requests`` puts the URL, and so its credential, into it."""
    return type(exc)() if isinstance(exc, requests.RequestException) else exc
