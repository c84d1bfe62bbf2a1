"""What can go wrong with one call, by name: each kind makes the sandbox's faults for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from include.sandbox.faults import AT_THE_PORT, Fault, FaultKind

READ_TIMEOUT_S = 2.0
"""The hooks' time-out in these tests."""
TOO_LATE_S = READ_TIMEOUT_S + 0.7
HTTP_ATTEMPTS = 4
"""How often the HTTP layer tries a call that certainly did not happen."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """
    One outbound call of a fault-free run.

    :param number: it is the n-th of its operation; ``of_vendor``: the n-th call to its vendor.
    """

    vendor: str
    operation: str
    number: int
    of_vendor: int

    def __str__(self) -> str:
        return f"{self.vendor}.{self.operation}.{self.number}"


def _anywhere(_call: Call) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    :param done: the vendor carries the call out, although the client is not told so.
    :param fits: the calls it makes sense for.
    """

    name: str
    fault: FaultKind
    status: int = 503
    retry_after: str | None = None
    seconds: float = 0.5
    times: int = 1
    done: bool = False
    fits: Callable[[Call], bool] = field(default=_anywhere)

    def at(self, call: Call) -> Fault:
        if self.fault in AT_THE_PORT:
            # Before a vendor's first call the port closes when the fault is armed, and the run has yet to get there.
            seconds = 2.0 if call.of_vendor == 1 else self.seconds
            return Fault(vendor=call.vendor, kind=self.fault, call=call.of_vendor, seconds=seconds)
        return Fault(
            vendor=call.vendor,
            kind=self.fault,
            call=call.number,
            operation=call.operation,
            times=self.times,
            status=self.status,
            retry_after=self.retry_after,
            seconds=self.seconds,
        )


def _over_the_internet(call: Call) -> bool:
    """Not the city's own bus, whose client has a certificate, too: its scenario counts failed runs."""
    return call.vendor in ("qualtrics", "identity", "graph", "upload", "modo")


def _has_checksum(call: Call) -> bool:
    """Only where the format lets a client notice: the ZIP of an export, and of a workbook; Ogg, and JSON's UTF-8."""
    return call.operation in ("export_file", "get_file") or (call.vendor, call.operation) == ("s3", "get")


KINDS: tuple[Kind, ...] = (
    Kind(name="refuse", fault=FaultKind.REFUSE, seconds=0.4),
    Kind(name="certificate", fault=FaultKind.BAD_CERTIFICATE, seconds=0.4, fits=_over_the_internet),
    Kind(name="reset", fault=FaultKind.RESET),
    Kind(name="stall", fault=FaultKind.STALL, seconds=TOO_LATE_S),
    Kind(name="429", fault=FaultKind.STATUS, status=429),
    Kind(name="429-short", fault=FaultKind.STATUS, status=429, retry_after="1"),
    Kind(name="429-long", fault=FaultKind.STATUS, status=429, retry_after="45"),
    Kind(name="500", fault=FaultKind.STATUS, status=500),
    Kind(name="503", fault=FaultKind.STATUS, status=503),
    Kind(name="503-short", fault=FaultKind.STATUS, status=503, retry_after="1"),
    Kind(name="503-outage", fault=FaultKind.STATUS, status=503, times=HTTP_ATTEMPTS + 1),
    Kind(name="401", fault=FaultKind.STATUS, status=401),
    Kind(name="html-200", fault=FaultKind.HTML, status=200),
    Kind(name="html-502", fault=FaultKind.HTML, status=502),
    Kind(name="truncate", fault=FaultKind.TRUNCATE, done=True),
    Kind(name="lose-answer", fault=FaultKind.LOSE_ANSWER, done=True),
    Kind(name="503-done", fault=FaultKind.STATUS_AFTER, status=503, done=True),
    Kind(name="wrong-byte", fault=FaultKind.WRONG_BYTES, done=True, fits=_has_checksum),
    Kind(name="slow", fault=FaultKind.SLOW, seconds=0.3, done=True),
    Kind(name="too-late", fault=FaultKind.SLOW, seconds=TOO_LATE_S, done=True),
)
