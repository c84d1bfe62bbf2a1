"""
A plan of mails, kept in the ledger under its own digest: what a person looks at and approves is what is sent.

The receipt holds the mails as they would go, as personal data: shown on a page of their own to those who may trigger
the workflow, and dropped after ``personal_data_days``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from interchange.core.closings import Mail, Told, content_digest
from interchange.errors import SettingsError
from interchange.ledger import EffectRef, Ledger, RunRef

WORKFLOW = "ticket_closure"
PLAN = "plan"
PART = 250
"""Mails in one row of the ledger."""


@dataclass(frozen=True, kw_only=True)
class PlannedMail:
    """
    :param content: what the webhook gets for this customer.
    :param digest: of the content and the tickets.
    """

    customer: str
    tickets: tuple[Told, ...]
    content: dict[str, Any]
    digest: str

    @classmethod
    def of(cls, mail: Mail, content: dict[str, Any]) -> PlannedMail:
        return cls(
            customer=mail.customer,
            tickets=mail.tickets,
            content=content,
            digest=content_digest(mail, content),
        )


def plan_digest(mails: Sequence[PlannedMail]) -> str:
    """Two plans with the same digest send the same mails."""
    return hashlib.sha256("".join(mail.digest for mail in mails).encode()).hexdigest()[:32]


def plan_ref(digest: str, part: int) -> EffectRef:
    return EffectRef(WORKFLOW, PLAN, f"{digest}/{part}")


def keep_plan(ledger: Ledger, mails: Sequence[PlannedMail], *, run: RunRef, lease_s: float) -> str:
    """
    Write a plan down; one that is there already, by whichever run, is left as it is.

    :return: its digest.
    """
    digest = plan_digest(mails)
    parts = range(0, len(mails), PART)
    for number, start in enumerate(parts):
        some = mails[start : start + PART]
        receipt = {
            "part": number,
            "parts": len(parts),
            "mails": [_as_json(mail) for mail in some],
            "personal": ["mails"],
        }
        kept = ledger.perform(
            plan_ref(digest, number),
            send=lambda receipt=receipt: receipt,  # type: ignore[misc]  # mypy cannot infer a lambda's default
            find=None,
            resend=True,
            lease_s=lease_s,
            run=run,
        )
        if "mails" not in kept:
            raise SettingsError(
                f"the same plan was made more than personal_data_days ago and its texts are forgotten ({digest})"
            )
    return digest


def read_plan(ledger: Ledger, digest: str) -> Iterator[PlannedMail]:
    """
    The mails of a plan, in their order.

    :raises SettingsError: it is not there (any more), or is not what its digest says.
    """
    number, parts = 0, 1
    seen = hashlib.sha256()
    while number < parts:
        effect = ledger.get(plan_ref(digest, number))
        receipt = effect.receipt if effect is not None else None
        if receipt is None or "mails" not in receipt:
            raise SettingsError(
                f"plan {digest} is not in the ledger (any more): clear task 'plan' of this run, or start another run"
            )
        parts = receipt["parts"]
        for entry in receipt["mails"]:
            mail = _from_json(entry)
            seen.update(mail.digest.encode())
            yield mail
        number += 1
    if seen.hexdigest()[:32] != digest:
        raise SettingsError(f"plan {digest} was altered in the ledger: clear task 'plan' of this run")


def _as_json(mail: PlannedMail) -> dict[str, Any]:
    return {
        "customer": mail.customer,
        "tickets": [[ticket.number, ticket.closed_on.isoformat()] for ticket in mail.tickets],
        "content": mail.content,
    }


def _from_json(entry: dict[str, Any]) -> PlannedMail:
    tickets = tuple(
        Told(number=number, closed_on=date.fromisoformat(closed_on)) for number, closed_on in entry["tickets"]
    )
    content = entry["content"]
    mail = Mail(
        customer=entry["customer"],
        address=content["email_address"],
        full_name=content["full_name"],
        tickets=tickets,
    )
    return PlannedMail.of(mail, content)
