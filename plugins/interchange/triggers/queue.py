"""An SQS queue of S3's events as a stream for Airflow's triggerer, which says when an event is safely kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from interchange.core.s3_events import ObjectCreated, created_objects
from interchange.errors import BadRecord

log = logging.getLogger(__name__)

LONG_POLL_S = 20
"""The longest SQS allows."""
AT_ONCE = 10
"""The most SQS gives."""
INVISIBLE_S = 360
"""A message comes again after this time; longer than Airflow waits for an event to be kept (300 s)."""
REMEMBERED = 1000
"""So many objects' last uploads are known; a doubled event of another one starts a run that finds nothing to do."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0


@dataclass(frozen=True, kw_only=True)
class Message:
    """
    :param problem: why it cannot be read; None: it can.
    """

    message_id: str
    objects: tuple[ObjectCreated, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What takes a message out of its queue."""

    handle: str
    message: Message


class QueueProducer(SharedStreamProducer):
    """
    :param queue_url: see :class:`~interchange.triggers.report_arrival.ReportArrivalTrigger`; :param conn_id: as there.
    :param long_poll_s: how long SQS may wait for a message, in whole seconds.
    :param pause: how to wait, in seconds, before a queue that could not be read is asked again.
    """

    def __init__(
        self,
        *,
        queue_url: str,
        conn_id: str,
        long_poll_s: int = LONG_POLL_S,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queue_url = queue_url
        self._conn_id = conn_id
        self._long_poll_s = long_poll_s
        self._pause = pause
        self._last: dict[tuple[str, str], ObjectCreated] = {}

    async def open_stream(self) -> AsyncIterator[tuple[Message, Receipt]]:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                received = await self._receive()
            except Exception as exc:  # noqa: BLE001  # whatever it is, the next report must start a run
                log.warning(
                    "The queue of connection %s cannot be read (%s); trying again in %.0f s",
                    self._conn_id, type(exc).__name__, pause_s,
                )  # fmt: skip
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            for entry in received:
                receipt = Receipt(handle=entry["ReceiptHandle"], message=_read(entry))
                if self._is_known(receipt.message):
                    log.info("Message %s tells nothing new; passed over", receipt.message.message_id)
                    await self._delete([receipt])
                else:
                    yield receipt.message, receipt

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        done = [item.broker_payload for item in batch if item.outcome.is_clean]
        for receipt in done:
            for found in receipt.message.objects:
                place = found.bucket, found.key
                if not found.adds_nothing_to(self._last.get(place)):
                    self._last.pop(place, None)
                    self._last[place] = found
        while len(self._last) > REMEMBERED:
            del self._last[next(iter(self._last))]
        await self._delete(done)

    def _is_known(self, message: Message) -> bool:
        """Whether runs were started for all it tells of, or for something later."""
        return bool(message.objects) and all(
            found.adds_nothing_to(self._last.get((found.bucket, found.key))) for found in message.objects
        )

    async def _receive(self) -> list[dict[str, Any]]:
        async with await self._client() as client:
            answer = await client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=AT_ONCE,
                WaitTimeSeconds=self._long_poll_s,
                VisibilityTimeout=INVISIBLE_S,
            )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    async def _delete(self, receipts: Sequence[Receipt]) -> None:
        """A message that stays although it should not comes again and starts a run that finds nothing to do."""
        if not receipts:
            return
        try:
            async with await self._client() as client:
                for start in range(0, len(receipts), AT_ONCE):
                    entries = [
                        {"Id": str(number), "ReceiptHandle": receipt.handle}
                        for number, receipt in enumerate(receipts[start : start + AT_ONCE])
                    ]
                    await client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as exc:  # noqa: BLE001  # an error here would end the stream
            log.warning("%d messages could not be deleted (%s)", len(receipts), type(exc).__name__)

    async def _client(self) -> Any:
        from airflow.providers.amazon.aws.hooks.sqs import SqsHook

        hook: Any = SqsHook(aws_conn_id=self._conn_id)
        return await hook.get_async_conn()


def _read(entry: dict[str, Any]) -> Message:
    try:
        return Message(message_id=entry["MessageId"], objects=created_objects(entry["Body"]))
    except BadRecord as exc:
        log.warning("Message %s is left in the queue: %s %s", entry["MessageId"], exc.field, exc.reason)
        return Message(message_id=entry["MessageId"], problem=f"{exc.field} {exc.reason}")
