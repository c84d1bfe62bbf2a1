"""What S3's events say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interchange.core.s3_events import ObjectCreated, created_objects
from interchange.errors import BadRecord


def record(key: str = "weekly/report.xlsx", **changes: Any) -> dict[str, Any]:
    """One record as S3 sends it, with what it says besides."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "2026-11-22T07:20:19.814Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "report-upload",
            "bucket": {"name": "reports", "arn": "arn:aws:s3:::reports"},
            "object": {"key": key, "size": 2752731, "eTag": "9b28", "sequencer": "0055AED6DCD90281E5"},
        },
        **changes,
    }


def message(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": list(records)})


def test_a_new_object_is_found_by_its_real_name() -> None:
    (found,) = created_objects(message(record("weekly/My+report+%281%29+%C3%A4.xlsx")))
    assert found == ObjectCreated(
        bucket="reports", key="weekly/My report (1) ä.xlsx", sequencer="0055AED6DCD90281E5"
    )


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
@pytest.mark.parametrize("version", ["2.1", "2.4", "2.10"])
def test_each_way_and_version_of_creating_counts(name: str, version: str) -> None:
    text = message(record(eventName=f"ObjectCreated:{name}", eventVersion=version))
    assert len(created_objects(text)) == 1


def test_other_events_are_none() -> None:
    removed = record(eventName="ObjectRemoved:Delete")
    assert [found.key for found in created_objects(message(removed, record("a"), record("b")))] == ["a", "b"]


def test_the_event_that_tests_the_queue_tells_of_nothing() -> None:
    text = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "reports"})
    assert created_objects(text) == ()


def test_an_event_through_sns_is_unwrapped() -> None:
    text = json.dumps({"Type": "Notification", "MessageId": "m", "Message": message(record())})
    assert len(created_objects(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "[]",
        "{}",
        '{"Records": 5}',
        '{"Records": [5]}',
        '{"Records": [{}]}',
        message(record(eventVersion="3.0")),
        message(record(eventVersion=None)),
        message(record(s3={"bucket": {"name": "b"}, "object": {}})),
        message(record(s3={"bucket": {"name": "b"}, "object": {"key": 5}})),
        json.dumps({"Type": "Notification", "Message": "secret"}),
    ],
)
def test_what_is_no_event_is_said_without_quoting_it(text: str) -> None:
    with pytest.raises(BadRecord) as refused:
        created_objects(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other", "nothing_new"),
    [
        ("0055AED6DCD90281E5", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E4", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E6", "0055AED6DCD90281E5", False),
        # Of different lengths: filled up on the left.
        ("FF", "100", True),
        ("100", "FF", False),
        (None, "FF", False),
        ("FF", None, False),
    ],
)
def test_which_of_two_uploads_is_later(one: str | None, other: str | None, nothing_new: bool) -> None:
    first, second = (ObjectCreated(bucket="b", key="k", sequencer=sequencer) for sequencer in (one, other))
    assert first.adds_nothing_to(second) is nothing_new
    assert not first.adds_nothing_to(None)
