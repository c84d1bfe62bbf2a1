"""
HTTP as the sandbox speaks it: requests, answers, routes, and a server that can misbehave on its socket.

The standard library's server is used on purpose: injected faults must cut, stall and corrupt at the level of
the socket, which frameworks hide.
"""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import http.client
import json
import os
import re
import socket
import ssl
import struct
import sys
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

CHUNK = 1 << 18
STOPPED = "the client stopped in the middle of its body"


class BadBody(ValueError):
    """The request's body is not what its headers or its route promise."""


class Body:
    """The request's body: read once, as a stream, whatever its framing (Content-Length or chunked)."""

    def __init__(self, source: BinaryIO, headers: Mapping[str, str]) -> None:
        self._source = source
        self._chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        length = None if self._chunked else headers.get("Content-Length")
        if length is not None and not length.isdecimal():
            raise BadBody("Content-Length is not a number")
        self.length = None if length is None else int(length)
        self._rest_of_chunk = 0
        self.received = 0
        self.lost = False
        """Where it ends, and the next request starts, cannot be told."""

    @property
    def absent(self) -> bool:
        """Neither a length nor chunks were announced."""
        return self.length is None and not self._chunked

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks() if self._chunked else self._counted()

    @property
    def unread(self) -> bool:
        """Something of it may still be on the line, in front of the next request."""
        return self._chunked or self.received < (self.length or 0)

    def _counted(self) -> Iterator[bytes]:
        while (rest := (self.length or 0) - self.received) > 0:
            piece = self._source.read(min(CHUNK, rest))
            if not piece:
                raise ConnectionResetError(STOPPED)
            self.received += len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            if not self._rest_of_chunk:
                line = self._source.readline(100)
                if not line:
                    raise ConnectionResetError(STOPPED)
                try:
                    self._rest_of_chunk = int(line.split(b";")[0], 16)
                except ValueError as exc:
                    self.lost = True
                    raise BadBody("a chunk does not start with its size") from exc
                if not self._rest_of_chunk:
                    while self._source.readline().strip():
                        pass
                    self._chunked, self.length = False, self.received
                    return
            piece = self._source.read(min(CHUNK, self._rest_of_chunk))
            if not piece:
                raise ConnectionResetError(STOPPED)
            self._rest_of_chunk -= len(piece)
            self.received += len(piece)
            if not self._rest_of_chunk:
                self._source.readline()
            yield piece

    def read(self, limit: int = 64 << 20) -> bytes:
        parts: list[bytes] = []
        for piece in self:
            parts.append(piece)
            if self.received > limit:
                raise BadBody(f"body larger than {limit} bytes")
        return b"".join(parts)

    def drain(self) -> None:
        """Read what is left, for nobody."""
        with contextlib.suppress(BadBody):  # Then it is ``lost``.
            for _ in self:
                pass


@dataclass(kw_only=True)
class Request:
    """One request as a vendor's route sees it. ``params`` are the named groups of the route's path."""

    method: str
    path: str
    raw_path: str
    query: dict[str, list[str]]
    headers: http.client.HTTPMessage
    body: Body
    base_url: str
    raw_query: str = ""
    params: dict[str, str] = field(default_factory=dict)
    client_certificate: dict[str, Any] | None = None
    number: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    """What a vendor wants the request journal to say besides."""

    def arg(self, name: str, default: str | None = None) -> str | None:
        """The last value of a query parameter."""
        return self.query.get(name, [default])[-1] if name in self.query else default

    def json(self) -> Any:
        content = self.body.read()
        try:
            return json.loads(content)
        except ValueError as exc:
            raise BadBody("the body is not JSON") from exc

    def form(self) -> dict[str, str]:
        """Fields of an urlencoded or multipart body; a file part is given as its text."""
        try:
            if self.headers.get_content_type() == "multipart/form-data":
                return {name: part.content.decode() for name, part in self.multipart().items()}
            return dict(urllib.parse.parse_qsl(self.body.read().decode(), keep_blank_values=True))
        except UnicodeDecodeError as exc:
            raise BadBody("a field is not UTF-8 text") from exc

    def multipart(self) -> dict[str, Part]:
        if self.headers.get_content_type() != "multipart/form-data" or not self.headers.get_boundary():
            raise BadBody("the body is not multipart/form-data with a boundary")
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body.read())
        parts: dict[str, Part] = {}
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            parts[str(name)] = Part(
                content=content if isinstance(content, bytes) else b"",
                filename=part.get_filename(),
                content_type=part.get_content_type(),
            )
        return parts


