"""The files of the simulated Qualtrics: download, ZIP, the six formats, faults, and large ones."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors.qualtrics import Qualtrics
from include.sandbox.vendors.qualtrics.archive import Content, large_csv, zipped
from tests.sandbox.qualtrics_client import (
    DAY,
    FEEDBACK,
    HOUR,
    SYMPTOMS,
    VISITORS,
    Api,
    rows,
    unzipped,
    wait_until,
)

QUIET, LARGE = "SV_0quiet", "SV_0large"
AT = dt.datetime(2026, 3, 1, 10, 20, 30, tzinfo=dt.UTC)
NAME = "Ça va? /\"survey\": 'ünï'"


@pytest.fixture
def api() -> Iterator[Api]:
    with Sandbox([Qualtrics]) as sandbox:
        api = Api(sandbox)
        api.switch(polls_until_complete=0)
        api.vendor.seed({"surveys": [{"id": QUIET, "name": NAME}]})
        yield api


def on_the_wire(response: requests.Response) -> bytes:
    """The body before any decoding of its content-encoding."""
    data: bytes = response.raw.read(decode_content=False)
    return data


# Download


def test_headers_of_a_zip(api: Api) -> None:
    response = api.download(api.finish(**DAY), headers={"Accept-Encoding": "identity"})
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Disposition"] == "attachment; filename=Symptom+tracker.zip"
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert "Content-Encoding" not in response.headers


def test_the_zip_is_as_recorded(api: Api) -> None:
    content = api.download(api.finish(**DAY)).content
    signature, _, flags, method = struct.unpack("<4s3H", content[:10])
    assert (signature, flags, method) == (b"PK\3\4", 0x0808, zipfile.ZIP_DEFLATED)
    assert content[14:26] == bytes(12)  # CRC and sizes come behind the data.
    with zipfile.ZipFile(BytesIO(content)) as archive:
        (entry,) = archive.infolist()
        assert archive.testzip() is None
    assert (entry.filename, entry.flag_bits) == ("Symptom tracker.csv", 0x0808)
    assert entry.compress_size < entry.file_size


def test_a_survey_name_that_is_no_file_name(api: Api) -> None:
    response = api.download(api.finish(QUIET), QUIET)
    # zipfile would clean the name up on extraction; what is in the archive is the raw name.
    assert f"{NAME}.csv".encode() in response.content
    assert response.headers["Content-Disposition"].isascii()
    assert " " not in response.headers["Content-Disposition"].partition("filename=")[2]


def test_same_file_same_bytes(api: Api) -> None:
    file_id = api.finish(**DAY)
    first = api.download(file_id).content
    api.sandbox.clock.advance(86400)
    assert api.download(file_id).content == first


@pytest.mark.parametrize(
    ("form", "content_type", "extension"),
    [
        ("csv", "application/csv", "csv"),
        ("tsv", "application/tsv", "tsv"),
        ("json", "application/json", "json"),
        ("ndjson", "application/x-ndjson", "ndjson"),
        ("xml", "application/xml", "xml"),
        ("spss", "application/octet-stream", "sav"),
    ],
)
def test_raw_and_zipped_have_the_same_content(api: Api, form: str, content_type: str, extension: str) -> None:
    response = api.download(api.finish(format=form, compress=False, **DAY))
    assert response.headers["Content-Type"] == content_type
    assert response.headers["Content-Disposition"].endswith(f"=Symptom+tracker.{extension}")
    name, content = unzipped(api.download(api.finish(format=form, **DAY)).content)
    assert name == f"Symptom tracker.{extension}"
    if form != "spss":  # which carries its time of making
        assert content == response.content


def test_only_the_file_id_of_the_survey_downloads(api: Api) -> None:
    progress_id = api.begin(**HOUR)
    assert api.download(progress_id).status_code == 404
    file_id = api.wait(progress_id)["fileId"]
    assert api.download(progress_id).status_code == 404
    assert api.download(file_id, FEEDBACK).status_code == 404
    assert api.download(file_id).status_code == 200


def test_no_file_before_the_job_is_complete(api: Api) -> None:
    api.switch(polls_until_complete=1)
    progress_id = api.begin(**HOUR)
    file_id = api.vendor.jobs[progress_id].file_id
    api.poll(progress_id)
    assert api.download(file_id).status_code == 404


def test_a_failed_job_has_no_file(api: Api) -> None:
    api.switch(fail_jobs=1)
    progress_id = api.begin(**HOUR)
    api.wait(progress_id)
    assert api.download(api.vendor.jobs[progress_id].file_id).status_code == 404


def test_files_are_kept_a_week(api: Api) -> None:
    file_id = api.finish(**HOUR)
    api.sandbox.clock.advance(7 * 24 * 3600 - 10)
    assert api.download(file_id).status_code == 200
    api.sandbox.clock.advance(10)
    assert api.download(file_id).status_code == 404


def test_gzip_around_the_zip_when_offered(api: Api) -> None:
    file_id = api.finish(**DAY)
    plain = api.download(file_id, headers={"Accept-Encoding": "identity"}).content
    packed = api.download(file_id, headers={"Accept-Encoding": "deflate, gzip"}, stream=True)
    assert packed.headers["Content-Encoding"] == "gzip"
    body = on_the_wire(packed)
    assert int(packed.headers["Content-Length"]) == len(body) != len(plain)
    assert gzip.decompress(body) == plain

    api.switch(gzip_files=False)
    assert "Content-Encoding" not in api.download(file_id, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("offer", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0"])
def test_no_gzip_unless_offered(api: Api, offer: str) -> None:
    response = api.download(api.finish(**HOUR), headers={"Accept-Encoding": offer})
    assert "Content-Encoding" not in response.headers


# What can be wrong


def test_without_content_length(api: Api) -> None:
    api.switch(chunked_files=True)
    response = api.download(api.finish(**DAY))
    assert "Content-Length" not in response.headers
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert unzipped(response.content)[0] == "Symptom tracker.csv"


def test_a_zip_that_was_not_asked_for(api: Api) -> None:
    api.switch(always_zip=True)
    response = api.download(api.finish(compress=False, **DAY))
    assert response.headers["Content-Type"] == "application/zip"
    assert unzipped(response.content)[0] == "Symptom tracker.csv"


@pytest.mark.parametrize("name", ["../evil.csv", "C:\\evil.csv", "/etc/evil", "a?b:c.csv", "ünï.csv"])
def test_evil_entry_names(api: Api, name: str) -> None:
    api.switch(entry_name=name)
    content = api.download(api.finish(**DAY)).content
    assert content.count(name.encode()) == 2  # local header and central directory
    assert unzipped(content)[0] == name


@pytest.mark.parametrize("survey", [SYMPTOMS, LARGE])
def test_corrupt_zips(api: Api, survey: str) -> None:
    api.vendor.seed({"large": {"survey_id": LARGE, "bytes": 100_000}})
    api.switch(corrupt_zips=2)
    file_id = api.finish(survey, **HOUR)
    for _ in range(2):
        with pytest.raises((zipfile.BadZipFile, zlib.error)):
            unzipped(api.download(file_id, survey).content)
    assert unzipped(api.download(file_id, survey).content)[1]


def test_empty_and_html_answers(api: Api) -> None:
    file_id = api.finish(**HOUR)
    api.switch(empty_files=1)
    empty = api.download(file_id)
    assert (empty.status_code, empty.content) == (200, b"")
    api.switch(html_files=1)
    page = api.download(file_id)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.content.startswith(b"<html")
    assert unzipped(api.download(file_id).content)


def test_a_content_length_larger_than_the_body(api: Api) -> None:
    file_id = api.finish(**HOUR)
    api.switch(excess_lengths=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.download(file_id)
    assert unzipped(api.download(file_id).content)


def test_faults_of_the_core_meet_a_download(api: Api) -> None:
    file_id = api.finish(**HOUR)
    api.sandbox.arm(Fault(vendor="qualtrics", operation="export_file", kind=FaultKind.HTML, status=502))
    assert api.download(file_id).status_code == 502
    api.sandbox.arm(
        Fault(vendor="qualtrics", operation="export_file", kind=FaultKind.TRUNCATE, after_bytes=50)
    )
    with pytest.raises(requests.exceptions.RequestException):
        api.download(file_id)
    wait_until(lambda: bool(api.sandbox.effects.entries(kind="file_downloaded", complete=False)))
    assert unzipped(api.download(file_id).content)
    wait_until(lambda: bool(api.sandbox.effects.entries(kind="file_downloaded", complete=True)))


def test_effect_of_a_download(api: Api) -> None:
    file_id = api.finish(**DAY)
    body = api.download(file_id, headers={"Accept-Encoding": "identity"}).content
    wait_until(lambda: bool(api.sandbox.effects.entries(kind="file_downloaded")))
    (effect,) = api.sandbox.effects.entries(kind="file_downloaded")
    assert (effect["file_id"], effect["bytes"], effect["complete"]) == (file_id, len(body), True)


# csv and tsv


def test_three_header_rows(api: Api) -> None:
    tags, texts, described = api.table(**DAY)[:3]
    assert ",".join(tags) == (
        "StartDate,EndDate,Status,IPAddress,Progress,Duration (in seconds),Finished,RecordedDate,ResponseId,"
        "RecipientLastName,RecipientFirstName,RecipientEmail,ExternalReference,LocationLatitude,"
        "LocationLongitude,DistributionChannel,UserLanguage,Q1,Q2_1,Q2_2,Q2_3,Q3,Q4,NetID,Building"
    )
    assert texts[tags.index("Q1")] == "Do you have symptoms today?"
    assert "\n" in texts[tags.index("Q2_1")]
    parsed = [json.loads(cell) for cell in described]
    assert parsed[0] == {"ImportId": "startDate", "timeZone": "Z"}
    assert parsed[tags.index("ResponseId")] == {"ImportId": "_recordId"}
    assert parsed[tags.index("Q3")] == {"ImportId": "QID3_TEXT"}


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_parse_with_the_right_counts(api: Api, form: str, delimiter: str) -> None:
    content = api.export(format=form, **DAY)
    assert not content.startswith(b"\xef\xbb\xbf")
    assert content.endswith(b"\r\n")
    parsed = rows(content, delimiter)
    assert len(parsed) == 3 + 96
    assert {len(row) for row in parsed} == {len(parsed[0])}
    assert content.replace(b"\r\n", b"").count(b"\n") > 0  # bare line feeds within cells
    assert b"\r" not in content.replace(b"\r\n", b"")
    text = content.decode()
    for piece in ("Łukaszewicz", "佐藤", "👍🏽", '""fine""'):
        assert piece in text


def test_nothing_found_is_three_rows(api: Api) -> None:
    empty = {"startDate": "2020-01-01T00:00:00Z", "endDate": "2020-01-02T00:00:00Z"}
    assert len(api.table(**empty)) == 3
    assert json.loads(api.export(format="json", **empty)) == {"responses": []}
    assert api.export(format="ndjson", **empty) == b""


def test_dates_in_the_requested_zone_without_offset(api: Api) -> None:
    api.vendor.seed(
        {
            "responses": [
                {"survey_id": QUIET, "recordedDate": "2026-03-29T00:59:59Z"},
                {"survey_id": QUIET, "recordedDate": "2026-03-29T01:00:00Z"},
            ]
        }
    )
    header, _, described, *data = api.table(QUIET, timeZone="Europe/Berlin")
    column = header.index("RecordedDate")
    assert [row[column] for row in data] == ["2026-03-29 01:59:59", "2026-03-29 03:00:00"]
    assert json.loads(described[column])["timeZone"] == "Europe/Berlin"
    assert [row[column] for row in api.table(QUIET)[3:]] == ["2026-03-29 00:59:59", "2026-03-29 01:00:00"]


def test_anonymous_surveys_lack_columns(api: Api) -> None:
    header = api.table(FEEDBACK, **HOUR)[0]
    assert not {"IPAddress", "RecipientEmail", "RecipientLastName", "LocationLatitude"} & set(header)
    assert "ResponseId" in header


ANSWER = {"Q1": 2, "QID2": [1, 3], "Q3": "a\nb", "Q4": 37.5, "NetID": "jdoe"}


def answered(api: Api, values: dict[str, Any] | None = None, **options: Any) -> dict[str, str]:
    """One response's row by column name."""
    item = {"survey_id": SYMPTOMS, "id": "R_one", "recordedDate": "2019-01-01T00:00:00Z"}
    api.vendor.seed({"responses": [item | {"values": ANSWER if values is None else values}]})
    header, _, _, row = api.table(endDate="2019-01-02T00:00:00Z", **options)
    return dict(zip(header, row, strict=True))


