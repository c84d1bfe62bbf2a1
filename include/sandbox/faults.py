"""Faults by call number: what may happen to the n-th call of a vendor."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    REFUSE = "refuse"
    """The port is closed for ``seconds`` before the call: connection refused. Takes no operation."""
    BAD_CERTIFICATE = "bad_certificate"
    """For ``seconds`` before the call, the port shows a certificate that nobody trusts. Takes no operation."""
    RESET = "reset"
    """The request arrives, nothing is done, the connection is reset."""
    STALL = "stall"
    """The request arrives, nothing is done, no answer for ``seconds``; then the connection is closed."""
    STATUS = "status"
    """Nothing is done; ``status`` is answered, with ``retry_after`` if given."""
    HTML = "html"
    """Nothing is done; ``status`` is answered with a page of HTML, as a proxy before the vendor would."""
    TRUNCATE = "truncate"
    """
    The call is carried out; the answer's body is cut after ``after_bytes`` (half of it unless given; at its
    start where the length is not known). An answer without a body does not arrive at all.
    """
    STATUS_AFTER = "status_after"
    """The call is carried out; ``status`` is answered all the same, with ``retry_after`` if given."""
    LOSE_ANSWER = "lose_answer"
    """The call is carried out; the connection is reset before the answer."""
    WRONG_BYTES = "wrong_bytes"
    """The call is carried out; one byte of the answer is wrong (at ``after_bytes``, or in the middle)."""
    SLOW = "slow"
    """The call is carried out; the answer comes ``seconds`` later."""


AT_THE_PORT = (FaultKind.REFUSE, FaultKind.BAD_CERTIFICATE)
"""What keeps a call from being made at all."""


@dataclass(kw_only=True)
class Fault:
    """
    :param vendor: the vendor's name.
    :param call: its n-th call since the last reset (1 is the first), or of ``operation`` if that is given;
        None: the next.
    :param times: how many calls in a row meet it.
    :param after_bytes: offset in the answer's body; one at or behind its end changes nothing.
    """

    vendor: str
    kind: FaultKind
    call: int | None = None
    operation: str | None = None
    times: int = 1
    status: int = 503
    retry_after: str | None = None
    seconds: float = 0.5
    after_bytes: int | None = None
    met: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for name, lowest in (("call", 1), ("times", 1), ("status", 200), ("seconds", 0), ("after_bytes", 0)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | float) or value < lowest):
                raise ValueError(f"{name} must be a number from {lowest}, got {value!r}")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fault:
        """
        :raises ValueError: a key is unknown, missing or has a wrong value.
        """
        known = {name for name in cls.__dataclass_fields__ if name != "met"}
        if unknown := set(data) - known:
            raise ValueError(f"unknown keys {sorted(unknown)}; known: {sorted(known)}")
        if missing := {"vendor", "kind"} - set(data):
            raise ValueError(f"missing keys {sorted(missing)}")
        return cls(**{**data, "kind": FaultKind(data["kind"])})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class FaultPlan:
    """The faults that wait for their call, and the counters that tell which call it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.faults: list[Fault] = []
        self._calls: dict[tuple[str, str | None], int] = {}

    def add(self, fault: Fault) -> None:
        with self._lock:
            if fault.call is None:
                fault.call = self._calls.get((fault.vendor, fault.operation), 0) + 1
            self.faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self.faults.clear()

    def restart_counting(self) -> None:
        with self._lock:
            self._calls.clear()

    def meet(self, vendor: str, operation: str) -> Fault | None:
        """Count one call and return the fault it meets."""
        with self._lock:
            numbers: dict[str | None, int] = {}
            for name in (None, operation):
                numbers[name] = self._calls[vendor, name] = self._calls.get((vendor, name), 0) + 1
            for fault in self.faults:
                if (
                    fault.vendor != vendor
                    or fault.kind in AT_THE_PORT
                    or fault.operation not in (None, operation)
                ):
                    continue
                first = fault.call or 1
                if first <= numbers[fault.operation] < first + fault.times:
                    fault.met += 1
                    return fault
            return None

    def due_at_port(self, vendor: str) -> Fault | None:
        """
        What the vendor's next call meets before it is made, if that waits.

        Of several calls at once one may have counted past it: then it is this one.
        """
        with self._lock:
            upcoming = self._calls.get((vendor, None), 0) + 1
            for fault in self.faults:
                if (
                    fault.vendor == vendor
                    and fault.kind in AT_THE_PORT
                    and not fault.met
                    and (fault.call or 1) <= upcoming
                ):
                    fault.met = 1
                    return fault
            return None
