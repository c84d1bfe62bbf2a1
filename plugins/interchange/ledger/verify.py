"""
Checking receipts against what is outside, months later.

Each workflow names a function for each kind of effect it can check. Functions are loaded only when used, so
that this module knows no hook.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from enum import StrEnum

from interchange.errors import InterchangeError
from interchange.ledger.model import Effect, State


class Verdict(StrEnum):
    """What a look at the other side says about a receipt."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"
    REPLACED = "replaced"
    """A later effect has put something else in its place, as it should: that one's receipt is the one to check."""
    CANNOT = "cannot"
    """It could not be checked: nothing is known, nothing is wrong."""


@dataclasses.dataclass(frozen=True)
class VerifyResult:
    """
    :param detail: one sentence without personal data: what differs, or why it cannot be checked.
    """

    outcome: Verdict
    detail: str = ""


Verifier = Callable[[Effect], VerifyResult]

VERIFIERS: MutableMapping[tuple[str, str], str] = {
    ("qualtrics_to_onedrive", "delivery"): "interchange.delivery.verify:verify_delivery",
    ("spinoco_sync", "file"): "interchange.sync.verifying:verify_file",
}
"""``(workflow, kind)`` → ``"module:function"``, a :data:`Verifier` that only reads the other side."""


def verifier_of(effect: Effect) -> Verifier | None:
    """
    Return the function that can check this effect's receipt, None if there is none.

    :raises ImportError, AttributeError: the registry names something that does not exist.
    """
    target = VERIFIERS.get((effect.ref.workflow, effect.ref.kind))
    if target is None:
        return None
    module, _, function = target.partition(":")
    found: Verifier = getattr(importlib.import_module(module), function)
    return found


def verify(effects: Iterable[Effect]) -> Iterator[tuple[Effect, VerifyResult]]:
    """
    Check confirmed effects one by one; others are passed over.

    :param effects: newest first. Receipts with the same ``place`` replace each other; only the newest is checked.
    """
    places: set[str] = set()
    for effect in effects:
        if effect.state is not State.CONFIRMED:
            continue
        place = (effect.receipt or {}).get("place")
        if place in places:
            yield effect, VerifyResult(Verdict.REPLACED, "a later effect has taken its place")
            continue
        if place:
            places.add(place)
        check = verifier_of(effect)
        if check is None:
            yield effect, VerifyResult(Verdict.CANNOT, "no check exists for this kind of effect")
            continue
        try:
            yield effect, check(effect)
        except InterchangeError as exc:
            # One vendor that does not answer must not hide what the others say.
            yield effect, VerifyResult(Verdict.CANNOT, str(exc))