def test_recodes_and_labels(api: Api) -> None:
    row = answered(api)
    assert [row[c] for c in ("Q1", "Q2_1", "Q2_2", "Q2_3", "Q3", "Q4", "NetID")] == [
        "2",
        "1",
        "",
        "1",
        "a\nb",
        "37.5",
        "jdoe",
    ]
    assert (row["Status"], row["Finished"]) == ("0", "1")

    row = answered(api, useLabels=True)
    assert (row["Q1"], row["Q2_1"], row["Q2_3"]) == ("No", "Fever", "Loss of smell, or taste")
    assert (row["Status"], row["Finished"]) == ("IP Address", "True")

    row = answered(api, includeLabelColumns=True)
    assert (row["Q1"], row["Q1_LABEL"]) == ("2", "No")


def test_multiple_choice_in_one_column(api: Api) -> None:
    assert answered(api, breakoutSets=False)["Q2"] == "1,3"
    assert answered(api, breakoutSets=False, useLabels=True)["Q2"] == "Fever,Loss of smell, or taste"


def test_recode_of_what_was_seen_and_not_answered(api: Api) -> None:
    nothing = {"Q1": None, "QID2": None}
    assert (answered(api, nothing)["Q1"], answered(api, nothing)["Q2_1"]) == ("", "")
    row = answered(api, nothing, seenUnansweredRecode=-9)
    assert (row["Q1"], row["Q2_1"]) == ("-9", "-9")
    row = answered(api, nothing, seenUnansweredRecode=-9, multiselectSeenUnansweredRecode=0)
    assert (row["Q1"], row["Q2_1"]) == ("-9", "0")
    assert answered(api, nothing, breakoutSets=False, multiselectSeenUnansweredRecode=0)["Q2"] == "0"


