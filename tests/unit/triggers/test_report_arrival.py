"""A run for each report that arrives: the trigger, and the queue it watches, against a real SQS emulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import pytest
from airflow.sdk import AssetOrTimeSchedule, CronDataIntervalTimetable
from airflow.triggers.base import TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from include.sandbox.emulators import S3
from interchange.operators.ticket_closure import beside_arrivals
from interchange.settings.parse_time import Events
from interchange.triggers import queue, report_arrival
from interchange.triggers.queue import Message, QueueProducer, Receipt
from interchange.triggers.report_arrival import ReportArrivalTrigger
from tests.unit.core.test_s3_events import message, record
from tools.processes import free_ports

KEY = "weekly/report.xlsx"
KEPT = AdvanceOutcome(acked=1, failed=0)
SETTINGS = {
    "source": {"kind": "excel", "bucket": "reports", "key": KEY},
    "time_zone": "UTC",
}


class Queue:
    """An SQS queue as S3 and its owner see it."""

    def __init__(self, s3: S3, name: str) -> None:
        fields = s3.connection()
        self.client = boto3.client(
            "sqs",
            endpoint_url=s3.url,
            region_name=s3.region,
            aws_access_key_id=fields["login"],
            aws_secret_access_key=fields["password"],
        )
        self.url: str = self.client.create_queue(QueueName=name)["QueueUrl"]

    def send(self, text: str) -> None:
        self.client.send_message(QueueUrl=self.url, MessageBody=text)

    @property
    def left(self) -> int:
        """Messages, the ones somebody is busy with included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with S3() as running:
        yield running


@pytest.fixture
def sqs(s3: S3, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(s3.connection()))
    monkeypatch.setenv("AIRFLOW_VAR_INTERCHANGE_TICKET_CLOSURE", json.dumps(SETTINGS))
    return Queue(s3, f"queue-{abs(hash(request.node.name))}")


def producer(sqs: Queue) -> QueueProducer:
    return QueueProducer(queue_url=sqs.url, conn_id="aws_default", long_poll_s=1)


def events(*messages: Message) -> list[TriggerEvent]:
    """What the trigger, as it was stored, makes of a stream."""
    path, stored = ReportArrivalTrigger(
        dag_id="ticket_closure", queue_url="https://sqs.example/q", conn_id="aws_default"
    ).serialize()
    assert path == f"{report_arrival.__name__}.ReportArrivalTrigger"
    trigger = ReportArrivalTrigger(**json.loads(json.dumps(stored)))
    assert trigger.shared_stream_key() == ("https://sqs.example/q", "aws_default")

    async def stream() -> AsyncIterator[Message]:
        for entry in messages:
            yield entry

    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.filter_shared_stream(stream())]

    return asyncio.run(collect())


def taken(made: QueueProducer, number: int) -> list[tuple[Message, Receipt]]:
    """So many messages, as the triggerer pulls them."""

    async def pull() -> list[tuple[Message, Receipt]]:
        stream = made.open_stream()
        return [await asyncio.wait_for(anext(stream), timeout=90) for _ in range(number)]

    return asyncio.run(pull())


def advance(made: QueueProducer, *receipts: Receipt, outcome: AdvanceOutcome = KEPT) -> None:
    asyncio.run(made.advance([AdvanceItem(broker_payload=receipt, outcome=outcome) for receipt in receipts]))


def read(text: str) -> Message:
    made: Message = queue._read({"MessageId": "m", "Body": text})
    return made


def test_the_report_starts_a_run_and_other_objects_do_not(sqs: Queue) -> None:
    found = events(
        read(message(record("weekly/other.xlsx"))),
        read(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "reports"})),
        read(message(record("a"), record(KEY))),
    )
    assert [event.payload for event in found] == [
        {"bucket": "reports", "key": KEY, "sequencer": "0055AED6DCD90281E5"}
    ]


def test_an_object_of_the_same_name_in_another_bucket_does_not(sqs: Queue) -> None:
    there = record(KEY)
    there["s3"]["bucket"]["name"] = "drafts"
    assert events(read(message(there))) == []


