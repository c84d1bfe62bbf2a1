"""
The Enterprise Service Bus in front of the city's 311 system: one message, one POST.

There is no public description of the bus. What its callers have found out is in docs/sources/esb.md: it answers 500
with a fault that blames the client for everything, its own trouble included; it knows no key against duplicates; it
takes ASCII only; it asks for a client certificate, and lately for an API key.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from lxml import etree

from interchange.errors import OutcomeUnknown, Refused, SettingsError, Unavailable
from interchange.hooks.http import VendorHook

OPERATION = "esb.submit"
TIMEOUT_S = 30.0
LARGEST_ANSWER = 1 << 20
FAULT = "the bus answers with a fault"
"""Begins the text of every :class:`Faulted`, and so the ledger's reason for such an attempt."""
DEFAULT_KEY_HEADER = "X-API-Key"
# Answers with which a bus refuses this message: in its own words (a fault), or by a status of its front.
_REFUSALS = (400, 406, 409, 413, 415, 422)
_ANSWERS = (*range(200, 300), *_REFUSALS, 500)


class Faulted(Unavailable):
    """
    The bus's own word that it did not take the message.

    It never says whether the message is bad or the bus unwell: whoever sends decides by what else it takes.
    """


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The bus took the message. That is not yet its delivery: the bus is asynchronous."""

    status: int
    request_id: str | None


class EsbHook(VendorHook):
    """
    ``host`` is the endpoint's whole URL. Extra ``client_certificate`` with ``client_key`` (PEM text or path;
    ``password`` is the key's passphrase), ``api_key`` in ``api_key_header``, or both; ``soap_action``; ``timeout_s``;
    ``fault_means``: ``rejected``, or ``unknown`` for a bus that answers faults to what it has taken.
    """

    conn_type = "esb"
    default_conn_name = "esb_default"
    hook_name = "Enterprise Service Bus"

    @property
    def endpoint(self) -> str:
        """:raises SettingsError: the connection names none."""
        if not self.connection.host:
            raise SettingsError(f"connection {self.http_conn_id}: host (the endpoint's URL) is missing")
        return self.base

    @property
    def timeout_s(self) -> float:
        """:raises SettingsError: extra ``timeout_s`` is no number of seconds."""
        value = self.extra.get("timeout_s") or TIMEOUT_S
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = 0.0
        if not 0 < seconds <= 600:
            raise SettingsError(
                f"connection {self.http_conn_id}: extra 'timeout_s' must be seconds, more than 0 and at most 600"
            )
        return seconds

    @property
    def faults_are_certain(self) -> bool:
        """:raises SettingsError: extra ``fault_means`` is something else."""
        value = self.extra.get("fault_means") or "rejected"
        if value not in ("rejected", "unknown"):
            raise SettingsError(
                f"connection {self.http_conn_id}: extra 'fault_means' must be rejected or unknown, not {value!r}"
            )
        return bool(value == "rejected")

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        if self.extra.get("api_key"):
            return {self.extra.get("api_key_header") or DEFAULT_KEY_HEADER: self.secret("api_key")}
        if not self.extra.get("client_certificate"):
            raise SettingsError(
                f"connection {self.http_conn_id}: give extra 'client_certificate' with 'client_key', or 'api_key'"
            )
        return {}

    @property
    def session(self) -> requests.Session:
        if self._session is None and (self.extra.get("client_certificate") or self.extra.get("client_key")):
            # Before there is a session: none is left behind without a certificate that cannot be used.
            adapter = _WithCertificate(self._context())
            super().session.mount("https://", adapter)
        return super().session

    def _context(self) -> ssl.SSLContext:
        """
        TLS with our certificate. What proves the server is added for each call, from ``verify``.

        :raises SettingsError: certificate and key are not both there, cannot be read, or do not belong together.
        """
        certificate, key = self.secret("client_certificate"), self.secret("client_key")
        # Not the default context: that one trusts the system's authorities beside the connection's own.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        named = f"connection {self.http_conn_id}: extra"
        try:
            with tempfile.TemporaryDirectory(prefix="interchange-") as folder:
                # OpenSSL reads files only. The folder is ours alone and is gone when it has done so.
                context.load_cert_chain(
                    _file(certificate, Path(folder) / "certificate.pem"),
                    _file(key, Path(folder) / "key.pem"),
                    # Without one it would ask at the terminal.
                    password=self.connection.password or "",
                )
        except (OSError, ValueError) as exc:
            # SSLError is an OSError; its text holds no part of the files.
            raise SettingsError(
                f"{named} 'client_certificate' and 'client_key' cannot be used ({type(exc).__name__}): are both PEM, "
                "do they belong together, and does the password fit the key?"
            ) from None
        return context

    def submit(self, message: bytes) -> Accepted:
        """
        Give the bus one message: one POST, never repeated here once it may have arrived.

        :param message: ASCII; see :func:`interchange.core.esb_message.build_message`.
        :raises Faulted: the bus says that it did not take it.
        :raises Unavailable: no connection could be made; it was not taken.
        :raises Refused: certificate, key or address are wrong; a person must act. It was not taken.
        :raises OutcomeUnknown: no answer, or none that tells whether it was taken: a gateway's 502, 503 and 504 come
            also when the bus behind it has the message. :meth:`probe` finds a gateway without a bus at no such cost.
        """
        if not message.isascii():
            raise ValueError("A message for the bus is ASCII.")
        headers = {"Content-Type": "text/xml"}
        if action := self.extra.get("soap_action"):
            headers["SOAPAction"] = '"' + str(action).strip('"') + '"'
        certain = self.faults_are_certain
        response = self.call(
            OPERATION,
            "POST",
            self.endpoint,
            repeatable=False,
            expected=_ANSWERS,
            headers=headers,
            timeout_s=self.timeout_s,
            largest=LARGEST_ANSWER,
            data=message,
        )
        status, request_id = response.status_code, self.request_id_of(response)
        facts: dict[str, Any] = {"status": status, "request_id": request_id}
        fault = fault_in(response.content)
        if fault is not None or status in _REFUSALS:
            kind = Faulted if certain else OutcomeUnknown
            raise kind(OPERATION, FAULT + (f" ({fault})" if fault else ""), code=fault or "", **facts)
        if status >= 300 or not _is_answer(response.content):
            raise OutcomeUnknown(OPERATION, "the answer does not tell whether the message was taken", **facts)
        return Accepted(status=status, request_id=request_id)

    def request_id_of(self, response: requests.Response) -> str | None:
        return response.headers.get("X-Request-Id")

    def probe(self) -> str:
        response = self.call(
            "esb.probe",
            "GET",
            self.endpoint,
            repeatable=True,
            expected=(*range(200, 300), 400, 404, 405, 415, 500, 501),
            timeout_s=self.timeout_s,
            largest=LARGEST_ANSWER,
        )
        if response.status_code == 404:
            raise Refused(
                "esb.probe", "there is nothing at this address: check the connection's host", status=404
            )
        return f"The bus answers (HTTP {response.status_code} to a GET; nothing was submitted)"


class _WithCertificate(requests.adapters.HTTPAdapter):
    """Speaks TLS with a context of ours."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, "ssl_context": self._context})


