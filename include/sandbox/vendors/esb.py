"""
The Enterprise Service Bus in front of the city's 311 system: one SOAP operation, over mutual TLS, strict about XML.

There is no public description. What is known, and what is only assumed: docs/sources/esb.md. All that is assumed is a
switch in :class:`Esb.Options`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from lxml import etree

from include.sandbox.connections import ESB_API_KEY
from include.sandbox.core import Vendor
from include.sandbox.wire import Request, Response, answer_html, route

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "http://www.austintexas.gov/AcceptKnack/"
HEADER = ("emi", "timestamp", "source", "target", "data_type", "event")
CSR = (
    "id",
    "csr_activity_id",
    "sr_number",
    "issue_status_code",
    "activity_type_code",
    "activity_details",
    "outcome_code",
    "activity_date",
)
CONSTANTS = {
    "source": "KNACK",
    "target": "CSR",
    "data_type": "CSR",
    "event": "UPDATE",
    "outcome_code": "COMPLET1",
}
XML = [("Content-Type", "text/xml; charset=utf-8")]
TEXT = [("Content-Type", "text/plain")]
_ESCAPED_TWICE = re.compile(r"&(amp|lt|gt|quot|apos|#\d+);")
_CHARSET = {"us-ascii": "ascii", "utf-8": "utf-8", "iso-8859-1": "latin-1"}


class Refusal(Exception):
    """A message the bus does not take; it does not say why, only to the sandbox."""


@dataclasses.dataclass(kw_only=True)
class Message:
    """One accepted message."""

    at: str
    sha256: str
    fields: dict[str, str]
    double_escaped: bool
    duplicate: bool


class Esb(Vendor):
    name: ClassVar[str] = "esb"
    client_certificate_required: ClassVar[bool] = True

    @dataclasses.dataclass
    class Options:
        api_key: str = ESB_API_KEY
        """Asked for in ``api_key_header``; empty: the client certificate is enough."""
        api_key_header: str = "X-API-Key"
        soap_action_required: bool = False
        """Without the header SOAPAction a fault, as many other buses do."""

        fault_next: int = 0
        """So many messages are answered with a fault and not taken; -1: all."""
        poisonous: tuple[str, ...] = ()
        """Record ids whose message is always answered with a fault."""
        fault_in_200: bool = False
        """A fault comes with status 200 and another prefix."""
        fault_after_accepting: int = 0
        """So many messages are taken and answered with a fault all the same; -1: all."""
        error_page_after_accepting: int = 0
        """So many messages are taken and answered with 500 and a page of HTML; -1: all."""
        unavailable_next: int = 0
        """So many calls are answered with 503 and a gateway's page; -1: all."""
        forbidden: int = 0
        """401 or 403 to every call."""

        success: str = "response"
        """response (a SOAP answer), empty (202 without a body) or prefixed (text before the XML declaration)."""
        drip_s: float = 0.0
        """An answer's bytes come one by one, so many seconds apart."""

        closed_duplicate: str = "refuse"
        """refuse: a fault; corrupt: taken, and shown downstream as an unreadable status."""
        downstream_reorders: bool = False
        """Later systems see the activities of a service request in the wrong order."""
        downstream_doubles: bool = False
        """Later systems see each activity twice."""

    def clear(self) -> None:
        self.messages: list[Message] = []
        self.refused: list[str] = []
        self.without_key = 0

    def dump(self) -> Any:
        return self.messages, self.refused, self.without_key

    def load(self, dumped: Any) -> None:
        self.messages, self.refused, self.without_key = dumped

    def snapshot(self) -> dict[str, Any]:
        """What later systems see, by service request, and what is odd about it; without details: citizens' words."""
        downstream: dict[str, list[dict[str, Any]]] = {}
        for message in self.messages:
            fields = message.fields
            status = fields["issue_status_code"]
            if status == "closed_duplicate":
                status = "?"
            shown = {
                "id": fields["id"],
                "code": fields["activity_type_code"],
                "status": status,
                "date": fields["activity_date"],
                "sha256": message.sha256,
            }
            downstream.setdefault(fields["sr_number"], []).extend(
                [shown] * (2 if self.options.downstream_doubles else 1)
            )
        if self.options.downstream_reorders:
            for seen in downstream.values():
                seen.reverse()
        return {
            "accepted": len(self.messages),
            "downstream": downstream,
            "duplicates": [message.fields["id"] for message in self.messages if message.duplicate],
            "double_escaped": [message.fields["id"] for message in self.messages if message.double_escaped],
            "refused": self.refused,
            "without_key": self.without_key,
        }

    # The endpoint

    @route("POST", "/csr", operation="submit")
    def submit(self, request: Request) -> Response:
        content = request.body.read()
        with self.lock:
            return self._submit(request, content)

    @route("GET", "/csr", operation="look")
    def look(self, request: Request) -> Response:
        """Not a message: the endpoint takes only POST."""
        if (refused := self._refused(request)) is not None:
            return refused
        return Response(status=405, body=b"POST only", headers=[*TEXT, ("Allow", "POST")])

    def _submit(self, request: Request, content: bytes) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if self.options.soap_action_required and request.headers.get("SOAPAction") is None:
            return self._fault("no SOAPAction header")
        if self._counted("fault_next"):
            return self._fault()
        try:
            fields = self._read(request, content)
        except Refusal as exc:
            self.refused.append(str(exc))
            return self._fault()
        if fields["id"] in self.options.poisonous:
            self.refused.append("poisonous")
            return self._fault()
        self._accept(content, fields)
        if self._counted("fault_after_accepting"):
            return self._fault()
        if self._counted("error_page_after_accepting"):
            return answer_html(500)
        return self._success()

    def _refused(self, request: Request) -> Response | None:
        if self._counted("unavailable_next"):
            return answer_html(503, "<html><body><h1>503 Service Unavailable</h1></body></html>")
        if self.options.forbidden:
            return Response(status=self.options.forbidden, body=b"Forbidden", headers=TEXT)
        given = request.headers.get(self.options.api_key_header, "")
        if self.options.api_key and not hmac.compare_digest(given.encode(), self.options.api_key.encode()):
            self.without_key += 1
            return Response(status=401, body=b"Unauthorized", headers=TEXT)
        return None

    def _counted(self, name: str) -> bool:
        """Whether a switch that counts is on; uses one up."""
        left = getattr(self.options, name)
        if left > 0:
            setattr(self.options, name, left - 1)
        return bool(left)

    def _accept(self, content: bytes, fields: dict[str, str]) -> None:
        identity = (fields["id"], fields["activity_type_code"], fields["activity_date"])
        known = {
            (message.fields["id"], message.fields["activity_type_code"], message.fields["activity_date"])
            for message in self.messages
        }
        message = Message(
            at=self.now().isoformat(),
            sha256=hashlib.sha256(content).hexdigest(),
            fields=fields,
            double_escaped=any(_ESCAPED_TWICE.search(value) for value in fields.values()),
            duplicate=identity in known,
        )
        self.messages.append(message)
        self.effect(
            "message_accepted",
            record=fields["id"],
            emi=fields["emi"],
            sr_number=fields["sr_number"],
            code=fields["activity_type_code"],
            status=fields["issue_status_code"],
            date=fields["activity_date"],
            details_length=len(fields["activity_details"]),
            sha256=message.sha256,
        )

    # Reading, strictly

    def _read(self, request: Request, content: bytes) -> dict[str, str]:
        """
        The fields of a message.

        :raises Refusal: anything is not as it must be.
        """
        if request.headers.get_content_type() != "text/xml":
            raise Refusal("not text/xml")
        charset = (request.headers.get_content_charset() or "us-ascii").lower()
        try:
            # Without a charset, text/xml is ASCII, whatever the document says of itself.
            content.decode(_CHARSET[charset])
        except (UnicodeDecodeError, KeyError):
            raise Refusal(f"not {charset}") from None
        try:
            root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError as exc:
            raise Refusal(f"not well-formed: {exc.msg}") from None
        if b"<!DOCTYPE" in content:
            raise Refusal("a document type")
        envelope = _names(root, f"{{{SOAP}}}Envelope", (f"{{{SOAP}}}Header", f"{{{SOAP}}}Body"))
        (call,) = _children(envelope[1], (f"{{{SERVICE}}}submitKnack",))
        header, data = _children(call, ("header", "data"))
        (csr,) = _children(data, ("csr",))
        fields = {child.tag: _leaf(child) for child in _children(header, HEADER)}
        fields |= {child.tag: _leaf(child) for child in _children(csr, CSR)}
        for name, value in CONSTANTS.items():
            if fields[name] != value:
                raise Refusal(f"{name} is not {value}")
        for name in ("emi", "id", "sr_number", "activity_type_code"):
            if not fields[name].strip():
                raise Refusal(f"{name} is empty")
        if fields["issue_status_code"] == "closed_duplicate" and self.options.closed_duplicate == "refuse":
            raise Refusal("closed_duplicate")
        return fields

    # Answers

    def _fault(self, text: str = "Internal Error") -> Response:
        """The bus blames the client whatever is wrong, without any detail."""
        prefix, status = ("SOAP-ENV", 200) if self.options.fault_in_200 else ("env", 500)
        body = (
            f"<?xml version='1.0' ?>\n<{prefix}:Envelope xmlns:{prefix}=\"{SOAP}\">\n<{prefix}:Body><{prefix}:Fault>\n"
            f"<faultcode>{prefix}:Client</faultcode><faultstring>{text}</faultstring>\n"
            f"</{prefix}:Fault></{prefix}:Body></{prefix}:Envelope>"
        )
        return Response(status=status, body=body.encode(), headers=list(XML))

    def _success(self) -> Response:
        if self.options.success == "empty":
            return Response(status=202)
        lead = "\n received\n" if self.options.success == "prefixed" else ""
        body = (
            f'{lead}<?xml version="1.0"?><soap:Envelope xmlns:soap="{SOAP}"><soap:Body>'
            f'<submitKnackResponse xmlns="{SERVICE}"/></soap:Body></soap:Envelope>'
        ).encode()
        if self.options.drip_s:
            return Response(body=_dripping(body, self.options.drip_s), headers=list(XML), length=len(body))
        return Response(body=body, headers=list(XML))

    def failure(self, request: Request, status: int) -> Response:
        if status == 500:
            return self._fault()
        if status in (401, 403):
            return Response(status=status, body=b"Forbidden", headers=list(TEXT))
        return answer_html(status, f"<html><body><h1>{status}</h1><p>gateway</p></body></html>")

    def not_found(self, request: Request) -> Response:
        return answer_html(404)

    def bad_body(self, request: Request, reason: str) -> Response:
        return self._fault()


def _names(element: Any, name: str, children: tuple[str, ...]) -> list[Any]:
    if element.tag != name:
        raise Refusal(f"{element.tag} instead of {name}")
    return _children(element, children)


def _children(element: Any, names: tuple[str, ...]) -> list[Any]:
    """Exactly these elements in this order, and no text between them."""
    found = list(element)
    if [child.tag for child in found] != list(names):
        raise Refusal(f"{element.tag} does not hold {', '.join(names)}")
    if any((part or "").strip() for part in (element.text, *(child.tail for child in found))):
        raise Refusal(f"text in {element.tag}")
    return found


def _leaf(element: Any) -> str:
    if len(element):
        raise Refusal(f"elements in {element.tag}")
    return element.text or ""


def _dripping(body: bytes, pause_s: float) -> Iterator[bytes]:
    pause = threading.Event()
    for number in range(len(body)):
        pause.wait(pause_s)
        yield body[number : number + 1]
