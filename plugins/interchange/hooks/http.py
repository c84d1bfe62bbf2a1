"""
One HTTP client layer for every vendor, on top of the http provider's :class:`HttpHook`.

The provider's hook keeps what it is good at: the connection, the base URL, the session and its keep-alive adapter.
Three of its habits do not fit outside effects and are replaced here (docs/decisions/0002-http-layer.md): it sends every
unknown key of the connection's extra as a request header, tokens and private keys included; it lets an extra turn off
TLS verification; and it has no time-out unless each call brings one.

What is added: time-outs on every call, retry of reads and of writes that certainly did not happen, ``Retry-After`` in
both of its forms, rate limits shared by the deployment, credentials that never leave their own host, and one
translation of failures into :mod:`interchange.errors`. A write with an unclear outcome is never repeated here.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit, urlunsplit

import requests
import tenacity
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.exceptions import AirflowNotFoundException

from interchange.errors import (
    Conflict,
    InterchangeError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    RemoteError,
    SettingsError,
    Unavailable,
)
from interchange.hooks.answers import (
    LARGEST_ANSWER,
    Download,
    network_error,
    parse_retry_after,
    read_all,
    without_address,
)

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
READ_TIMEOUT_VARIABLE = "INTERCHANGE_READ_TIMEOUT_S"
"""Environment variable: the longest that any call waits for its answer, or for the next piece of it, in seconds."""
ATTEMPTS = 4
FIRST_WAIT_S = 0.5
# Waits up to this long happen inside the call; longer ones give the worker slot back (RateLimited → Airflow's retry).
LONGEST_WAIT_S = 20.0
DEFAULT_RETRY_AFTER_S = 30.0
LOCKED_RETRY_AFTER_S = 300.0
# Of a server's own failures these will be the same again: not implemented, HTTP version, no room left.
LASTING_FAILURES = (501, 505, 507)


class _WithoutPaths(logging.Filter):
    """
    Keeps URLs out of the lines that urllib3 writes for every request at level DEBUG.

    Credentials are in queries, and in paths as well: those of chats' webhooks.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                "/…" if isinstance(value, str) and value.startswith("/") else value for value in record.args
            )
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutPaths())


class Limiter(Protocol):
    """Where the deployment's shared rate limits are kept; :class:`interchange.ledger.limits.RateLimiter` is one."""

    def acquire(self, bucket: str, *, limit: int, period_s: float, max_wait_s: float) -> float:
        """
        Take a slot and return the seconds to wait before using it.

        :raises RateLimited: the wait would be longer than ``max_wait_s``; nothing was taken.
        """

    def penalise(self, bucket: str, seconds: float) -> None:
        """Let nobody use the bucket for a while: the vendor asked for it."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At most ``limit`` calls in ``period_s`` seconds, counted under ``bucket``."""

    bucket: str
    limit: int
    period_s: float


