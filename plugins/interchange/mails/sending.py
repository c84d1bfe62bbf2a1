"""
A plan's mails, on their way to the webhook.

Two kinds of effects keep what is promised. ``mail``, key ``WEEK/CUSTOMER``: one mail for a customer and ISO week.
``closing``, key ``DAY/NUMBER``, its digest naming the mail it is part of: no ticket is told of twice. Both are claimed
before the POST; the mail decides what became of its closings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from interchange.core.closings import payload, week_of, week_start
from interchange.errors import (
    Busy,
    Conflict,
    InterchangeError,
    OutcomeUnknown,
    Refused,
    SettingsError,
    Unavailable,
)
from interchange.hooks.mail_webhook import MailAccepted, MailRefused, MailWebhookHook
from interchange.ledger import Effect, EffectRef, Ledger, RunRef, State
from interchange.ledger.performing import confirm_patiently
from interchange.mails.plans import WORKFLOW, PlannedMail

log = logging.getLogger(__name__)

MAIL, CLOSING = "mail", "closing"
OPERATION = "mail_webhook.post"
MAYBE = (State.BEGUN, State.UNKNOWN, State.CONFIRMED)
"""States of what happened, or may have."""
NOT_TAKEN = {"digest": None}
"""Instead of what was posted: the webhook has refused it, so it counts as never posted."""
OUTAGE_AFTER = 3
"""So many POSTs in a row without an answer are an outage of the webhook: the run stops."""


@dataclass(kw_only=True)
class Summary:
    """
    What a run did with its plan.

    :param sent: mails the webhook has taken in this run.
    :param tickets: closings told of in them.
    :param settled: mails of earlier attempts that turned out to be sent.
    :param held: their customers have had a mail this week.
    :param changed: a ticket of theirs was told of since the plan was made, or is being told.
    :param opted_out: their customers want no mail.
    :param refused: the webhook refuses them alone; set aside.
    :param unknown: may have been sent; a person decides.
    """

    planned: int = 0
    sent: int = 0
    tickets: int = 0
    settled: int = 0
    held: int = 0
    changed: int = 0
    opted_out: int = 0
    refused: int = 0
    unknown: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in asdict(self).items())


def mail_ref(week: str, customer: str) -> EffectRef:
    return EffectRef(WORKFLOW, MAIL, f"{week}/{customer}")


def closing_ref(key: str) -> EffectRef:
    return EffectRef(WORKFLOW, CLOSING, key)


def customers_mailed(ledger: Ledger, now: datetime) -> frozenset[str]:
    """
    Who has had a mail in the week of a moment, or may have.

    :param now: in the report's zone.
    """
    week = week_of(now)
    keys = ledger.keys(workflow=WORKFLOW, kind=MAIL, states=MAYBE, first=f"{week}/", last=f"{week}0")
    return _mailed_late(ledger, now) | {_customer(key) for key in keys}


def _mailed_late(ledger: Ledger, now: datetime) -> frozenset[str]:
    """Who got a mail of an earlier week in this one, because its outcome was cleared up by sending it again."""
    monday = week_start(now)
    confirmed = ledger.list(workflow=WORKFLOW, kind=MAIL, state=State.CONFIRMED, since=monday)
    return frozenset(
        _customer(effect.ref.key)
        for effect in confirmed
        if (at := (effect.receipt or {}).get("accepted_at")) and datetime.fromisoformat(at) >= monday
    )


def _customer(key: str) -> str:
    return key.partition("/")[2]


@dataclass(frozen=True, kw_only=True)
class _Claimed:
    """A mail that is ours to send."""

    ref: EffectRef
    mail: PlannedMail

    @property
    def closings(self) -> list[EffectRef]:
        return [closing_ref(ticket.key) for ticket in self.mail.tickets]


class MailRun:
    """
    One try of sending a plan.

    :param clock: the time in the report's zone: the week of a mail is that of the moment it goes.
    :param opted_out: addresses, normalised.
    :param still_ours: raises when the claim that keeps runs apart is lost.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        hook: MailWebhookHook,
        run: RunRef,
        lease_s: float,
        clock: Callable[[], datetime],
        batch_size: int,
        opted_out: Iterable[str] = (),
        still_ours: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._hook = hook
        self._run = run
        self._lease_s = lease_s
        self._clock = clock
        self._batch_size = batch_size
        self._opted_out = frozenset(opted_out)
        self._still_ours = still_ours
        self._late: frozenset[str] = frozenset()
        self._silent = 0
        self._new_unknown = 0
        self._busy: Busy | None = None
        self.summary = Summary()

    def deliver(self, mails: Iterable[PlannedMail]) -> None:
        """
        Send what is still to be sent, a batch at a time.

        :raises OutcomeUnknown: the webhook does not answer. :raises Unavailable: it takes nothing now.
        :raises Refused: a person must act: on the connection, or on mails that may have been sent.
        """
        self.clear_up()
        self._late = _mailed_late(self._ledger, self._clock())
        batch: list[PlannedMail] = []
        for mail in mails:
            self.summary.planned += 1
            if mail.content["email_address"] in self._opted_out:
                self.summary.opted_out += 1
                continue
            batch.append(mail)
            if len(batch) == self._batch_size:
                self._deliver_batch(batch)
                batch = []
        self._deliver_batch(batch)
        self.summary.unknown = len(self._ledger.list(workflow=WORKFLOW, kind=MAIL, state=State.UNKNOWN))
        self._complain()

    def _complain(self) -> None:
        """A run that leaves something undone, or something new for a person, is no success."""
        if self._new_unknown and self._hook.deduplicates:
            raise OutcomeUnknown(
                OPERATION,
                f"{self._new_unknown} mail(s) may have been sent; they go again under the same idempotency key",
            )
        if self._new_unknown:
            raise Refused(
                OPERATION,
                f"{self._new_unknown} mail(s) may have been sent and are not sent again. Look at the mail system, then "
                "settle them on the ledger's page, or: python -m interchange unknown list, and settle",
            )
        if self._busy is not None:
            raise self._busy

    # What earlier attempts left

    def clear_up(self) -> None:
        """
        Find out what became of mails that were on their way when a process ended or an answer was lost.

        What was certainly never posted is to be sent again. Where the webhook knows an idempotency key, the same bytes
        go again under the same key; elsewhere the mail waits for a person.

        :raises Busy: a claim of an ended process is still running; until it has run out, nothing can be told.
        """
        self._ledger.expire_claims()
        self._wait_for_claims()
        for effect in self._ledger.list(
            workflow=WORKFLOW, kind=MAIL, state=State.UNKNOWN, newest_first=False
        ):
            # A batch clears up all its mails at once.
            current = self._ledger.get(effect.ref)
            if current is None or current.state is not State.UNKNOWN or current.attempts != effect.attempts:
                continue
            kept = self._ledger.load_progress(effect.ref)
            if not self._ledger.has_progress(effect.ref) or (kept and kept["digest"] != effect.digest):
                # Of this content nothing is kept, as is done before it is posted.
                self._settle(effect, State.PLANNED, "it was never posted: the process ended before")
            elif kept and (accepted := self._accepted_with(kept)) is not None:
                receipt = {**accepted, "tickets": kept["tickets"], "to": kept["content"]["email_address"]}
                self._settle(effect, State.CONFIRMED, "the POST it was part of was accepted", receipt)
                self.summary.settled += 1
            elif kept and self._was_not_posted(kept):
                self._settle(effect, State.PLANNED, "it was never posted: the process ended before")
            elif kept and self._hook.deduplicates:
                self._repeat(effect, kept)
        self._follow_mails()

    def _wait_for_claims(self) -> None:
        # Only one run sends at a time, so none of these is of a run that is well.
        begun = [
            effect
            for kind in (MAIL, CLOSING)
            for effect in self._ledger.list(workflow=WORKFLOW, kind=kind, state=State.BEGUN)
        ]
        if not begun:
            return
        now = datetime.now(UTC)
        rest = max(((effect.claim_expires_at or now) - now).total_seconds() for effect in begun)
        raise Busy(
            OPERATION,
            f"{len(begun)} mails and closings are claimed by a process that has ended; nothing was sent",
            retry_after_s=min(max(rest, 1.0), self._lease_s),
        )

    def _accepted_with(self, kept: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The receipt of another mail of the same POST, which was accepted as a whole."""
        for key in kept["batch"]:
            other = self._ledger.get(EffectRef(WORKFLOW, MAIL, key))
            if other is not None and other.receipt is not None and other.receipt.get("key") == kept["key"]:
                return other.receipt
        return None

    def _was_not_posted(self, kept: Mapping[str, Any]) -> bool:
        """
        Whether another mail of the same POST was not noted as posted, which comes before it, or is noted as not taken.
        """
        for key in kept["batch"]:
            other = self._ledger.get(EffectRef(WORKFLOW, MAIL, key))
            if other is None:
                return True
            if other.state in (State.UNKNOWN, State.PLANNED):
                theirs = self._ledger.load_progress(other.ref)
                if not self._ledger.has_progress(other.ref) or theirs == NOT_TAKEN:
                    return True
        return False

    def _repeat(self, effect: Effect, progress: Mapping[str, Any]) -> None:
        """Post once more what this mail was part of, unchanged."""
        claims: list[Effect] = []
        kept: list[Mapping[str, Any]] = []
        for ref in (EffectRef(WORKFLOW, MAIL, key) for key in progress["batch"]):
            member, theirs = self._ledger.get(ref), self._ledger.load_progress(ref)
            if member is None or member.state is not State.UNKNOWN or not theirs:
                continue
            if theirs.get("key") == progress["key"]:
                claims.append(member)
                kept.append(theirs)
        body = payload(entry["content"] for entry in kept)
        if _idempotency_key(body, [member.ref for member in claims]) != progress["key"]:
            log.warning("%s: a mail of the same POST was settled: it cannot be repeated", effect.ref)
            return
        for member in claims:
            self._ledger.resume(
                member.ref,
                lease_s=self._lease_s,
                reason="sent again with the same key",
                attempt=member.attempts,
            )
        try:
            accepted = self._hook.post(body, idempotency_key=progress["key"])
        except MailRefused as exc:
            # Whoever knows the key gives the first attempt's answer again: it was this refusal, unless that attempt is
            # still being worked on.
            working = exc.status == HTTPStatus.CONFLICT
            for member in () if working else claims:
                self._ledger.save_progress(member.ref, NOT_TAKEN)
            for member in claims:
                if working:
                    self._ledger.mark_unknown(member.ref, "the webhook is still busy with it")
                else:
                    self._ledger.release(member.ref, "the webhook refused it: nothing was taken")
            self._new_unknown += len(claims) if working else 0
            return
        except BaseException as exc:
            for member in claims:
                self._ledger.mark_unknown(member.ref, f"sent again: {type(exc).__name__}")
            raise
        for member, entry in zip(claims, kept, strict=True):
            receipt = self._receipt(accepted, progress["key"], entry["content"], entry["tickets"])
            confirm_patiently(self._ledger, member.ref, receipt)
            self.summary.settled += 1

    def _follow_mails(self) -> None:
        """Closings whose own outcome was left open share that of their mail."""
        for closing in self._ledger.list(workflow=WORKFLOW, kind=CLOSING, state=State.UNKNOWN):
            mail = self._ledger.get(EffectRef(WORKFLOW, MAIL, closing.digest or "-"))
            if mail is None or mail.state in (State.PLANNED, State.QUARANTINED):
                self._settle(closing, State.PLANNED, "its mail was not sent")
            elif mail.state is State.CONFIRMED:
                # A person who settles a mail knows no list: then it told of all that were claimed for it.
                told = (mail.receipt or {}).get("tickets", [closing.ref.key])
                if closing.ref.key in told:
                    self._settle(closing, State.CONFIRMED, "its mail was sent", {"mail": closing.digest})
                else:
                    self._settle(closing, State.PLANNED, "the mail that was sent does not tell of it")

    def _settle(
        self, effect: Effect, to: State, reason: str, receipt: Mapping[str, Any] | None = None
    ) -> None:
        try:
            self._ledger.settle(
                effect.ref,
                to=to,
                by=self._ledger.owner,
                reason=reason,
                receipt=None if receipt is None else dict(receipt),
                attempt=effect.attempts,
            )
        except Conflict as exc:
            # A person was faster.
            log.info("%s", exc)

    # New ones

    def _deliver_batch(self, batch: Sequence[PlannedMail]) -> None:
        self._still_ours()
        week = week_of(self._clock())
        claimed = []
        for mail in batch:
            if mail.customer in self._late:
                self.summary.held += 1
            elif (ours := self._claim(mail_ref(week, mail.customer), mail)) is not None:
                claimed.append(ours)
        if claimed:
            self._post(claimed)

    def _claim(self, ref: EffectRef, mail: PlannedMail) -> _Claimed | None:
        """The mail and all its closings, or none of them."""
        try:
            effect = self._ledger.begin(ref, lease_s=self._lease_s, digest=mail.digest, run=self._run)
        except Busy as exc:
            self._busy = exc
            return None
        if effect.state is State.QUARANTINED:
            self.summary.refused += 1
            return None
        if effect.state is not State.BEGUN:
            self.summary.held += 1
            return None
        claimed = _Claimed(ref=ref, mail=mail)
        for number, closing in enumerate(claimed.closings):
            try:
                begun = self._ledger.begin(closing, lease_s=self._lease_s, digest=ref.key, run=self._run)
            except Busy as exc:
                self._busy, begun = exc, None
            if begun is None or begun.state is not State.BEGUN:
                # Told of since the plan was made: this mail is not the one that was planned any more.
                self.summary.changed += 1
                self._give_back([ref, *claimed.closings[:number]], "a ticket of it was told of meanwhile")
                return None
        return claimed

    def _post(self, claimed: Sequence[_Claimed]) -> None:
        body = payload(entry.mail.content for entry in claimed)
        refs = [entry.ref for entry in claimed]
        key = _idempotency_key(body, refs)
        for entry in claimed:
            # From here on it counts as posted.
            self._ledger.save_progress(
                entry.ref,
                {
                    "key": key,
                    "batch": [ref.key for ref in refs],
                    "digest": entry.mail.digest,
                    "content": entry.mail.content,
                    "tickets": [ticket.key for ticket in entry.mail.tickets],
                },
            )
        try:
            accepted = self._hook.post(body, idempotency_key=key)
        except MailRefused as exc:
            self._split(claimed, exc)
            return
        except OutcomeUnknown as exc:
            self._leave_open(claimed, str(exc))
            self._new_unknown += len(claimed)
            self._silent += 1
            if self._silent >= OUTAGE_AFTER:
                raise OutcomeUnknown(
                    OPERATION, f"{self._silent} POSTs in a row were not answered: the webhook is not well"
                ) from exc
            return
        except (Unavailable, Refused, SettingsError) as exc:
            for entry in claimed:
                self._give_back([entry.ref, *entry.closings], str(exc))
            raise
        except BaseException as exc:
            self._leave_open(claimed, f"interrupted by {type(exc).__name__}")
            raise
        self._silent = 0
        for entry in claimed:
            tickets = [ticket.key for ticket in entry.mail.tickets]
            receipt = self._receipt(accepted, key, entry.mail.content, tickets)
            confirm_patiently(self._ledger, entry.ref, receipt)
            for closing in entry.closings:
                confirm_patiently(self._ledger, closing, {"mail": entry.ref.key})
            self.summary.sent += 1
            self.summary.tickets += len(entry.closings)

    def _receipt(
        self, accepted: MailAccepted, key: str, content: Mapping[str, Any], tickets: Sequence[str]
    ) -> dict[str, Any]:
        return {
            "key": key,
            "accepted_at": self._clock().isoformat(),
            "status": accepted.status,
            "request_id": accepted.request_id,
            "tickets": list(tickets),
            "to": content["email_address"],
            "personal": ["to"],
        }

    def _split(self, claimed: Sequence[_Claimed], refusal: MailRefused) -> None:
        """A refused batch in halves, until the mail that is refused stands alone."""
        if len(claimed) > 1:
            for entry in claimed:
                # Nothing of it was taken: a process that ends from here on leaves them as never posted.
                self._ledger.save_progress(entry.ref, NOT_TAKEN)
            middle = len(claimed) // 2
            first, second = claimed[:middle], claimed[middle:]
            try:
                self._post(first)
            except BaseException:
                for entry in second:
                    self._give_back([entry.ref, *entry.closings], "the run stopped before it was sent")
                raise
            self._post(second)
            return
        (entry,) = claimed
        self._ledger.quarantine(entry.ref, field="email", reason=str(refusal))
        self._give_back(entry.closings, "its mail was refused")
        self.summary.refused += 1
        log.warning("%s is set aside: %s", entry.ref, refusal)

    def _give_back(self, refs: Iterable[EffectRef], reason: str) -> None:
        """Certainly not done. Should this fail, the claims run out, which counts as unknown."""
        for ref in refs:
            self._note(self._ledger.release, ref, reason)

    def _leave_open(self, claimed: Sequence[_Claimed], reason: str) -> None:
        for entry in claimed:
            for ref in (entry.ref, *entry.closings):
                self._note(self._ledger.mark_unknown, ref, reason)

    @staticmethod
    def _note(record: Callable[[EffectRef, str], object], ref: EffectRef, reason: str) -> None:
        try:
            record(ref, reason)
        except InterchangeError as exc:
            log.warning("How the attempt at %s ended could not be recorded: %s", ref, exc)


def _idempotency_key(body: bytes, refs: Sequence[EffectRef]) -> str:
    """Bound to what is sent, and to the week: the same mail in another week is another one."""
    names = "\n".join(ref.key for ref in refs)
    return sha256(names.encode() + b"\n" + body).hexdigest()[:40]
