"""Keeping a claim alive from a background thread while its holder works."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from interchange.errors import Unavailable
from interchange.ledger.model import ClaimLost

log = logging.getLogger(__name__)


class Renewal:
    """
    Renews a claim every third of its lease until the block ends.

    Two renewals may fail before the lease runs out. The claim counts as lost when the database says so, or
    when it could not be asked for a whole lease.

    :param renew: extends the claim, on a connection of its own; raises ClaimLost or Unavailable.
    :param name: what is claimed, for messages.
    """

    def __init__(self, renew: Callable[[], object], name: str, lease_s: float) -> None:
        self._renew = renew
        self._name = name
        self._lease_s = lease_s
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"interchange-renewal {name}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether somebody else may be acting under this claim now."""
        return self._lost.is_set()

    def check(self) -> None:
        """
        Raise unless the claim is still ours: to be called between the steps of a long piece of work.

        :raises ClaimLost: it is not.
        """
        if self.lost:
            raise ClaimLost("ledger.renew", f"the claim on {self._name} was lost while the work went on")

    def __enter__(self) -> Renewal:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        good_until = time.monotonic() + self._lease_s
        while not self._stop.wait(self._lease_s / 3):
            asked_at = time.monotonic()
            try:
                self._renew()
            except ClaimLost as exc:
                log.warning("%s", exc)
                self._lost.set()
                return
            except Unavailable as exc:
                log.warning("The claim on %s could not be renewed: %s", self._name, exc)
                if time.monotonic() > good_until:
                    self._lost.set()
                    return
            else:
                good_until = asked_at + self._lease_s
