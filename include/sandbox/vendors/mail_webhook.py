"""
A webhook that sends e-mail, one for each object of a JSON list.

Of the real ones only their caller is known (the open-source script ticket-util): its payload, and that 200 is success.
What else receivers do is a switch: which 2xx they answer, whether they know an idempotency key, whom they refuse.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import re
from typing import Any, ClassVar

from include.sandbox.core import Vendor
from include.sandbox.wire import Request, Response, answer_json, route

TOKEN = "sandbox-mail-webhook-token-0001"
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")


class Invalid(ValueError):
    """One element is not as it must be."""


class MailWebhook(Vendor):
    name: ClassVar[str] = "mail_webhook"

    @dataclasses.dataclass
    class Options:
        token: str = TOKEN
        success: int = 200
        """Answered when all was taken: 200, 201, 202 or 204."""
        idempotency_header: str = "Idempotency-Key"
        """A POST with a known key sends nothing and gets the first one's answer; empty: keys are not looked at."""
        refused: list[str] = dataclasses.field(default_factory=list)
        """Addresses that make a whole POST be refused, with nothing of it taken."""
        refusal: int = 400
        most: int = 1000
        """Elements in one POST; more: 413."""

    def clear(self) -> None:
        self.mails: list[dict[str, Any]] = []
        self.answered: dict[str, tuple[str, int]] = {}

    def dump(self) -> Any:
        return self.mails, self.answered

    def load(self, dumped: Any) -> None:
        self.mails, self.answered = dumped

    def snapshot(self) -> dict[str, Any]:
        """``by_week``: how many mails an address got in an ISO week (UTC)."""
        with self.lock:
            weeks: dict[str, dict[str, int]] = {}
            for mail in self.mails:
                year, week, _ = dt.datetime.fromisoformat(mail["at"]).isocalendar()
                counts = weeks.setdefault(f"{year}-W{week:02}", {})
                counts[mail["to"]] = counts.get(mail["to"], 0) + 1
            return {"mails": list(self.mails), "by_week": weeks}

    @route("POST", "/mails", operation="send_mails")
    def send(self, request: Request) -> Response:
        given = request.headers.get("Authorization", "")
        if self.options.token and not hmac.compare_digest(given, f"Bearer {self.options.token}"):
            return answer_json(401, {"error": "invalid token"})
        if request.headers.get_content_type() != "application/json":
            return answer_json(415, {"error": "application/json was expected"})
        content = request.body.read()
        digest = hashlib.sha256(content).hexdigest()
        key = (
            request.headers.get(self.options.idempotency_header, "")
            if self.options.idempotency_header
            else ""
        )
        with self.lock:
            if key and key in self.answered:
                before, status = self.answered[key]
                if before != digest:
                    return answer_json(422, {"error": "this key was used for another body"})
                return self._accepted(status)
            try:
                elements = _elements(content)
                if len(elements) > self.options.most:
                    return answer_json(413, {"error": f"at most {self.options.most} elements"})
                for index, element in enumerate(elements):
                    if element["email_address"] in self.options.refused:
                        return answer_json(self.options.refusal, {"error": "refused", "index": index})
            except Invalid as exc:
                return answer_json(400, {"error": str(exc)})
            taken = [self._take(element) for element in elements]
            if key:
                self.answered[key] = (digest, self.options.success)
        for mail in taken:
            self.effect("mail_sent", to=mail["to"], subject=mail["subject"])
        return self._accepted(self.options.success)

    def _take(self, element: dict[str, Any]) -> dict[str, Any]:
        email = element["email"]
        mail = {
            "at": self.now().isoformat(),
            "to": element["email_address"],
            "name": element["full_name"],
            "cc": [address for address in email["cc_address"] if address],
            "subject": email["subject"],
            "body": email["body"],
            "html": email.get("html"),
        }
        self.mails.append(mail)
        return mail

    @staticmethod
    def _accepted(status: int) -> Response:
        return Response(status=204) if status == 204 else answer_json(status, {"ok": True})


def _elements(content: bytes) -> list[dict[str, Any]]:
    """:raises Invalid: names the first element that is wrong, and how."""
    try:
        elements = json.loads(content)
    except ValueError:
        raise Invalid("the body is no JSON") from None
    if not isinstance(elements, list) or not elements:
        raise Invalid("a list with at least one element was expected")
    for index, element in enumerate(elements):
        try:
            _check(element)
        except (KeyError, TypeError, AttributeError) as exc:
            raise Invalid(f"element {index}: {type(exc).__name__}: {exc}") from None
        except Invalid as exc:
            raise Invalid(f"element {index}: {exc}") from None
    return elements


def _check(element: Any) -> None:
    if set(element) != {"full_name", "email_address", "ready_to_send", "email"}:
        raise Invalid(f"has the members {sorted(element)}")
    if not isinstance(element["full_name"], str) or element["ready_to_send"] is not True:
        raise Invalid("full_name or ready_to_send is wrong")
    email = element["email"]
    if not {"subject", "to_address", "cc_address", "body"} <= set(email) <= {
        "subject", "to_address", "cc_address", "body", "html",
    }:  # fmt: skip
        raise Invalid(f"email has the members {sorted(email)}")
    if not all(isinstance(email[name], str) and email[name] for name in ("subject", "body")):
        raise Invalid("subject and body must be texts")
    address = element["email_address"]
    if email["to_address"] != [address] or not _ADDRESS.fullmatch(address):
        raise Invalid("to_address must be a list of the element's one address")
    if not isinstance(email["cc_address"], list) or not all(
        isinstance(cc, str) and (not cc or _ADDRESS.fullmatch(cc)) for cc in email["cc_address"]
    ):
        raise Invalid("cc_address must be a list of addresses, or of one empty text")
