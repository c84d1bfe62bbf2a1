"""
The sandbox: vendors on real ports, with state, journals and faults.

A vendor is a class with routes (:func:`include.sandbox.wire.route`), ``options`` (its switches) and state.
What clients did stands in the request journal; what came of it (files stored, messages sent, jobs started) in
the effect journal. Both, and the faults, are reachable over HTTP: :mod:`include.sandbox.control`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import pickle  # the sandbox reads back only the file it wrote itself, beside its private keys
import ssl
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any, ClassVar

from include.sandbox.certificates import Authority
from include.sandbox.faults import AT_THE_PORT, Fault, FaultKind, FaultPlan
from include.sandbox.wire import (
    BadBody,
    Connection,
    Request,
    Response,
    Route,
    Server,
    answer_html,
    answer_json,
    routes_of,
)

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-token", "x-api-key", "x-knack-rest-api-key", "cookie"}
)
SECRET_QUERY = frozenset(
    {"tempauth", "token", "access_token", "refresh_token", "client_secret", "client_assertion", "code", "sig"}
)


UNKNOWN = "unknown"
"""The operation of a request that no route matches."""
HANDSHAKE = "handshake"
"""In the request journal: a connection that came to no request, because TLS failed."""


class Clock:
    """The sandbox's time: the machine's, plus what a test has added."""

    def __init__(self) -> None:
        self.offset = dt.timedelta()

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += dt.timedelta(seconds=seconds)


class Journal:
    """An append-only list of entries, numbered from 1."""

    def __init__(self, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._entries: list[dict[str, Any]] = []

    def add(self, **entry: Any) -> dict[str, Any]:
        with self._lock:
            complete = {"number": len(self._entries) + 1, "at": self._clock.now().isoformat(), **entry}
            self._entries.append(complete)
            return complete

    def entries(self, **where: Any) -> list[dict[str, Any]]:
        """All entries whose fields have the given values, oldest first."""
        with self._lock:
            return [
                dict(e) for e in self._entries if all(e.get(name) == value for name, value in where.items())
            ]

    def replace(self, entries: list[dict[str, Any]]) -> None:
        with self._lock:
            self._entries = entries

    def clear(self) -> None:
        self.replace([])


class Vendor:
    """
    One simulated service on one port.

    A subclass defines ``name``, ``Options`` (a dataclass of switches, all with defaults), routes, and
    ``clear`` which sets up empty state. State that must survive a restart is what :meth:`dump` returns.
    """

    name: ClassVar[str]
    tls: ClassVar[bool] = True
    client_certificate_required: ClassVar[bool] = False

    @dataclasses.dataclass
    class Options:
        pass

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.options: Any = self.Options()
        # Guards the vendor's state: routes run in one thread per connection.
        self.lock = threading.RLock()
        self.routes: list[Route] = routes_of(type(self))
        self.clear()

    # What a vendor implements

    def clear(self) -> None:
        """Forget all state; seeds included."""

    def seed(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """
        Put things into the vendor that its API cannot create (surveys, users, keys), or play a person who uses it.

        :return: what came of it, where there is something to say: identifiers.
        """
        raise ValueError(f"{self.name} takes no seeds, got {sorted(data)}")

    def snapshot(self) -> dict[str, Any]:
        """What a person or a test wants to see, JSON-able."""
        return {}

    def dump(self) -> Any:
        """State to be kept over a restart; picklable."""
        return None

    def load(self, dumped: Any) -> None:
        """Take back what :meth:`dump` gave."""

    def close(self) -> None:
        """End what runs beside the vendor's port."""

    def not_found(self, request: Request) -> Response:
        return answer_json(404, {"error": "no such route"})

    def bad_body(self, request: Request, reason: str) -> Response:
        return answer_json(400, {"error": reason})

    def failure(self, request: Request, status: int) -> Response:
        """An injected status in the vendor's own words: clients read error codes, not only statuses."""
        return answer_json(status, {"error": "injected"})

    # What a vendor uses

    def now(self) -> dt.datetime:
        return self.sandbox.clock.now()

    def effect(self, kind: str, **facts: Any) -> None:
        """Note something that now is so in the world: a file stored, a message sent."""
        self.sandbox.effects.add(vendor=self.name, kind=kind, **facts)

    @property
    def url(self) -> str:
        return self.sandbox.url(self.name)

    def set_options(self, values: dict[str, Any]) -> None:
        known = {f.name for f in dataclasses.fields(self.options)}
        if unknown := set(values) - known:
            raise ValueError(f"{self.name} has no options {sorted(unknown)}; it has {sorted(known)}")
        for name, value in values.items():
            setattr(self.options, name, value)


