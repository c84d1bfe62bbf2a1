"""Is what a delivery's receipt says still so? Asked months later, by ``python -m interchange verify``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from interchange.core.stored import Verdict as Stored
from interchange.core.stored import judge
from interchange.delivery.objects import read_back
from interchange.hooks.onedrive import OneDriveHook
from interchange.ledger import Effect
from interchange.ledger.verify import Verdict, VerifyResult


def verify_delivery(effect: Effect) -> VerifyResult:
    """Compare a delivered file with its receipt: by size and hash in OneDrive, by reading it anywhere else."""
    receipt = effect.receipt or {}
    if receipt.get("item_id"):
        return _in_onedrive(receipt)
    if receipt.get("url"):
        return _elsewhere(receipt)
    return VerifyResult(Verdict.CANNOT, "the receipt does not say where the file is")


def _in_onedrive(receipt: Mapping[str, Any]) -> VerifyResult:
    with closing(OneDriveHook(receipt["conn_id"])) as onedrive:
        item = onedrive.item_by_id(receipt["drive_id"], receipt["item_id"])
    if item is None:
        return VerifyResult(Verdict.MISSING, "the file is not in the drive any more")
    stored = judge(
        receipt["file_name"],
        size=receipt["size"],
        quick_xor_hash=receipt["quick_xor_hash"],
        stored_size=item.size,
        stored_hash=item.quick_xor_hash,
    )
    if stored is Stored.DIFFERENT:
        return VerifyResult(
            Verdict.ALTERED, f"{receipt['size']} bytes were delivered, {item.size} are there now"
        )
    return VerifyResult(Verdict.OK, f"proof: {stored}")


def _elsewhere(receipt: Mapping[str, Any]) -> VerifyResult:
    found = read_back(receipt["url"])
    if found is None:
        return VerifyResult(Verdict.MISSING, "the file is not there any more")
    if found != (receipt["size"], receipt["sha256"]):
        return VerifyResult(
            Verdict.ALTERED, f"{receipt['size']} bytes were delivered, {found[0]} are there now"
        )
    return VerifyResult(Verdict.OK, "proof: size and sha256")