@pytest.mark.parametrize(
    "settings",
    [{**SETTINGS, "source": {"kind": "sheet", "spreadsheet_id": "s", "range": "A1"}}, {"source": 5}],
)
def test_settings_without_a_workbook_leave_the_message_for_later(
    sqs: Queue, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_INTERCHANGE_TICKET_CLOSURE", json.dumps(settings))
    refused: list[bool] = []
    monkeypatch.setattr(
        "airflow.triggers.shared_stream.reject_shared_stream_event", lambda: refused.append(True)
    )
    assert events(read(message(record(KEY)))) == []
    assert refused == [True]


def test_an_airflow_that_gives_no_variable_leaves_the_message_for_later(
    sqs: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger outlives it: its end would be the end of all arrivals."""
    refused: list[bool] = []
    monkeypatch.setattr(
        "airflow.triggers.shared_stream.reject_shared_stream_event", lambda: refused.append(True)
    )
    monkeypatch.delenv("AIRFLOW_VAR_INTERCHANGE_TICKET_CLOSURE")
    monkeypatch.setattr("airflow.sdk.Variable.get", lambda *_, **__: (_ for _ in ()).throw(ConnectionError()))
    assert events(read(message(record(KEY)))) == []
    assert refused == [True]


def test_no_more_uploads_are_remembered_than_fit(sqs: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "REMEMBERED", 2)
    made = producer(sqs)
    for key in ("a", "b", "c"):
        advance(made, Receipt(handle="h", message=read(message(record(key)))))
    assert [key for _, key in made._last] == ["b", "c"]


def test_a_message_leaves_the_queue_only_when_its_event_is_kept(sqs: Queue) -> None:
    sqs.send(message(record(KEY)))
    made = producer(sqs)
    ((found, receipt),) = taken(made, 1)
    assert [entry.key for entry in found.objects] == [KEY]
    assert sqs.left == 1

    advance(made, receipt, outcome=AdvanceOutcome(acked=0, failed=1))
    assert sqs.left == 1
    advance(made, receipt)
    assert sqs.left == 0


def test_what_is_no_event_stays_for_the_dead_letter_queue(sqs: Queue) -> None:
    sqs.send("somebody's secret")
    made = producer(sqs)
    ((found, receipt),) = taken(made, 1)
    assert found.problem == "body is no JSON"
    advance(made, receipt, outcome=AdvanceOutcome(acked=0, failed=0, rejected=1))
    assert sqs.left == 1


def test_doubled_and_late_events_of_an_upload_start_no_run(sqs: Queue) -> None:
    def of(sequencer: str) -> str:
        made = record(KEY)
        made["s3"]["object"]["sequencer"] = sequencer
        return message(made)

    made = producer(sqs)
    sqs.send(of("05"))
    ((_, receipt),) = taken(made, 1)
    advance(made, receipt)
    for sequencer in ("05", "04", "05", "06"):
        sqs.send(of(sequencer))

    ((found, receipt),) = taken(made, 1)

    assert [entry.sequencer for entry in found.objects] == ["06"]
    assert sqs.left == 1
    advance(made, receipt)
    assert sqs.left == 0


def test_more_messages_than_one_call_takes_are_all_deleted(sqs: Queue) -> None:
    made = producer(sqs)
    for number in range(23):
        sqs.send(message(record(f"key-{number}")))
    found = taken(made, 23)
    advance(made, *(receipt for _, receipt in found))
    assert sqs.left == 0


def test_a_queue_that_is_away_is_asked_again(
    sqs: Queue, s3: S3, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)
    away = {
        **s3.connection(),
        "extra": {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": s3.region},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(away))
    # Amazon's client has patience of its own, which is not what is tested here.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    sqs.send(message(record(KEY)))
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(s3.connection()))

    made = QueueProducer(queue_url=sqs.url, conn_id="aws_default", long_poll_s=1, pause=pause)
    ((found, _),) = taken(made, 1)

    assert found.objects
    assert pauses == [5, 10, 20]
    assert "cannot be read" in caplog.text


def test_a_queue_that_cannot_delete_keeps_the_stream_alive(sqs: Queue) -> None:
    made = producer(sqs)
    sqs.send(message(record(KEY)))
    ((_, receipt),) = taken(made, 1)
    sqs.client.delete_queue(QueueUrl=sqs.url)
    advance(made, receipt)


def test_the_dag_is_started_by_schedule_arrival_or_both() -> None:
    weekly = CronDataIntervalTimetable("0 7 * * 1", timezone="UTC")
    queue_of = Events(queue_url="https://sqs.example/q")
    assert beside_arrivals(weekly, None) is weekly
    assert beside_arrivals(None, None) is None
    (asset,) = beside_arrivals(None, queue_of)
    assert asset.watchers[0].trigger.queue_url == "https://sqs.example/q"
    both = beside_arrivals(weekly, queue_of)
    assert isinstance(both, AssetOrTimeSchedule)
    assert both.timetable is weekly
