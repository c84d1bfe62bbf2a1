"""An activity's status in Knack: written after its outcome is certain, never over what a person has written."""

from __future__ import annotations

import logging
from typing import Any

from interchange.core.knack_values import text_of
from interchange.errors import NotFound, OutcomeUnknown
from interchange.hooks.knack import KnackHook
from interchange.ledger import EffectRef, Ledger, RunRef, State

log = logging.getLogger(__name__)

STATUS = "status"
_LOOKS = 3


class StatusWriter:
    """
    Writes one field of Knack records.

    Knack has no precondition for a write, so each write looks first: only a record that still has the status ``ready``
    is written. What comes between that look and the write cannot be seen; it is as short as two calls.

    :param prefix: the app's name: begins each effect's key.
    """

    def __init__(
        self,
        knack: KnackHook,
        *,
        workflow: str,
        prefix: str,
        object_key: str,
        field: str,
        ready: str,
        ledger: Ledger,
        run: RunRef,
        lease_s: float,
    ) -> None:
        self._knack = knack
        self._workflow = workflow
        self._prefix = prefix
        self._object = object_key
        self._field = field
        self._ready = ready
        self._ledger = ledger
        self._run = run
        self._lease_s = lease_s

    def write(self, record_id: str, status: str) -> None:
        """
        Bring a record that is ready to ``status``.

        A lost answer is settled by looking, at once.

        :raises Unavailable: Knack does not answer; the next run goes on.
        :raises Refused: Knack refuses the write.
        """
        ref = self._ref(record_id, status)

        def find() -> dict[str, Any] | None:
            found = self._look(record_id)
            if found == self._ready:
                return None
            return {"status": status} if found == status else self._left(record_id, found)

        def send() -> dict[str, Any]:
            if (there := find()) is not None:
                return there
            self._knack.update_record(self._object, record_id, {self._field: status})
            return {"status": status}

        for look in range(1, _LOOKS + 1):
            try:
                self._ledger.perform(ref, send=send, find=find, lease_s=self._lease_s, run=self._run)
            except OutcomeUnknown:
                if look == _LOOKS:
                    raise
            else:
                return

    def clear_up(self) -> int:
        """
        Settle writes whose outcome nobody saw, such as those of a killed process, by looking.

        A record that was written is not ready any more, so no plan leads to it. One that is still ready is left to its
        plan.

        :return: how many are still claimed by a process that is gone: a later try settles them.
        """
        mine: dict[str, Any] = {"workflow": self._workflow, "kind": STATUS, "key_prefix": f"{self._prefix}/"}
        for effect in self._ledger.list(**mine, state=State.UNKNOWN):
            record_id, _, rest = effect.ref.key.removeprefix(f"{self._prefix}/").partition("/")
            status, found = rest.rpartition("/")[0], self._look(record_id)
            if found != self._ready:
                self._ledger.settle(
                    effect.ref,
                    to=State.CONFIRMED,
                    by=self._ledger.owner,
                    reason="found by look-up",
                    receipt={"status": status} if found == status else self._left(record_id, found),
                    attempt=effect.attempts,
                )
        return len(self._ledger.list(**mine, state=State.BEGUN))

    def _look(self, record_id: str) -> str | None:
        """The record's status now; None if there is no such record any more."""
        try:
            return text_of(self._knack.record(self._object, record_id), self._field)
        except NotFound:
            return None

    def _left(self, record_id: str, found: str | None) -> dict[str, Any]:
        if found is None:
            log.warning("Record %s is not in Knack any more; its status is not written", record_id)
            return {"left": "deleted"}
        log.warning("Somebody has changed the status of record %s meanwhile; it is left alone", record_id)
        return {"left": "changed"}

    def _ref(self, record_id: str, status: str) -> EffectRef:
        """
        The effect of this write: another one each time that somebody has made the record ready again.

        It is ready now, or this would not be asked for; so a write that the ledger has as done was undone.
        """
        stem = f"{self._prefix}/{record_id}/{status}"
        number = 1
        while True:
            ref = EffectRef(self._workflow, STATUS, f"{stem}/{number}")
            known = self._ledger.get(ref)
            if known is None or known.state is not State.CONFIRMED:
                return ref
            number += 1
