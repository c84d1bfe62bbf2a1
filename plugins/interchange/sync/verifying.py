"""Is what the receipts say still so? Asked months later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from interchange.core.safe_names import comparison_key
from interchange.ledger import Effect, Ledger, State
from interchange.ledger.verify import Verdict, VerifyResult
from interchange.settings import load_settings
from interchange.settings.spinoco_sync import Sync
from interchange.storages import Storage, open_storage
from interchange.sync.moving import content_of
from interchange.sync.pages import FILE, WORKFLOW

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    One file that is not as it should be.

    :param what: ``missing``, ``altered`` or ``unknown`` (nobody has a receipt for it).
    """

    path: str
    what: str
    detail: str


def verify_file(effect: Effect) -> VerifyResult:
    """Hold one receipt against the storage, which must be one of the settings'."""
    receipt = effect.receipt or {}
    for sync in load_settings(WORKFLOW).syncs:
        with closing(open_storage(sync.storage, name=sync.name)) as storage:
            if storage.place == receipt.get("storage"):
                return _result(storage, receipt)
    return VerifyResult(Verdict.CANNOT, f"no sync of the settings stores in {receipt.get('storage')}")


def _result(storage: Storage, receipt: dict[str, Any]) -> VerifyResult:
    wrong = storage.prove(receipt["path"], content_of(receipt))
    if wrong is None:
        return VerifyResult(Verdict.OK, "proof: size and checksum")
    verdict = Verdict.MISSING if wrong == "is missing" else Verdict.ALTERED
    return VerifyResult(verdict, f"the file {wrong}")


def compare(sync: Sync, ledger: Ledger) -> Iterator[Finding]:
    """Everything in a synchronisation's storage against all receipts for that place."""
    with closing(open_storage(sync.storage, name=sync.name)) as storage:
        known: set[str] = set()
        for effect in ledger.list(workflow=WORKFLOW, kind=FILE, state=State.CONFIRMED, newest_first=False):
            receipt = effect.receipt or {}
            if receipt.get("storage") != storage.place:
                continue
            known.add(comparison_key(receipt["path"]))
            result = _result(storage, receipt)
            if result.outcome is not Verdict.OK:
                yield Finding(path=receipt["path"], what=result.outcome.value, detail=result.detail)
        for path in storage.paths():
            if comparison_key(path) not in known:
                yield Finding(path=path, what=UNKNOWN, detail="no receipt tells of this file")