@dataclass(frozen=True, kw_only=True)
class Part:
    content: bytes
    filename: str | None
    content_type: str


@dataclass(kw_only=True)
class Response:
    """
    An answer. ``body`` is bytes, or an iterator for streams; ``length`` announces a stream's length.

    A stream without ``length`` is sent in chunks. ``length`` may differ from what the body really has: some
    vendors' answers do.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    length: int | None = None
    reset: bool = False
    """Cut the connection instead of answering (an act whose answer is lost)."""


def answer_json(
    status: int,
    payload: object,
    headers: Iterable[tuple[str, str]] = (),
    content_type: str = "application/json",
) -> Response:
    return Response(
        status=status,
        body=json.dumps(payload, ensure_ascii=False).encode(),
        headers=[("Content-Type", content_type), *headers],
    )


def answer_html(status: int, text: str = "<html><body><h1>Service error</h1></body></html>") -> Response:
    return Response(status=status, body=text.encode(), headers=[("Content-Type", "text/html; charset=utf-8")])


Handler = Callable[[Any, Request], Response]


@dataclass(frozen=True, kw_only=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    operation: str
    handler: Handler


def route(method: str, path: str, *, operation: str) -> Callable[[Handler], Handler]:
    """
    Mark a vendor's method as the handler of a path.

    ``{name}`` matches one segment, ``{name:path}`` anything. Routes are tried in the order of definition.
    """
    expression = "".join(
        f"(?P<{m.group(1)}>{'.+' if m.group(2) else '[^/]+'})"
        if (m := re.fullmatch(r"\{(\w+)(:path)?\}", piece))
        else re.escape(piece)
        for piece in re.split(r"(\{\w+(?::path)?\})", path)
    )

    def mark(handler: Handler) -> Handler:
        marks = list(getattr(handler, "__routes__", []))
        marks.append(
            Route(method=method, pattern=re.compile(expression), operation=operation, handler=handler)
        )
        handler.__routes__ = marks  # type: ignore[attr-defined]  # read back by routes_of
        return handler

    return mark


def routes_of(cls: type) -> list[Route]:
    found: dict[str, list[Route]] = {}
    for klass in reversed(cls.__mro__):
        for name, member in vars(klass).items():
            if routes := getattr(member, "__routes__", None):
                found[name] = routes
    return [entry for routes in found.values() for entry in routes]


class Connection(BaseHTTPRequestHandler):
    """One client connection; hands each request to the server's ``dispatch``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 120
    gone = False
    """Cut by us: nothing can be read or written any more."""
    server: Server
    server_version = "sandbox"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self)

    def handle(self) -> None:
        try:
            super().handle()
        except ssl.SSLError as exc:
            self.close_connection = True
            self.server.refused(str(exc.reason))
        except OSError:
            # The client went away or a fault cut the line: what happened is in the journal.
            self.close_connection = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def handle_expect_100(self) -> bool:
        # Called before the request is handed over. Unflushed, it stays in our buffer and the client waits.
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def finish(self) -> None:
        self.server.connections.discard(self)
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        # Tolerate "//" at the start: urlsplit would take it for a host.
        split = urllib.parse.urlsplit("x:" + self.path if self.path.startswith("//") else self.path)
        try:
            peer = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        except AttributeError:
            # A fault has shut the port, and this connection, since the request came in.
            self.close_connection = True
            return
        try:
            body = Body(self.rfile, self.headers)  # type: ignore[arg-type]  # Message is a mapping of text
        except BadBody as exc:
            self.reply(answer_json(400, {"error": str(exc)}, [("Connection", "close")]))
            return
        request = Request(
            method=self.command,
            path=urllib.parse.unquote(split.path),
            raw_path=split.path,
            raw_query=split.query,
            query=urllib.parse.parse_qs(split.query, keep_blank_values=True),
            headers=self.headers,  # type: ignore[arg-type]  # Message in typeshed, HTTPMessage at run time
            body=body,
            base_url=f"{'https' if self.server.tls else 'http'}://{self.headers.get('Host', '')}",
            client_certificate=dict(peer) if peer else None,
        )
        self.server.dispatch(request, self)

    def reply(self, response: Response, *, cut_after: int | None = None, flip_at: int | None = None) -> int:
        """
        Send an answer and return the body bytes sent.

        :param cut_after: close the connection after this many bytes of the body.
        :param flip_at: invert the byte at this offset of the body.
        """
        if response.reset:
            self.cut()
            return 0
        body: Iterable[bytes] = [response.body] if isinstance(response.body, bytes) else response.body
        length = (
            len(response.body)
            if isinstance(response.body, bytes) and response.length is None
            else response.length
        )
        has_body = self.command != "HEAD" and response.status not in (204, 304) and response.status >= 200
        self.send_response_only(response.status)
        self.send_header("Date", self.date_time_string())
        for name, value in response.headers:
            self.send_header(name, value)
        chunked = has_body and length is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length is not None and (has_body or self.command == "HEAD"):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        sent = 0
        for piece in body if has_body else ():
            if flip_at is not None and sent <= flip_at < sent + len(piece):
                spot = flip_at - sent
                piece = piece[:spot] + bytes([piece[spot] ^ 0xFF]) + piece[spot + 1 :]
            if cut_after is not None and sent + len(piece) > cut_after:
                if chunked:
                    self.wfile.write(b"%x\r\n" % len(piece))
                self.wfile.write(piece[: cut_after - sent])
                self.wfile.flush()
                self.cut(deliver=True)
                return cut_after
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece)
            sent += len(piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if length is not None and has_body and sent != length:
            self.close_connection = True
        return sent

    def cut(self, *, deliver: bool = False) -> None:
        """
        End the connection with a TCP reset.

        :param deliver: with an ordinary end instead, so that the client gets all that was written before.
        """
        self.close_connection = self.gone = True
        if not deliver:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Closing the bare descriptor, without TLS's good-bye, is what a crashed host looks like.
        os.close(self.connection.detach())

    def hang_up(self) -> None:
        """End the connection from another thread, which may be waiting in a read."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name for it
        """Keep quiet: the request journal has it all."""


class Server(ThreadingHTTPServer):
    """A listening port that can be closed and opened again (connection refused) while its state lives on."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(
        self,
        address: tuple[str, int],
        dispatch: Callable[[Request, Connection], None],
        tls_context: ssl.SSLContext | None,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        :param refused: told why a connection ended without TLS: a handshake that failed.
        """
        self.dispatch = dispatch
        self.refused = refused
        self.tls = tls_context is not None
        self._tls_context = tls_context
        self.connections: set[Connection] = set()
        super().__init__(address, Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls_context is not None:
            # The handshake happens in the connection's own thread, at its first read.
            connection = self._tls_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def close(self, *, keep: Connection | None = None) -> None:
        """
        Stop listening and end every connection.

        :param keep: a connection that may still give its answer.
        """
        with contextlib.suppress(OSError):  # Not every system wakes a waiting server so; then it polls.
            self.socket.shutdown(socket.SHUT_RDWR)
        self.shutdown()
        self.server_close()
        for connection in set(self.connections) - {keep}:
            with contextlib.suppress(OSError):  # It may have ended by itself.
                connection.hang_up()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Failed handshakes and clients that hang up are what this server is for; all else is our own bug."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