def fault_in(content: bytes) -> str | None:
    """
    The fault code of a SOAP fault, whatever its prefix and SOAP's version; None if the answer is no fault.

    Only the code's last part: a fault's text may quote the message.
    """
    root = _xml(content)
    if root is None:
        return None
    # By its name in any namespace: a bus that errs may err in that, too.
    found = next(root.iter("{*}Fault"), None)
    if found is None:
        return None
    code = found.findtext("{*}faultcode") or found.findtext("{*}Code/{*}Value") or ""
    return code.strip().rpartition(":")[2][:40] or "no code"


def _is_answer(content: bytes) -> bool:
    """Whether a success may look so: nothing at all, or XML that is no web page."""
    if not content.strip():
        return True
    root = _xml(content)
    return root is not None and etree.QName(root).localname.lower() != "html"


def _xml(content: bytes) -> Any:
    """The answer's root element, or None. Something may stand before the XML declaration."""
    start = content.find(b"<?xml")
    if start < 0:
        start = max(content.find(b"<"), 0)
    try:
        return etree.fromstring(content[start:], etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return None


def _file(value: str, draft: Path) -> str:
    """The path of a PEM file; of text, a file made of it."""
    if "-----BEGIN" not in value:
        return value
    draft.touch(mode=0o600)
    draft.write_text(value)
    return str(draft)
