"""
The sandbox by hand: state, journals, faults, switches and time over plain HTTP.

    GET    /                                 what is running, for a person
    GET    /health                           {"status": "ok", "vendors": {name: url}, "ca_bundle": path}
    GET    /state            /state/{vendor}
    GET    /journal/requests /journal/effects    ?vendor=&kind=&operation=
    DELETE /journal/requests /journal/effects
    GET    /faults           POST /faults {"vendor", "kind", "call"…}    DELETE /faults (counts anew)
    PATCH  /vendors/{vendor}/options {switch: value}      GET: all switches
    POST   /vendors/{vendor}/seed {…}        POST /vendors/{vendor}/clear          (some seeds answer with ids)
    POST   /clock {"advance_s": seconds}     POST /reset
"""

from __future__ import annotations

import dataclasses
import html
import threading
from typing import Any

from include.sandbox.core import Journal, Sandbox
from include.sandbox.faults import Fault
from include.sandbox.wire import (
    BadBody,
    Connection,
    Request,
    Response,
    Route,
    Server,
    answer_json,
    route,
    routes_of,
)


class Control:
    """
    Serves one sandbox's control interface on ``port`` (0: a free one).

    :raises OSError: the port cannot be opened; the text names it.
    """

    def __init__(self, sandbox: Sandbox, *, port: int = 0) -> None:
        self._sandbox = sandbox
        self._routes: list[Route] = routes_of(type(self))
        try:
            self._server = Server((sandbox.host, port), self._dispatch, None)
        except OSError as exc:
            raise OSError(
                exc.errno, f"cannot serve control on {sandbox.host}:{port}: {exc.strerror}"
            ) from exc
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{self._sandbox.public_host}:{self.port}"

    def start(self) -> None:
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="sandbox-control",
            daemon=True,
        ).start()

    def stop(self) -> None:
        self._server.close()

    def _dispatch(self, request: Request, connection: Connection) -> None:
        response = self._handle(request)
        # Many handlers need no body; what was sent anyway must not be taken for the next request.
        request.body.drain()
        connection.close_connection |= request.body.lost
        connection.reply(response)

    def _handle(self, request: Request) -> Response:
        for candidate in self._routes:
            if candidate.method == request.method and (found := candidate.pattern.fullmatch(request.path)):
                request.params = found.groupdict()
                try:
                    return candidate.handler(self, request)
                except (ValueError, TypeError, KeyError, BadBody) as exc:
                    return answer_json(400, {"error": str(exc)})
        return answer_json(
            404, {"error": f"no {request.method} {request.path}; see include/sandbox/control.py"}
        )

    @route("GET", "/", operation="overview")
    def overview(self, request: Request) -> Response:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(vendor.url)}</td>"
            f"<td>{len(self._sandbox.requests.entries(vendor=name))}</td>"
            f"<td>{len(self._sandbox.effects.entries(vendor=name))}</td>"
            f"<td><a href='/state/{name}'>state</a> <a href='/journal/requests?vendor={name}'>requests</a> "
            f"<a href='/journal/effects?vendor={name}'>effects</a> "
            f"<a href='/vendors/{name}/options'>switches</a></td></tr>"
            for name, vendor in self._sandbox.vendors.items()
        )
        page = (
            "<!doctype html><html lang='en'><meta charset='utf-8'><title>Interchange sandbox</title>"
            "<style>body{font:16px sans-serif;margin:2rem}td,th{padding:.3rem 1rem;text-align:left}</style>"
            "<h1>Interchange sandbox</h1><table><tr><th>Vendor</th><th>Address</th><th>Requests</th>"
            f"<th>Effects</th><th></th></tr>{rows}</table>"
            "<p><a href='/faults'>faults</a> <a href='/journal/effects'>all effects</a></p></html>"
        )
        return Response(body=page.encode(), headers=[("Content-Type", "text/html; charset=utf-8")])

    @route("GET", "/health", operation="health")
    def health(self, request: Request) -> Response:
        vendors = {name: vendor.url for name, vendor in self._sandbox.vendors.items()}
        return answer_json(
            200, {"status": "ok", "vendors": vendors, "ca_bundle": str(self._sandbox.ca_bundle)}
        )

    @route("GET", "/state", operation="state")
    def state(self, request: Request) -> Response:
        return answer_json(200, {name: self._snapshot(name) for name in self._sandbox.vendors})

    @route("GET", "/state/{vendor}", operation="vendor_state")
    def vendor_state(self, request: Request) -> Response:
        return answer_json(200, self._snapshot(request.params["vendor"]))

    def _snapshot(self, name: str) -> Any:
        vendor = self._sandbox.vendor(name)
        with vendor.lock:
            return vendor.snapshot()

    def _journal(self, request: Request) -> Journal:
        journals = {"requests": self._sandbox.requests, "effects": self._sandbox.effects}
        if request.params["journal"] not in journals:
            raise ValueError(f"journals are {sorted(journals)}")
        return journals[request.params["journal"]]

    @route("GET", "/journal/{journal}", operation="read_journal")
    def read_journal(self, request: Request) -> Response:
        where = {name: values[-1] for name, values in request.query.items()}
        return answer_json(200, self._journal(request).entries(**where))

    @route("DELETE", "/journal/{journal}", operation="clear_journal")
    def clear_journal(self, request: Request) -> Response:
        self._journal(request).clear()
        return answer_json(200, {})

    @route("GET", "/faults", operation="list_faults")
    def list_faults(self, request: Request) -> Response:
        return answer_json(200, [fault.as_json() for fault in self._sandbox.faults.faults])

    @route("POST", "/faults", operation="add_fault")
    def add_fault(self, request: Request) -> Response:
        fault = Fault.from_json(request.json())
        self._sandbox.arm(fault)
        return answer_json(201, fault.as_json())

    @route("DELETE", "/faults", operation="clear_faults")
    def clear_faults(self, request: Request) -> Response:
        self._sandbox.clear_faults()
        return answer_json(200, {})

    @route("GET", "/vendors/{vendor}/options", operation="read_options")
    def read_options(self, request: Request) -> Response:
        return answer_json(200, dataclasses.asdict(self._sandbox.vendor(request.params["vendor"]).options))

    @route("PATCH", "/vendors/{vendor}/options", operation="set_options")
    def set_options(self, request: Request) -> Response:
        self._sandbox.vendor(request.params["vendor"]).set_options(request.json())
        return self.read_options(request)

    @route("POST", "/vendors/{vendor}/seed", operation="seed")
    def seed(self, request: Request) -> Response:
        vendor = self._sandbox.vendor(request.params["vendor"])
        data = request.json()
        with vendor.lock:
            done = vendor.seed(data)
        self._sandbox.save()
        return answer_json(200, done or {})

    @route("POST", "/vendors/{vendor}/clear", operation="clear_vendor")
    def clear_vendor(self, request: Request) -> Response:
        vendor = self._sandbox.vendor(request.params["vendor"])
        with vendor.lock:
            vendor.clear()
        self._sandbox.save()
        return answer_json(200, {})

    @route("POST", "/clock", operation="clock")
    def clock(self, request: Request) -> Response:
        self._sandbox.clock.advance(float(request.json()["advance_s"]))
        return answer_json(200, {"now": self._sandbox.clock.now().isoformat()})

    @route("POST", "/reset", operation="reset")
    def reset(self, request: Request) -> Response:
        self._sandbox.reset()
        return answer_json(200, {})
