"""Reading an Excel workbook from a real S3 emulator."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import openpyxl  # type: ignore[import-untyped]  # it has no types
import pytest

from include.sandbox.emulators import S3
from interchange.core.report import ReportRow
from interchange.errors import NotFound, Refused, SettingsError, Unavailable
from interchange.reports import open_report
from interchange.settings.ticket_closure import ExcelSource

DAY = datetime(2026, 11, 2)  # noqa: DTZ001  # Excel knows no zone
HEADER = ["Firstname", "Lastname", "Email", "Ticket", "Status", "Date"]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with S3() as running:
        running.create_bucket("reports")
        yield running


@pytest.fixture
def put(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Store bytes as the report, or a workbook of these sheets."""
    import json

    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(s3.connection()))
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    fields = s3.connection()
    client = boto3.client(
        "s3",
        endpoint_url=s3.url,
        region_name="us-east-1",
        aws_access_key_id=fields["login"],
        aws_secret_access_key=fields["password"],
    )

    def store(content: bytes | dict[str, list[list[Any]]]) -> None:
        if isinstance(content, dict):
            book = openpyxl.Workbook()
            book.remove(book.active)
            for title, rows in content.items():
                sheet = book.create_sheet(title)
                for row in rows:
                    sheet.append(row)
            stream = io.BytesIO()
            book.save(stream)
            content = stream.getvalue()
        client.put_object(Bucket="reports", Key="weekly/report.xlsx", Body=content)

    return store


def source(**changes: Any) -> ExcelSource:
    fields = {"kind": "excel", "bucket": "reports", "key": "weekly/report.xlsx"}
    return ExcelSource.model_validate({**fields, **changes})


def read(**changes: Any) -> list[ReportRow]:
    with open_report(source(**changes)) as rows:
        return list(rows)


def test_cells_come_as_excel_has_them(put: Any) -> None:
    """Defect B16: the Excel reader was never called, and guessed which number was the month."""
    put(
        {
            "Sheet1": [
                HEADER,
                ["Ann", None, "ann@example.com", 7, "Closed", DAY],
                [],
                ["Bob"],
            ]
        }
    )

    rows = read()

    assert rows[0] == ReportRow(number=1, cells=tuple(HEADER))
    assert rows[1].cells == ("Ann", None, "ann@example.com", 7, "Closed", DAY)
    assert rows[3].number == 4
    assert rows[3].cells[0] == "Bob"


def test_the_sheet_is_chosen_by_name(put: Any) -> None:
    put({"Notes": [["x"]], "Report": [["y"]]})

    assert read()[0].cells == ("x",)
    assert read(sheet="Report")[0].cells == ("y",)
    with pytest.raises(
        SettingsError, match=r"no sheet 'Raport'; it has: Notes, Report\. Did you mean .Report"
    ):
        read(sheet="Raport")


@pytest.mark.parametrize("content", [b"", b"\xd0\xcf\x11\xe0 an old .xls", b"PK\x03\x04 cut", b"text"])
def test_what_is_no_workbook_is_said(put: Any, content: bytes) -> None:
    put(content)
    with pytest.raises(SettingsError, match="is no Excel workbook"):
        read()


def test_a_cut_workbook_is_said(put: Any) -> None:
    stream = io.BytesIO()
    book = openpyxl.Workbook()
    for number in range(1000):
        book.active.append([number, "text"])
    book.save(stream)
    put(stream.getvalue()[: len(stream.getvalue()) // 2])
    with pytest.raises(SettingsError, match="is no Excel workbook"):
        read()


def test_what_is_missing_is_said(put: Any) -> None:
    put({"Sheet1": [HEADER]})
    with pytest.raises(NotFound, match="s3://reports/other"):
        read(key="other.xlsx")
    with pytest.raises(NotFound):
        read(bucket="no-such-bucket")
    with pytest.raises(SettingsError, match="connection other"):
        read(conn_id="other")


def test_a_store_that_is_away_means_later(put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from tools.processes import free_ports

    fields = {
        "conn_type": "aws", "login": "a-key-of-tests", "password": "a-secret-of-tests",
        "extra": {
            "endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}", "region_name": "us-east-1",
            "config_kwargs": {"retries": {"max_attempts": 1}},
        },
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(fields))
    with pytest.raises(Unavailable):
        read()


def test_nothing_is_left_on_disk(put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect B13: the whole report was left on the disk."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    put({"Sheet1": [HEADER]})
    read()
    with pytest.raises((SettingsError, Refused)):
        read(sheet="none")
    assert list(tmp_path.iterdir()) == []
