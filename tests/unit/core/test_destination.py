"""File names come from the window; addresses stay inside their folder."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from interchange.core.destination import check_url, file_name, join_url
from interchange.core.windows import Window
from interchange.errors import BadRecord

HOUR = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("export_format", "unique", "zipped", "expected"),
    [
        ("csv", True, True, "responses_20261101T000000Z-20261101T010000Z.zip"),
        ("csv", False, True, "responses.zip"),
        ("csv", False, False, "responses.csv"),
        ("spss", True, False, "responses_20261101T000000Z-20261101T010000Z.sav"),
        ("ndjson", False, False, "responses.ndjson"),
    ],
)
def test_names(export_format: str, unique: bool, zipped: bool, expected: str) -> None:
    assert file_name("responses", export_format, HOUR, unique=unique, zipped=zipped) == expected


@pytest.mark.parametrize("base", ["", " a", "a ", "a/b", "a\\b", "..", ".hidden", "a\nb", "../a"])
def test_bases_that_would_leave_their_folder(base: str) -> None:
    with pytest.raises(BadRecord) as refused:
        file_name(base, "csv", HOUR, unique=False, zipped=True)
    assert refused.value.field == "file_name"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///data/exports", "file:///data/exports/a.zip"),
        ("file:///data/exports/", "file:///data/exports/a.zip"),
        ("file:///", "file:///a.zip"),
        ("s3://bucket", "s3://bucket/a.zip"),
        ("s3://aws_default@bucket/some/prefix", "s3://aws_default@bucket/some/prefix/a.zip"),
        ("gs://bucket/x", "gs://bucket/x/a.zip"),
        ("abfs://wasb_default@container/x", "abfs://wasb_default@container/x/a.zip"),
    ],
)
def test_addresses(url: str, expected: str) -> None:
    assert join_url(url, "a.zip") == expected


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must begin with"),
        ("/data/exports", "must begin with"),
        ("https://example.com/x", "must begin with"),
        ("file:/data", "must begin with file://"),
        ("file://data/exports", "three slashes"),
        ("abfss://container@account/x", "abfs://CONN_ID@container"),
        ("s3://", "no bucket"),
        ("s3://conn@/x", "no bucket"),
        ("s3://AKIA:hush@bucket/x", "password"),
        ("s3://bucket/x?versionId=1", "must not contain"),
        ("s3://bucket/#x", "must not contain"),
        ("file:///data/../etc", "as a folder"),
        ("file:///data/%2e%2e/etc", "as a folder"),
    ],
)
def test_addresses_that_are_refused(url: str, says: str) -> None:
    with pytest.raises(BadRecord, match=says) as refused:
        check_url(url)
    assert refused.value.field == "url"
    assert "hush" not in str(refused.value)


def test_a_name_cannot_leave_the_address() -> None:
    with pytest.raises(BadRecord):
        join_url("file:///data", "../etc/passwd")