def test_text_options(api: Api) -> None:
    assert answered(api, formatDecimalAsComma=True)["Q4"] == "37,5"
    assert answered(api, newlineReplacement=" / ")["Q3"] == "a / b"


def test_chosen_columns(api: Api) -> None:
    header = api.table(
        questionIds=["QID1"],
        embeddedDataIds=["NetID"],
        surveyMetadataIds=["recordedDate", "_recordId"],
        **HOUR,
    )[0]
    assert header == ["RecordedDate", "ResponseId", "Q1", "NetID"]
    header = api.table(
        questionIds=[], embeddedDataIds=[], surveyMetadataIds=["externalDataReference"], **HOUR
    )[0]
    assert header == ["ExternalReference"]


def test_additional_columns(api: Api) -> None:
    header = api.table(includeDisplayOrder=True, includeWaveWeights=True, questionIds=["QID1"], **HOUR)[0]
    assert {"FL_0_DO", "BL_1_DO", "Q1_DO", "WaveWeight"} <= set(header)
    assert "Q2_DO" not in header


# The other formats


def test_json(api: Api) -> None:
    responses = json.loads(api.export(format="json", **DAY))["responses"]
    assert [item["responseId"] for item in responses] == api.ids(**DAY)
    first = responses[0]
    assert set(first) == {"responseId", "values", "labels", "displayedFields", "displayedValues"}
    assert first["values"]["_recordId"] == first["responseId"]
    assert dt.datetime.fromisoformat(first["values"]["recordedDate"]).tzinfo is not None
    assert (first["values"]["finished"], first["labels"]["finished"]) == (1, "True")
    assert SYMPTOMS not in json.dumps(responses)
    lines = api.export(format="ndjson", **DAY).decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == responses


