"""The thread pool that delivers notifications: at once and side by side, or as the switches want it."""

from __future__ import annotations

import collections
import dataclasses
import logging
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from include.sandbox.vendors.webex.switches import Switches

THREADS = 8
PATIENCE_S = 1.0
"""How long the sandbox's end waits for deliveries under way."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parcel:
    """
    One notification to one address.

    :param generation: of the vendor's state it comes from; one from before a reset is nobody's any more.
    """

    webhook_id: str
    url: str
    body: bytes
    signature: str | None
    resource: str
    event: str
    data_id: str
    generation: int


class Courier:
    """
    :param switches: the vendor's switches as they are now.
    :param wanted: whether a parcel is still to be sent.
    :param report: told the status of an answer, or None where none came.
    :param ca_bundle: what receivers' certificates are checked against, besides the system's own.
    """

    def __init__(
        self,
        *,
        switches: Callable[[], Switches],
        wanted: Callable[[Parcel], bool],
        report: Callable[[Parcel, int | None], None],
        ca_bundle: Path,
    ) -> None:
        self._switches = switches
        self._wanted = wanted
        self._report = report
        self._ca_bundle = ca_bundle
        self._changed = threading.Condition()
        self._waiting: collections.deque[Parcel] = collections.deque()
        self._on_the_way = 0
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._client: httpx.Client | None = None

    @property
    def pending(self) -> int:
        """Notifications that wait or are on their way."""
        with self._changed:
            return len(self._waiting) + self._on_the_way

    def put(self, parcels: list[Parcel]) -> None:
        with self._changed:
            self._waiting.extend(parcels)
            if parcels and not self._threads:
                self._start()
            self._changed.notify_all()

    def wake(self) -> None:
        """The switches have changed."""
        with self._changed:
            self._changed.notify_all()

    def forget(self) -> None:
        """Drop what waits."""
        with self._changed:
            self._waiting.clear()

    def close(self) -> None:
        self._closing.set()
        self.wake()
        until = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        # A receiver that does not answer keeps its thread, which ends with the process.
        if self._client is not None and not any(thread.is_alive() for thread in self._threads):
            self._client.close()

    def _start(self) -> None:
        trust = ssl.create_default_context()
        trust.load_verify_locations(str(self._ca_bundle))
        self._client = httpx.Client(
            verify=trust,
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "WebexWebhooks"},
            limits=httpx.Limits(max_connections=THREADS * 2, max_keepalive_connections=0),
        )
        for number in range(THREADS):
            thread = threading.Thread(target=self._work, name=f"sandbox-webex-courier-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (parcels := self._take()) is not None:
            for parcel in parcels:
                self._deliver(parcel)
            with self._changed:
                self._on_the_way -= len(parcels)

    def _take(self) -> list[Parcel] | None:
        """The next parcels for one thread to deliver one after another; None: the courier closes."""
        with self._changed:
            while not self._closing.is_set():
                switches = self._switches()
                if self._waiting and not switches.webhook_hold:
                    if not switches.webhook_reorder:
                        taken = [self._waiting.popleft()]
                    elif len(self._waiting) >= switches.webhook_reorder:
                        taken = [self._waiting.popleft() for _ in range(switches.webhook_reorder)][::-1]
                    else:
                        taken = []
                    if taken:
                        self._on_the_way += len(taken)
                        return taken
                self._changed.wait()
        return None

    def _deliver(self, parcel: Parcel) -> None:
        switches = self._switches()
        self._closing.wait(switches.webhook_delay_s)
        if self._client is None or self._closing.is_set() or not self._wanted(parcel):
            return
        headers = {"Content-Type": "application/json"}
        if parcel.signature is not None:
            headers["X-Spark-Signature"] = parcel.signature
        status = None
        try:
            status = self._client.post(
                parcel.url, content=parcel.body, headers=headers, timeout=switches.webhook_timeout_s
            ).status_code
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as exc:
            log.debug("a notification was not delivered: %s", type(exc).__name__)
        self._report(parcel, status)