@dataclasses.dataclass(frozen=True)
class _Refusal:
    """A port that is closed for a while: set ``over`` to open it now."""

    over: threading.Event
    thread: threading.Thread


class Sandbox:
    """
    All vendors together.

    :param vendors: vendor classes, each served on a port of its own.
    :param folder: where certificates and state are kept; None: a temporary folder, nothing is kept.
    :param ports: port by vendor name; a vendor not named gets a free one.
    :param host: the address to listen on.
    :param public_host: the name clients use, if it differs from ``host``.
    """

    def __init__(
        self,
        vendors: list[type[Vendor]],
        *,
        folder: Path | None = None,
        ports: dict[str, int] | None = None,
        host: str = "127.0.0.1",
        public_host: str | None = None,
    ) -> None:
        self._scratch = None if folder else tempfile.TemporaryDirectory(prefix="sandbox-")
        self.folder = Path(self._scratch.name) if self._scratch else folder or Path()
        self._keep = folder is not None
        self.host = host
        self.public_host = public_host or ("localhost" if host in ("127.0.0.1", "0.0.0.0") else host)  # noqa: S104  # compared, not bound
        self._ports = dict(ports or {})
        self.clock = Clock()
        self.requests = Journal(self.clock)
        self.effects = Journal(self.clock)
        self.faults = FaultPlan()
        self.authority = Authority(self.folder / "certificates")
        self._servers: dict[str, Server] = {}
        self._refusals: dict[str, _Refusal] = {}
        self._save_lock = threading.Lock()
        self._stopping = threading.Event()
        self.vendors: dict[str, Vendor] = {}
        for vendor_class in vendors:
            self.vendors[vendor_class.name] = vendor_class(self)
        self._load()

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def vendor(self, name: str) -> Any:
        try:
            return self.vendors[name]
        except KeyError:
            raise ValueError(f"no vendor {name!r}; there are {sorted(self.vendors)}") from None

    def url(self, name: str) -> str:
        scheme = "https" if self.vendor(name).tls else "http"
        return f"{scheme}://{self.public_host}:{self._ports[name]}"

    @property
    def ca_bundle(self) -> Path:
        return self.authority.bundle

    # Life

    def start(self) -> None:
        """
        Open every vendor's port.

        :raises OSError: a port cannot be opened; the text names vendor and address. Nothing is left open.
        """
        for name in self.vendors:
            try:
                self._listen(name)
            except OSError as exc:
                # Whoever has the port may be using this folder as well.
                self._keep = False
                self.stop()
                address = f"{self.host}:{self._ports.get(name, 0)}"
                raise OSError(exc.errno, f"cannot serve {name} on {address}: {exc.strerror}") from exc

    def stop(self) -> None:
        """Close every port and connection; keep the state if there is a folder for it."""
        self._stopping.set()
        self.end_refusals()
        for name in list(self._servers):
            self._servers.pop(name).close()
        self.save()
        for vendor in self.vendors.values():
            vendor.close()
        if self._scratch:
            self._scratch.cleanup()

    def reset(self) -> None:
        """Everything as after the first start: state, options, journals, faults, clock."""
        self.clear_faults()
        self.clock.offset = dt.timedelta()
        self.requests.clear()
        self.effects.clear()
        for vendor in self.vendors.values():
            with vendor.lock:
                vendor.options = vendor.Options()
                vendor.clear()
        self.save()

    def _listen(self, name: str, shown: Authority | None = None) -> None:
        """:param shown: whose certificate is shown instead of our own authority's; then nothing is answered."""
        vendor = self.vendors[name]

        def answer(request: Request, connection: Connection) -> None:
            if shown is None:
                self._answer(vendor, request, connection)
            else:
                connection.cut()

        server = Server(
            (self.host, self._ports.get(name, 0)),
            answer,
            self._tls_context(vendor, shown or self.authority) if vendor.tls else None,
            lambda reason: self._note_refused(name, reason),
        )
        self._ports[name] = server.server_address[1]
        self._servers[name] = server
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, name=f"sandbox-{name}", daemon=True
        ).start()

    def _note_refused(self, name: str, reason: str) -> None:
        """A connection without TLS, such as one without the certificate that the vendor asks for, made no request."""
        self.requests.add(
            vendor=name, operation=HANDSHAKE, method=None, path=None, status=None, reason=reason
        )

    def _tls_context(self, vendor: Vendor, authority: Authority) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = authority.server(self.public_host)
        context.load_cert_chain(issued.certificate, issued.key)
        if vendor.client_certificate_required:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority.bundle)
        return context

    # State over restarts

    def save(self) -> None:
        if not self._keep:
            return
        with self._save_lock:
            # Effects first: a vendor changes its state before it notes the effect, so none lacks its state.
            state: dict[str, Any] = {"effects": self.effects.entries(), "vendors": {}}
            for name, vendor in self.vendors.items():
                with vendor.lock:
                    state["vendors"][name] = pickle.dumps(vendor.dump())
            target = self.folder / "state.pickle"
            partial = target.with_suffix(".partial")
            partial.write_bytes(pickle.dumps(state))
            partial.replace(target)

    def _load(self) -> None:
        target = self.folder / "state.pickle"
        if not (self._keep and target.exists()):
            return
        state = pickle.loads(target.read_bytes())  # noqa: S301  # our own file, see the import
        self.effects.replace(state["effects"])
        for name, dumped in state["vendors"].items():
            if name in self.vendors and (kept := pickle.loads(dumped)) is not None:  # noqa: S301  # as above
                self.vendors[name].load(kept)

    # Requests

    def _shut(self, fault: Fault, *, keep: Connection | None = None) -> None:
        if fault.kind is FaultKind.BAD_CERTIFICATE:
            foreign = Authority(self.folder / "foreign")
            self.refuse(fault.vendor, fault.seconds, keep=keep, shown=foreign)
        else:
            self.refuse(fault.vendor, fault.seconds, keep=keep)

    def refuse(
        self, name: str, seconds: float, *, keep: Connection | None = None, shown: Authority | None = None
    ) -> None:
        """
        Close a vendor's port, and every connection to it, for a while: connection refused.

        :param keep: a connection that may still give its answer.
        :param shown: instead of refusing, show a certificate of this authority, and make no call of whoever trusts it.
        """
        self._servers.pop(name).close(keep=keep)
        if shown is not None:
            self._listen(name, shown)
        over = threading.Event()

        def reopen() -> None:
            over.wait(seconds)
            if shown is not None:
                self._servers.pop(name).close()
            if not self._stopping.is_set():
                self._listen(name)

        thread = threading.Thread(target=reopen, name=f"sandbox-{name}-reopen", daemon=True)
        self._refusals[name] = _Refusal(over, thread)
        thread.start()

    def end_refusals(self) -> None:
        """Open the ports that are closed for a while."""
        for name in list(self._refusals):
            refusal = self._refusals.pop(name)
            refusal.over.set()
            refusal.thread.join()

    def clear_faults(self) -> None:
        """Forget all faults, end those at work on a port, and count calls from the start."""
        self.faults.clear()
        self.faults.restart_counting()
        self.end_refusals()

    def arm(self, fault: Fault) -> None:
        """
        Let a fault wait for its call. A refusal of the very next call closes the port at once.

        :raises ValueError: the fault could never be met, or not as it is described.
        """
        vendor: Vendor = self.vendor(fault.vendor)
        operations = sorted({known.operation for known in vendor.routes} | {UNKNOWN})
        if fault.operation is not None and fault.operation not in operations:
            raise ValueError(f"{fault.vendor} has no operation {fault.operation!r}; it has {operations}")
        if fault.kind in AT_THE_PORT:
            if fault.operation is not None or fault.times != 1:
                raise ValueError(
                    "a refused call is never seen: it has no operation and no `times`, but `seconds`"
                )
            if fault.kind is FaultKind.BAD_CERTIFICATE and not vendor.tls:
                raise ValueError(f"{fault.vendor} has no certificate: it speaks plain HTTP")
            if fault.vendor not in self._servers:
                raise ValueError(f"the port of {fault.vendor} is closed already")
        self.faults.add(fault)
        if (due := self.faults.due_at_port(fault.vendor)) is not None:
            self._shut(due)

    def _answer(self, vendor: Vendor, request: Request, connection: Connection) -> None:
        started = time.monotonic()
        chosen = self._route(vendor, request)
        operation = chosen.operation if chosen else UNKNOWN
        fault = self.faults.meet(vendor.name, operation)
        entry = self.requests.add(
            vendor=vendor.name,
            operation=operation,
            method=request.method,
            path=request.path,
            query={k: ["…"] if k.lower() in SECRET_QUERY else v for k, v in request.query.items()},
            headers={k: _shown(k, v) for k, v in request.headers.items()},
            fault=fault.kind.value if fault else None,
            status=None,
        )
        request.number = entry["number"]
        try:
            response = self._respond(vendor, chosen, request, fault)
            entry.update(request.notes)
            entry["received_bytes"] = request.body.received
            entry["duration_s"] = round(time.monotonic() - started, 4)
            if request.method not in ("GET", "HEAD"):
                # Before the answer: what a client was told outlives the sandbox's sudden end.
                self.save()
            if (due := self.faults.due_at_port(vendor.name)) is not None:
                connection.close_connection = True
                self._shut(due, keep=connection)
            if response is None:
                connection.cut()
                return
            connection.close_connection |= request.body.lost
            entry["status"] = None if response.reset else response.status
            entry["sent_bytes"] = len(response.body) if isinstance(response.body, bytes) else None
            if connection.close_connection:
                response.headers.append(("Connection", "close"))
            cut_after, flip_at = _damage(fault, response)
            entry["sent_bytes"] = connection.reply(response, cut_after=cut_after, flip_at=flip_at)
            if request.body.unread and not (request.body.lost or connection.gone):
                # A client that still sends must be able to finish, or it never reads the answer.
                request.body.drain()
                connection.close_connection |= request.body.lost
        finally:
            entry["duration_s"] = round(time.monotonic() - started, 4)

    def _respond(
        self, vendor: Vendor, chosen: Route | None, request: Request, fault: Fault | None
    ) -> Response | None:
        """The answer, or None where the connection is to be cut without one."""
        match fault.kind if fault else None:
            case FaultKind.RESET:
                return None
            case FaultKind.STALL:
                self._stopping.wait(fault.seconds if fault else 0)
                return None
            case FaultKind.STATUS if fault:
                request.body.drain()
                return _injected(vendor, request, fault)
            case FaultKind.HTML if fault:
                request.body.drain()
                return answer_html(fault.status)
        response = self._handle(vendor, chosen, request)
        match fault.kind if fault else None:
            case FaultKind.STATUS_AFTER if fault:
                return _injected(vendor, request, fault)
            case FaultKind.LOSE_ANSWER:
                return None
            case FaultKind.TRUNCATE if response.body == b"":
                # Nothing to cut in the middle of: no part of the answer arrives.
                return None
            case FaultKind.SLOW:
                self._stopping.wait(fault.seconds if fault else 0)
        return response

    def _handle(self, vendor: Vendor, chosen: Route | None, request: Request) -> Response:
        try:
            if chosen is None:
                request.body.drain()
                return vendor.not_found(request)
            return chosen.handler(vendor, request)
        except BadBody as exc:
            return vendor.bad_body(request, str(exc))

    @staticmethod
    def _route(vendor: Vendor, request: Request) -> Route | None:
        for candidate in vendor.routes:
            if candidate.method == request.method and (found := candidate.pattern.fullmatch(request.path)):
                request.params = found.groupdict()
                return candidate
        return None


def _injected(vendor: Vendor, request: Request, fault: Fault) -> Response:
    answer = vendor.failure(request, fault.status)
    if fault.retry_after:
        answer.headers.append(("Retry-After", fault.retry_after))
    return answer


def _shown(name: str, value: str) -> str:
    """A header as the journal keeps it: a credential only by its scheme."""
    if name.lower() not in SECRET_HEADERS:
        return value
    scheme, _, rest = value.partition(" ")
    return f"{scheme} …" if rest else "…"


def _damage(fault: Fault | None, response: Response) -> tuple[int | None, int | None]:
    """Where to cut an answer's body, and which of its bytes to spoil."""
    if fault is None or fault.kind not in (FaultKind.TRUNCATE, FaultKind.WRONG_BYTES):
        return None, None
    length = len(response.body) if isinstance(response.body, bytes) else response.length or 0
    spot = fault.after_bytes if fault.after_bytes is not None else length // 2
    return (spot, None) if fault.kind is FaultKind.TRUNCATE else (None, spot)


def new_id(prefix: str = "") -> str:
    return prefix + uuid.uuid4().hex