def test_json_with_chosen_fields_and_modified_date(api: Api) -> None:
    chosen: dict[str, Any] = {
        "questionIds": ["QID1"],
        "embeddedDataIds": [],
        "surveyMetadataIds": ["status"],
    }
    (first, *_) = json.loads(api.export(format="json", sortByLastModifiedDate=True, **chosen, **HOUR))[
        "responses"
    ]
    assert set(first["values"]) <= {"status", "QID1", "lastModifiedDate"}
    assert "lastModifiedDate" in first["values"]


def test_xml(api: Api) -> None:
    api.vendor.seed({"surveys": [{"id": QUIET, "name": NAME, "embedded": ["1st <name>"]}]})
    value = {"1st <name>": "a < b & \x0b \ud7ff"}
    api.vendor.seed({"responses": [{"survey_id": QUIET, "recordedDate": DAY["startDate"], "values": value}]})
    (response,) = etree.fromstring(api.export(QUIET, format="xml"))
    assert response.findtext("_1st__name_") == "a < b &  \ud7ff"
    root = etree.fromstring(api.export(format="xml", **DAY))
    assert [item.findtext("ResponseId") for item in root] == api.ids(**DAY)


def variable_records(content: bytes) -> int:
    """How many variable records an SPSS file's dictionary begins with: one for each eight bytes of a case."""
    count, at = 0, 176
    while content[at : at + 4] == struct.pack("<i", 2):
        has_label = content[at + 8] == 1
        at += 32
        if has_label:
            (size,) = struct.unpack("<i", content[at : at + 4])
            at += 4 + size + -size % 4
        count += 1
    return count


