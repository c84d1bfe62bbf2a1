"""Starting a run when the report has come into its bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from interchange.errors import SettingsError

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

    from interchange.triggers.queue import Message


class ReportArrivalTrigger(BaseEventTrigger):
    """
    Watches a queue of S3's events for the workbook that the settings name.

    A message leaves the queue after Airflow has kept the event that came of it, so that none is lost with a triggerer.
    One that tells of other objects leaves it as well. One that is no event of S3 stays, for the queue's dead-letter
    queue.

    :param dag_id: whose settings name the object; they are read anew for each message.
    :param queue_url: of an SQS queue nobody else reads from.
    :param conn_id: Airflow connection to AWS.
    """

    def __init__(self, *, dag_id: str, queue_url: str, conn_id: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's class has no annotations
        self.dag_id = dag_id
        self.queue_url = queue_url
        self.conn_id = conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"dag_id": self.dag_id, "queue_url": self.queue_url, "conn_id": self.conn_id},
        )

    def shared_stream_key(self) -> Hashable:
        return self.queue_url, self.conn_id

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        # Only the triggerer needs it: the DAG file, which names this class, is parsed all the time.
        from interchange.triggers.queue import QueueProducer

        return QueueProducer(queue_url=kwargs["queue_url"], conn_id=kwargs["conn_id"])

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Message]
    ) -> AsyncIterator[TriggerEvent]:
        from airflow.triggers.shared_stream import reject_shared_stream_event

        async for message in shared_stream:
            if message.problem is not None:
                reject_shared_stream_event()
                continue
            try:
                bucket, key = await sync_to_async(self._wanted, thread_sensitive=False)()
            except Exception as exc:  # noqa: BLE001  # settings, or Airflow itself for a moment: this must go on
                reason = str(exc) if isinstance(exc, SettingsError) else type(exc).__name__
                self.log.warning("Message %s waits in the queue: %s", message.message_id, reason)
                reject_shared_stream_event()
                continue
            for found in message.objects:
                if (found.bucket, found.key) == (bucket, key):
                    self.log.info("s3://%s/%s has come", bucket, key)
                    yield _event(found.bucket, found.key, found.sequencer)
                    break
            else:
                self.log.info(
                    "Message %s tells of no new s3://%s/%s; passed over", message.message_id, bucket, key
                )

    def _wanted(self) -> tuple[str, str]:
        from interchange.settings import load_settings
        from interchange.settings.ticket_closure import ExcelSource

        source = load_settings(self.dag_id).source
        if not isinstance(source, ExcelSource):
            raise SettingsError("source.kind is not excel: no event of S3 can be the report's")
        return source.bucket, source.key

    def run(self) -> AsyncIterator[TriggerEvent]:
        """Never called: Airflow drives a trigger with a shared stream by :meth:`filter_shared_stream`."""
        raise NotImplementedError


def _event(bucket: str, key: str, sequencer: str | None) -> TriggerEvent:
    payload = {"bucket": bucket, "key": key, "sequencer": sequencer}
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's class has no annotations
