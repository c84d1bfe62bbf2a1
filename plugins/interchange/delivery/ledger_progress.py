"""An unfinished delivery's progress, kept with its effect in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from interchange.ledger import EffectRef, Ledger

log = logging.getLogger(__name__)


class LedgerProgress:
    """
    Reads and writes the progress of one effect.

    Without an encryption key the ledger keeps nothing: an interrupted upload then starts over, which is slower and
    still right.
    """

    def __init__(self, ledger: Ledger, ref: EffectRef) -> None:
        self._ledger = ledger
        self._ref = ref
        self._last: Mapping[str, Any] | None = None
        self._kept = True

    def load(self) -> Mapping[str, Any] | None:
        if self._last is None:
            self._last = self._ledger.load_progress(self._ref)
        return self._last

    def save(self, data: Mapping[str, Any]) -> None:
        self._last = dict(data)
        if not self._ledger.save_progress(self._ref, dict(data)) and self._kept:
            self._kept = False
            log.warning(
                "Airflow has no Fernet key: an interrupted upload will start over instead of going on"
            )