def test_spss(api: Api) -> None:
    content = api.export(VISITORS, format="spss", **DAY)
    layout, units, compression, _, cases = struct.unpack("<5i", content[64:84])
    assert (content[:4], layout, compression, cases) == (b"$FL2", 2, 0, 72)
    assert variable_records(content) == units
    cells = content.partition(struct.pack("<2i", 999, 0))[2]
    assert len(cells) == cases * units * 8
    # The first variable, a date and time, in seconds since 1582-10-14.
    assert struct.unpack("<6i8s", content[176:208])[1:6] == (0, 1, 0, 22 << 16 | 20 << 8, 22 << 16 | 20 << 8)
    started = dt.datetime(1582, 10, 14) + dt.timedelta(seconds=struct.unpack("<d", cells[:8])[0])  # noqa: DTZ001  # wall clock
    assert str(started) == api.table(VISITORS, **DAY)[3][0]
    assert b"\tV0000009=ResponseId\t" in content
    assert content.count("佐藤".encode()) == sum("佐藤" in row[9] for row in api.table(VISITORS, **DAY))


# Large surveys


def test_a_large_csv_has_exactly_the_asked_size(api: Api) -> None:
    size = 3_333_333
    api.vendor.seed({"large": {"survey_id": LARGE, "bytes": size}})
    response = api.download(api.finish(LARGE, compress=False), LARGE, headers={"Accept-Encoding": "gzip"})
    assert int(response.headers["Content-Length"]) == len(response.content) == size
    assert "Content-Encoding" not in response.headers
    parsed = rows(response.content)
    assert len(parsed) > 3000
    assert {len(row) for row in parsed} == {len(parsed[0])}
    assert api.export(LARGE, **HOUR) == response.content


def test_a_large_zip(api: Api) -> None:
    size = 5_000_000
    api.vendor.seed({"large": {"survey_id": LARGE, "bytes": size}})
    response = api.download(api.finish(LARGE), LARGE, headers={"Accept-Encoding": "gzip"})
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert size < len(response.content) < size * 1.001
    name, content = unzipped(response.content)
    assert (name, len(content)) == ("Large survey.csv", size)
    assert content == api.export(LARGE)


def test_an_export_that_is_too_large_fails(api: Api) -> None:
    api.vendor.seed({"large": {"survey_id": LARGE, "bytes": 1_800_000_001}})
    assert api.wait(api.begin(LARGE), LARGE)["status"] == "failed"
    api.vendor.seed({"large": {"survey_id": LARGE, "bytes": 1_800_000_000}})
    assert api.wait(api.begin(LARGE), LARGE)["status"] == "complete"


def test_large_surveys_are_csv(api: Api) -> None:
    api.vendor.seed({"large": {"survey_id": LARGE, "bytes": 100_000}})
    assert api.start(LARGE, format="json").status_code == 400


def test_a_large_file_needs_little_memory(api: Api) -> None:
    size = 1 << 30
    tracemalloc.start()
    content = zipped("x", large_csv(b"a,b\r\n" * 3, ["1"], size), AT)
    length = sum(len(piece) for piece in content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == content.length > size
    assert peak < 16 << 20


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=300_000), st.integers(0, 130)), max_size=3))
def test_any_content_survives_its_zip(runs: list[tuple[bytes, int]]) -> None:
    content = Content(runs=tuple((piece[:2000], times) for piece, times in runs) or ((b"", 1),))
    archive = zipped("né.csv", content, AT)
    data = b"".join(archive)
    assert len(data) == archive.length
    assert unzipped(data) == ("né.csv", b"".join(content))


@settings(deadline=None)
@given(header=st.integers(3, 5000), size=st.integers(1 << 16, 5 << 20))
def test_any_large_size_is_met(header: int, size: int) -> None:
    content = large_csv(b"h" * (header - 2) + b"\r\n", ["1", "2"], size)
    data = b"".join(content)
    assert len(data) == content.length == size
    assert {len(row) for row in rows(data)[1:]} == {3}
    assert hashlib.sha256(data).digest() == hashlib.sha256(b"".join(content)).digest()
