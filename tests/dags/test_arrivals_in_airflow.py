"""A run for each report that comes into its bucket, in a real Airflow: S3's event, SQS, triggerer, asset, mail."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import openpyxl  # type: ignore[import-untyped]  # it has no types
import pytest

from include.sandbox.emulators import S3
from tests.deployment import PATIENCE_S, Deployment, wait_until

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
DAG_ID = "ticket_closure"
BUCKET, KEY = "reports", "weekly/Closed tickets (1).xlsx"
HEADER = ["Firstname", "Lastname", "Email", "Ticket", "Status", "Date"]
SETTINGS: dict[str, Any] = {
    "source": {"kind": "excel", "bucket": BUCKET, "key": KEY},
    "time_zone": "Australia/Sydney",
    "limits": {"rows_drop_percent": 100, "mails_jump_from": 1000},
}


class Bucket:
    """The report's bucket, whose events go to a queue."""

    def __init__(self, s3: S3) -> None:
        fields = s3.connection()
        access = {
            "endpoint_url": s3.url,
            "region_name": s3.region,
            "aws_access_key_id": fields["login"],
            "aws_secret_access_key": fields["password"],
        }
        self._objects = boto3.client("s3", **access)
        self._queues = boto3.client("sqs", **access)
        s3.create_bucket(BUCKET)
        self.queue_url: str = self._queues.create_queue(QueueName="arrivals")["QueueUrl"]
        (arn,) = self._queues.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])[
            "Attributes"
        ].values()
        self._objects.put_bucket_notification_configuration(
            Bucket=BUCKET,
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
            },
        )

    def upload(self, *rows: list[Any], key: str = KEY) -> None:
        book = openpyxl.Workbook()
        for row in (HEADER, *rows):
            book.active.append(row)
        stream = io.BytesIO()
        book.save(stream)
        self._objects.put_object(Bucket=BUCKET, Key=key, Body=stream.getvalue())

    def send(self, message: dict[str, Any]) -> None:
        self._queues.send_message(QueueUrl=self.queue_url, MessageBody=json.dumps(message))

    @property
    def waiting(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._queues.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


@pytest.fixture(scope="module")
def watched(deployment: Deployment) -> Iterator[Bucket]:
    """The DAG watches the bucket's queue; afterwards it knows only its schedule again."""
    with S3() as s3:
        made = Bucket(s3)
        deployment.client.import_connections({"aws_default": s3.connection()})
        events = {"queue_url": made.queue_url}
        with (
            deployment.settings_file(DAG_ID, events=events),
            deployment.variable(f"interchange_{DAG_ID}", SETTINGS),
        ):
            wait_until(lambda: watches(deployment), "Airflow does not see the queue")
            yield made
        wait_until(lambda: not watches(deployment), "Airflow still watches the queue")


@pytest.fixture
def bucket(deployment: Deployment, watched: Bucket) -> Bucket:
    """Nothing is on its way, and nobody has got a mail."""
    wait_until(lambda: not watched.waiting, "the messages stay in the queue")
    for run in started(deployment):
        deployment.finished(run["dag_run_id"], dag_id=DAG_ID)
    deployment.calm_vendors()
    deployment.vendors.vendor("mail_webhook").clear()
    return watched


def watches(deployment: Deployment) -> bool:
    return bool(deployment.client.request("GET", f"/dags/{DAG_ID}/details")["asset_expression"])


def started(deployment: Deployment) -> list[dict[str, Any]]:
    """The runs that arrivals have started."""
    return [run for run in deployment.client.runs(DAG_ID) if run["run_type"] == "asset_triggered"]


def test_an_arriving_report_is_mailed_once_however_often_it_is_announced(
    deployment: Deployment, bucket: Bucket
) -> None:
    assert "Asset or" in deployment.client.request("GET", f"/dags/{DAG_ID}/details")["timetable_summary"]
    day = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=3)
    row = ["Ann", "Ito", "arrival@example.com", "AR-0001", "Closed", day]

    bucket.upload(key="weekly/another.xlsx")
    bucket.upload(row)

    (first,) = wait_until(lambda: started(deployment), "no run starts", timeout_s=PATIENCE_S)
    deployment.finished(first["dag_run_id"], dag_id=DAG_ID)
    (mail,) = deployment.vendors.vendor("mail_webhook").mails
    assert mail["to"] == "arrival@example.com"
    wait_until(lambda: not bucket.waiting, "the messages stay in the queue")

    # The same again, as S3 may send it, and through SNS.
    before = started(deployment)
    record = {
        "eventVersion": "2.1",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": "weekly/Closed+tickets+%281%29.xlsx"}},
    }
    bucket.send({"Type": "Notification", "Message": json.dumps({"Records": [record, record]})})
    wait_until(lambda: len(started(deployment)) > len(before), "the second announcement starts no run")
    for run in started(deployment):
        deployment.finished(run["dag_run_id"], dag_id=DAG_ID)

    assert len(deployment.vendors.vendor("mail_webhook").mails) == 1


def test_the_schedule_stays_and_backfills_still_work(deployment: Deployment, bucket: Bucket) -> None:
    day = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=20)
    bucket.upload(["Bob", "Ode", "backfilled@example.com", "AR-0002", "Closed", day])
    wait_until(lambda: not bucket.waiting, "the messages stay in the queue")
    for run in started(deployment):
        deployment.finished(run["dag_run_id"], dag_id=DAG_ID)
    now = datetime.now(UTC)
    backfill = deployment.client.create_backfill(
        DAG_ID, now - timedelta(days=21), now - timedelta(days=8), reprocess_behavior="completed"
    )
    deployment.client.wait_backfill(backfill)

    assert [mail["to"] for mail in deployment.vendors.vendor("mail_webhook").mails] == [
        "backfilled@example.com"
    ]
