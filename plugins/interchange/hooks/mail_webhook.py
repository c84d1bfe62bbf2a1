"""
A webhook that sends e-mail: a JSON list with one object for each customer.

Nothing is published about it but its one known caller, the open-source script ticket-util, which takes 200 for success
and reads no answer. What is assumed beyond that is said at each method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import requests

from interchange.errors import OutcomeUnknown, Refused, SettingsError, Unavailable
from interchange.hooks.http import VendorHook

OPERATION = "mail_webhook.post"
# Answers by which a receiver refuses what it was sent, rather than who sent it.
_REFUSALS = (400, 409, 413, 415, 422)
REPEAT_AFTER_S = (0.5, 2.0, 0.0)
"""With an idempotency key: seconds after an attempt without an answer, before the next one or the end."""
_PAGES = (b"<!doctype html", b"<html")
_TAKEN = tuple(range(200, 300))


class MailRefused(Refused):
    """The receiver does not want what was sent: none of it was taken."""


@dataclass(frozen=True, kw_only=True)
class MailAccepted:
    """The receiver has taken all of it. That is not yet its delivery."""

    status: int
    request_id: str | None


class MailWebhookHook(VendorHook):
    """
    Over Airflow's own ``http`` connection: ``host`` is the webhook's URL, ``password`` a bearer token, if any; extra
    ``idempotency_header`` names the header by which the receiver knows a POST it has had before.
    """

    conn_type = "http"
    default_conn_name = "ticket_mail_webhook"
    hook_name = "Mail webhook"

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        token = self.connection.password
        return {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def deduplicates(self) -> bool:
        """Whether the same bytes under the same key may be posted again."""
        return bool(self._header)

    @property
    def _header(self) -> str:
        """:raises SettingsError: the extra is no name of a header."""
        name = self.extra.get("idempotency_header") or ""
        if not isinstance(name, str) or not all(c.isascii() and (c.isalnum() or c == "-") for c in name):
            raise SettingsError(
                f"connection {self.http_conn_id}: extra 'idempotency_header' must be the name of a header, such as "
                "Idempotency-Key"
            )
        return name

    def post(self, payload: bytes, *, idempotency_key: str) -> MailAccepted:
        """
        Have mails sent.

        :param payload: JSON, see :func:`interchange.core.closings.payload`.
        :param idempotency_key: for these bytes alone; sent where the connection names its header. Only then is a POST
            repeated that may have arrived.
        :raises MailRefused: nothing of it was taken (400, 409, 413, 415, 422).
        :raises Refused: token or address are wrong; a person must act. Nothing was taken.
        :raises Unavailable: nothing was taken; try again later.
        :raises OutcomeUnknown: mails may have been sent.
        """
        if not self.connection.host:
            raise SettingsError(f"connection {self.http_conn_id}: host (the webhook's URL) is missing")
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if header := self._header:
            headers[header] = idempotency_key
        unclear: OutcomeUnknown | None = None
        for wait_s in REPEAT_AFTER_S if header else (0.0,):
            try:
                return self._post(payload, headers)
            except OutcomeUnknown as exc:
                unclear = exc
                self._pause(wait_s)
            except (Unavailable, Refused):
                if unclear is None:
                    raise
                # What became of the attempt before stays unknown.
                break
        assert unclear is not None  # noqa: S101  # for the type checker: nothing else ends the loop
        raise unclear

    def _post(self, payload: bytes, headers: Mapping[str, str]) -> MailAccepted:
        response = self.call(
            OPERATION,
            "POST",
            self.base,
            # Not even with a key: what the layer below calls "nothing changed" must be true of every attempt.
            repeatable=False,
            expected=(*_TAKEN, *_REFUSALS),
            headers=headers,
            data=payload,
        )
        status, request_id = response.status_code, self.request_id_of(response)
        if status in _REFUSALS:
            raise MailRefused(
                OPERATION, "the webhook refuses what it was sent", status=status, request_id=request_id
            )
        if response.content[:200].lstrip().lower().startswith(_PAGES):
            # A proxy's page, such as one that asks for a log-in, comes with a 200 and is no receiver's word.
            raise OutcomeUnknown(
                OPERATION, "the answer is a web page, not the webhook's", status=status, request_id=request_id
            )
        return MailAccepted(status=status, request_id=request_id)

    def probe(self) -> str:
        response = self.call(
            "mail_webhook.probe",
            "OPTIONS",
            self.base,
            repeatable=True,
            expected=(*_TAKEN, 400, 404, 405, 415, 501),
        )
        return f"The webhook answers (HTTP {response.status_code} to OPTIONS; nothing was sent)"

    def request_id_of(self, response: requests.Response) -> str | None:
        return response.headers.get("X-Request-Id")
