"""Settings of spinoco_sync: what ships, what is filled in, and what is wrong with a wrong one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.sandbox.vendors.spinoco.query import parse
from interchange.errors import SettingsError
from interchange.settings import load_settings, parse_time_settings
from interchange.settings.spinoco_sync import Settings

DAG_ID = "spinoco_sync"
UUID_1 = "1d4de98c-c130-11ef-9cd2-0242ac120002"
UUID_4 = "6f1c3a52-7f5e-4c3b-8a55-0f7f6a0f9f10"


def sync(**changes: Any) -> dict[str, Any]:
    """The least there must be, in the shape of the Variable."""
    return {
        "name": "one",
        "tag": "t",
        "get": ["Recordings"],
        "storage": {"provider": "local", "save_to": "/data"},
        **changes,
    }


def load(*syncs: dict[str, Any]) -> Settings:
    made: Settings = load_settings(DAG_ID, variable=lambda _: json.dumps({"syncs": list(syncs)}))
    return made


def test_the_example_that_ships_is_a_query_that_the_server_takes() -> None:
    (one,) = load_settings(DAG_ID, variable=lambda _: None).syncs
    query = parse(one.query())
    assert (query.tag, query.get, query.delete) == ("archive-1", ("Recordings", "Transcriptions"), ())
    assert query.start_from is not None
    assert query.start_from.isoformat() == "2024-09-09T15:45:47+00:00"
    assert parse_time_settings(DAG_ID).schedule == "*/5 * * * *"
    assert parse_time_settings(DAG_ID).names == ("archive",)


def test_every_data_type_and_filter_reaches_the_server() -> None:
    kinds = [
        "CallMetadata", "Recordings", "Transcriptions", "ChatMetadata", "ChatHistory", "SMSMetadata",
        "EmailMetadata", "CommonMetadata", "WorkflowMetadata",
    ]  # fmt: skip
    (one,) = load(
        sync(
            get=kinds,
            delete=["Recordings"],
            start_from="2024-09-09T17:45:47.277+02:00",
            skills={"must": ["SK1"], "should": ["A"], "must_not": ["ABCD"]},
            hashtags={"must": [f"{UUID_1}:vip"], "should": [UUID_1], "must_not": [f"{UUID_1}:spam"]},
        )
    ).syncs
    assert one.query()["startFrom"] == "1725896747277"
    query = parse(one.query())
    assert (query.get, query.delete) == (tuple(kinds), ("Recordings",))
    assert (query.skills.must, query.skills.should, query.skills.must_not) == (("SK1",), ("A",), ("ABCD",))
    assert query.hash_tags.must == (f"{UUID_1}:vip",)
    assert query.hash_tags.should == (UUID_1,)
    assert query.hash_tags.must_not == (f"{UUID_1}:spam",)


def test_what_is_not_said_is_filled_in() -> None:
    (one,) = load(sync()).syncs
    assert (one.conn_id, one.delete, one.start_from, one.hold) == ("spinoco_default", [], None, [])
    assert (one.parallel, one.keep_days_before_delete, one.max_deletions) == (8, 0, 1000)
    assert (one.attempts, one.late_days) == (5, 14)
    assert "startFrom" not in one.query()


@pytest.mark.parametrize(
    ("storage", "conn_id"),
    [
        (
            {"provider": "s3", "bucket": "b", "prefix": "calls/archive", "region": "eu-central-1"},
            "aws_default",
        ),
        ({"provider": "gcs", "bucket": "b", "project": "p"}, "google_cloud_default"),
        ({"provider": "azure", "container": "c"}, "wasb_default"),
    ],
)
def test_each_store_has_its_own_connection(storage: dict[str, Any], conn_id: str) -> None:
    (one,) = load(sync(storage=storage)).syncs
    assert one.storage.model_dump()["conn_id"] == conn_id


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"get": ["Recording"]}, "allowed: CallMetadata, Recordings"),
        ({"get": []}, "at least 1 entries"),
        ({"get": ["Recordings", "Recordings"]}, "get has Recordings twice"),
        ({"delete": ["Transcriptions"]}, "allowed: Recordings"),
        ({"get": ["Transcriptions"], "delete": ["Recordings"]}, "only what is stored may be deleted"),
        ({"tag": "č" * 33}, "at most 64 bytes"),
        ({"skills": {"must": ["SKILL"]}}, "skills.must[0]: 'SKILL' is no skill"),
        ({"skills": {"must": ["A"], "must_not": ["A"]}}, "nothing fits both"),
        ({"hashtags": {"should": [UUID_4]}}, "UUID of version 1"),
        ({"hashtags": {"must": [f"{UUID_1}.vip"]}}, "with a colon between"),
        ({"start_from": "2024-09-09T15:45:47"}, "has no zone"),
        ({"start_from": "yesterday"}, "is no date and time"),
        ({"start_from": 1725896747277}, "is no date and time"),
        ({"hold": ["the one with the judge"]}, "is no task id"),
        ({"parallel": 0}, "1 or more"),
        ({"storage": {"provider": "ftp"}}, "allowed: local"),
        ({"storage": {"provider": "local", "save_to": "data"}}, "no absolute path"),
        ({"storage": {"provider": "s3", "bucket": "b", "prefix": "../up"}}, "is no prefix"),
        ({"file_name_template": "{{due_date|yyyy}}/{{call_from}}"}, "must give different tasks one name"),
    ],
)
def test_what_is_wrong_is_refused_and_told(changes: dict[str, Any], told: str) -> None:
    """Defect C17: wrong filters were dropped, a wrong date was sent as "NaN", a dot stood in the page for the colon."""
    with pytest.raises(SettingsError) as caught:
        load(sync(**changes))
    assert told in str(caught.value)
    assert "syncs[0] (one)" in str(caught.value)


def test_two_syncs_never_share_a_tag() -> None:
    """Defect C13: each took pages from the other."""
    with pytest.raises(SettingsError, match="two syncs use tag 't' through spinoco_default"):
        load(sync(), sync(name="two"))
    assert len(load(sync(), sync(name="two", conn_id="other")).syncs) == 2