class NoAuth(requests.auth.AuthBase):
    """Keeps ``requests`` from adding credentials it finds in a netrc file."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        return r


class VendorHook(HttpHook):
    """
    Base of the hooks: one method per vendor operation, built on :meth:`call`.

    A subclass gives ``conn_type``, ``hook_name``, ``default_host`` and overrides :meth:`authorization`,
    :meth:`limits_of`, :meth:`error_code` and :meth:`request_id_of` where its vendor has such things.

    :param conn_id: Airflow connection; ``host`` is a base URL, extra ``ca_bundle`` a file of trusted authorities.
    :param limiter: the deployment's shared rate limits; None (the Test button) counts nothing.
    :param pause: how to wait, given seconds.
    """

    conn_name_attr = "conn_id"
    routine: ClassVar[frozenset[str]] = frozenset()
    """Operations so many in a run that only those are logged that went wrong."""
    default_host: ClassVar[str] = ""  # type: ignore[misc]  # the provider's plain attribute, constant per class here

    def __init__(
        self,
        conn_id: str = "",
        *,
        limiter: Limiter | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(http_conn_id=conn_id or self.default_conn_name)
        self.conn_id = self.http_conn_id
        self._limiter = limiter
        self._pause = pause
        self._session: requests.Session | None = None
        self._connection: Any = None
        self._verify: str | bool | None = None
        self._ways: dict[str, Mapping[str, Any]] = {}
        self._last: tuple[tuple[str, Mapping[str, str]], requests.PreparedRequest] | None = None

    # What a vendor's hook defines

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        """
        Headers that prove who we are.

        :param renew: the last ones were refused: get new ones where that is possible.
        """
        return {}

    @property
    def renewable(self) -> bool:
        """Whether a refused credential can be replaced without a person."""
        return False

    def limits_of(self, operation: str) -> list[Limit]:
        """The vendor's documented limits that this operation counts against."""
        return []

    def error_code(self, payload: Any) -> str:
        """The vendor's own code in an error's JSON; never its message, which may quote data."""
        return ""

    def error_text(self, text: str) -> str:
        """A code of ours for an error's plain text, where its wording is known; never the text itself."""
        return ""

    def request_id_of(self, response: requests.Response) -> str | None:
        """The vendor's own id of a call, from the answer's headers."""
        return None

    def request_id_in(self, payload: Any) -> str | None:
        """The same, from an error's JSON."""
        return None

    def asks_to_wait(self, response: requests.Response) -> float | None:
        """How many seconds an answer asks us to wait; None where it does not say."""
        return parse_retry_after(response.headers.get("Retry-After"))

    def saw(self, response: requests.Response) -> None:
        """Told of every answer, whatever its status: for vendors that tell of their limits in each."""

    # Connection and session

    @property
    def connection(self) -> Any:
        if self._connection is None:
            try:
                self._connection = self.get_connection(self.http_conn_id)
            except AirflowNotFoundException:
                raise SettingsError(
                    f"there is no connection {self.http_conn_id}; create it (type {self.conn_type})"
                ) from None
        return self._connection

    @property
    def extra(self) -> dict[str, Any]:
        return dict(self.connection.extra_dejson)

    @property
    def base(self) -> str:
        """The base URL without a slash at its end."""
        if not self._base_url_initialized:
            self._set_base_url(self.connection)
        return self.base_url.rstrip("/")

    def secret(self, name: str) -> str:
        """
        A text of the connection's extra that must be there.

        :raises SettingsError: it is missing.
        """
        value = self.extra.get(name)
        if not isinstance(value, str) or not value:
            raise SettingsError(f"connection {self.http_conn_id}: extra {name!r} is missing")
        return value

    def _set_base_url(self, connection: Any) -> None:
        # The provider's default scheme is http; a vendor is never spoken to in clear by accident.
        if connection.host and "://" not in connection.host:
            connection.host = f"https://{connection.host}"
        host = urlsplit(connection.host or self.default_host)
        try:
            own_port = host.port
        except ValueError:
            raise SettingsError(f"connection {self.http_conn_id}: the port in host is no number") from None
        # A port in the URL counts; the usual one is left out, as vendors do in the addresses they give.
        if own_port is not None or (host.scheme == "https" and connection.port == 443):
            connection.port = None
        elif connection.port and host.path:
            # The provider puts it at the end, behind the path.
            connection.host = urlunsplit(host._replace(netloc=f"{host.netloc}:{connection.port}"))
            connection.port = None
        super()._set_base_url(connection)

    def _configure_session_from_auth(self, session: requests.Session, connection: Any) -> requests.Session:
        session.auth = NoAuth()
        return session

    def _configure_session_from_extra(
        self, session: requests.Session, connection: Any, extra_options: dict[str, Any]
    ) -> requests.Session:
        return session

    @property
    def session(self) -> requests.Session:
        if self._session is None:
            self._session = self.get_conn({"User-Agent": "NONISV|Interchange|Interchange/1.0"})
        return self._session

    @property
    def verify(self) -> str | bool:
        """
        What proves the server: given on every call, since ``REQUESTS_CA_BUNDLE`` silently replaces a session's own.

        :raises SettingsError: the extra names no file of certificates.
        """
        if self._verify is None:
            bundle = self.extra.get("ca_bundle") or None
            try:
                if bundle is not None:
                    # Here, since a file that cannot be read looks like a broken line later.
                    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(bundle)
            except (OSError, TypeError):
                raise SettingsError(
                    f"connection {self.http_conn_id}: extra 'ca_bundle' must be the path of a file "
                    "with the certificates (PEM) that are trusted"
                ) from None
            self._verify = bundle or True
        return self._verify

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
            self._last = None

    # Calls

    def call(
        self,
        operation: str,
        method: str,
        url: str,
        *,
        repeatable: bool,
        authorized: bool = True,
        expected: tuple[int, ...] = (200, 201, 202, 204),
        headers: Mapping[str, str] | None = None,
        timeout_s: float = READ_TIMEOUT_S,
        largest: int = LARGEST_ANSWER,
        data_of: Callable[[], Any] | None = None,
        **body: Any,
    ) -> requests.Response:
        """
        Make one call and return its answer, wholly read (at most ``largest`` bytes; 8 MiB unless given).

        :param operation: our name of the call, for logs, errors and rate limits.
        :param url: a path under the base URL, or an absolute URL.
        :param repeatable: a second identical call does no harm (a read, or a write that replaces itself).
        :param authorized: send the credential; only ever to the connection's own host.
        :param expected: statuses that are answers; any other becomes an error.
        :param data_of: makes ``data`` anew for each attempt, where one that was read cannot be sent again.
        :param body: ``params``, ``json``, ``data``, ``files`` as ``requests`` knows them.
        :raises Unavailable: nothing was changed; safe to repeat.
        :raises Refused: will fail again unchanged.
        :raises OutcomeUnknown: a write that is not repeatable may have happened.
        """

        def fresh() -> Mapping[str, Any]:
            return body if data_of is None else {**body, "data": data_of()}

        def attempt() -> requests.Response:
            with self._attempt(
                operation,
                method,
                url,
                repeatable,
                authorized,
                expected,
                dict(headers or {}),
                timeout_s,
                fresh,
            ) as response:
                read_all(response, operation, repeatable, largest)
                return response

        return self._retried(attempt)

    def call_json(self, operation: str, method: str, url: str, *, repeatable: bool, **options: Any) -> Any:
        """:meth:`call`, for answers that are JSON objects."""
        response = self.call(operation, method, url, repeatable=repeatable, **options)
        try:
            payload = response.json()
        except ValueError:
            payload = None
        if not isinstance(payload, dict):
            kind = Unavailable if repeatable else OutcomeUnknown
            raise kind(operation, "the answer is not a JSON object", status=response.status_code)
        return payload

    @contextmanager
    def download(self, operation: str, url: str, *, timeout_s: float = READ_TIMEOUT_S) -> Iterator[Download]:
        """
        Open a body to be read as a stream; encoded bodies are not asked for.

        :raises Unavailable: also while the chunks are read.
        """
        headers = {"Accept-Encoding": "identity"}
        with self._retried(
            lambda: self._attempt(operation, "GET", url, True, True, (200,), headers, timeout_s, dict)
        ) as response:
            yield Download(response, operation)

    def _retried(self, attempt: Callable[[], requests.Response]) -> requests.Response:
        """What certainly did not happen is tried again, a few times."""
        return tenacity.Retrying(
            sleep=self._pause,
            retry=tenacity.retry_if_exception(_worth_another_try),
            wait=_wait,
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            reraise=True,
        )(attempt)

    def _attempt(
        self,
        operation: str,
        method: str,
        url: str,
        repeatable: bool,
        authorized: bool,
        expected: tuple[int, ...],
        headers: dict[str, str],
        timeout_s: float,
        body_of: Callable[[], Mapping[str, Any]],
    ) -> requests.Response:
        address = url if "://" in url else f"{self.base}/{url.lstrip('/')}"
        if authorized and urlsplit(address)[:2] != urlsplit(self.base)[:2]:
            raise Refused(operation, "the address leads to another host: no credential is sent there")
        for renew in (False, True):
            self._respect_limits(operation)
            credential = self.authorization(renew=renew) if authorized else {}
            response = self._send(
                operation, method, address, repeatable, {**headers, **credential}, timeout_s, body_of()
            )
            if response.status_code == 401 and authorized and self.renewable and not renew:
                response.close()
                continue
            break
        if response.status_code not in expected:
            with response:
                raise self._error(operation, response, repeatable)
        return response

    def _send(
        self,
        operation: str,
        method: str,
        address: str,
        repeatable: bool,
        headers: Mapping[str, str],
        timeout_s: float,
        body: Mapping[str, Any],
    ) -> requests.Response:
        self._check_headers(headers)
        started = time.monotonic()
        try:
            response = self.session.send(
                self._prepared(method, address, headers, body),
                timeout=(CONNECT_TIMEOUT_S, read_timeout_s(timeout_s)),
                # A followed redirect turns a POST into a GET and can carry a credential away.
                allow_redirects=False,
                **self._way_to(address),
            )
        except requests.RequestException as exc:
            raise network_error(operation, exc, repeatable) from without_address(exc)
        self.saw(response)
        request_id = self.request_id_of(response)
        routine = operation in self.routine and response.ok
        self.log.log(
            logging.DEBUG if routine else logging.INFO,
            "%s: HTTP %s in %.2f s%s",
            operation,
            response.status_code,
            time.monotonic() - started,
            f", request {request_id}" if request_id else "",
        )
        return response

    def _prepared(
        self, method: str, address: str, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> requests.PreparedRequest:
        """
        A request as ``requests`` makes it.

        One of many that differ in their addresses alone, such as downloads, is a copy of the one before it: making
        them anew would take a sixth of a run's time.
        """
        session = self.session
        if body or session.cookies:
            return session.prepare_request(requests.Request(method, address, headers=dict(headers), **body))
        known = self._last
        if known is None or known[0] != (method, headers):
            request = session.prepare_request(requests.Request(method, address, headers=dict(headers)))
            self._last = ((method, dict(headers)), request.copy())
            return request
        request = known[1].copy()
        request.prepare_url(address, None)
        return request

    def _way_to(self, address: str) -> Mapping[str, Any]:
        """Proxies and authorities for a host, environment included: looked up once, which takes as long as a call."""
        host = urlsplit(address).netloc
        if host not in self._ways:
            self._ways[host] = self.session.merge_environment_settings(address, {}, True, self.verify, None)
        return self._ways[host]

    def _check_headers(self, headers: Mapping[str, str]) -> None:
        """The libraries below notice late, or quote the value: mostly a secret with a line break at its end."""
        for name, value in headers.items():
            if not value.isascii() or not value.isprintable():
                raise SettingsError(
                    f"connection {self.http_conn_id}: what goes into the header {name} has a line break or a "
                    "letter that no header can carry; was a token pasted with something around it?"
                )

    def _respect_limits(self, operation: str) -> None:
        if self._limiter is None:
            return
        for limit in self.limits_of(operation):
            wait_s = self._limiter.acquire(
                limit.bucket, limit=limit.limit, period_s=limit.period_s, max_wait_s=LONGEST_WAIT_S
            )
            if wait_s > 0:
                self._pause(wait_s)

    def _error(self, operation: str, response: requests.Response, repeatable: bool) -> RemoteError:
        status = response.status_code
        code, request_id = self._told(operation, response, repeatable)
        facts: dict[str, Any] = {"status": status, "request_id": request_id, "code": code}
        named = f" ({code})" if code else ""
        retry_after_s = self.asks_to_wait(response)
        if self._limiter is not None and retry_after_s and status in (429, 503):
            # Whoever goes on regardless prolongs the block, for all of this deployment.
            for bucket in {limit.bucket for limit in self.limits_of(operation)}:
                self._limiter.penalise(bucket, retry_after_s)
        if status == 429:
            wait_s = DEFAULT_RETRY_AFTER_S if retry_after_s is None else retry_after_s
            return RateLimited(
                operation, f"the vendor asks us to slow down{named}", retry_after_s=wait_s, **facts
            )
        if status == 423:
            # A person has the file open or checked out; nothing was changed.
            wait_s = LOCKED_RETRY_AFTER_S if retry_after_s is None else retry_after_s
            return RateLimited(operation, f"locked by somebody{named}", retry_after_s=wait_s, **facts)
        if status in (408, 425) or (status >= 500 and status not in LASTING_FAILURES):
            if not repeatable:
                return OutcomeUnknown(
                    operation, f"the vendor failed while it had our request{named}", **facts
                )
            if retry_after_s:
                return RateLimited(
                    operation, f"the vendor is not available{named}", retry_after_s=retry_after_s, **facts
                )
            return Unavailable(operation, f"the vendor is not available{named}", **facts)
        if status in (404, 410):
            return NotFound(operation, f"not there{named}", **facts)
        if status in (409, 412):
            return Conflict(operation, f"exists already or has changed{named}", **facts)
        if status in (401, 403):
            advice = f"check the credentials and permissions of connection {self.http_conn_id}"
            return Refused(operation, f"not allowed{named}: {advice}", **facts)
        if status < 300:
            kind = Unavailable if repeatable else OutcomeUnknown
            return kind(operation, "the vendor's answer is none that is known for this call", **facts)
        if status < 400:
            return Refused(
                operation,
                "the vendor answers with a redirect: check the connection's host and paths",
                **facts,
            )
        return Refused(operation, f"refused by the vendor{named}", **facts)

    def _told(self, operation: str, response: requests.Response, repeatable: bool) -> tuple[str, str | None]:
        """
        The vendor's code of an error and its id of the call, as far as it tells them.

        :raises Unavailable: the answer to a repeatable call broke off: its code may make a difference.
        """
        request_id = self.request_id_of(response)
        try:
            read_all(response, operation, True)
            try:
                payload = response.json()
            except ValueError:
                return self.error_text(response.text[:200]), request_id
            return self.error_code(payload)[:120], request_id or self.request_id_in(payload)
        except Unavailable:
            if repeatable:
                raise
            return "", request_id
        except (ValueError, TypeError, AttributeError, LookupError, InterchangeError):
            # Not JSON, or not of the vendor's shape: the status alone has to do.
            return "", request_id

    # The Test button

    def probe(self) -> str:
        """Make one real, harmless call and say in a sentence what it proved."""
        raise TypeError(f"{type(self).__name__} has no probe")

    def test_connection(self) -> tuple[bool, str]:
        """What Airflow's Test button calls."""
        try:
            return True, self.probe()
        except InterchangeError as exc:
            # Airflow's page tests a copy of the connection under an id that it draws.
            mine = rf"(?:connection )?(?<![\w.]){re.escape(self.http_conn_id)}(?!\.?\w)"
            return False, re.sub(mine, "this connection", str(exc))
        finally:
            self.close()


def read_timeout_s(own_s: float = READ_TIMEOUT_S) -> float:
    """How long a call waits: its own time-out, or less where the environment says so."""
    try:
        longest_s = float(os.environ.get(READ_TIMEOUT_VARIABLE, ""))
    except ValueError:
        return own_s
    return min(own_s, longest_s) if longest_s > 0 else own_s


def _worth_another_try(exc: BaseException) -> bool:
    if isinstance(exc, RateLimited):
        return exc.retry_after_s <= LONGEST_WAIT_S
    return isinstance(exc, Unavailable)


def _wait(state: tenacity.RetryCallState) -> float:
    exc = state.outcome.exception() if state.outcome else None
    if isinstance(exc, RateLimited):
        return exc.retry_after_s
    return FIRST_WAIT_S * float(2 ** (state.attempt_number - 1))
