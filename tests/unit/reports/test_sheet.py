"""Reading a Google Sheet through the provider's hook, from the sandbox's Google."""

from __future__ import annotations

from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.core.report import ReportRow
from interchange.errors import InterchangeError, NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.reports import open_report
from interchange.settings.ticket_closure import SheetSource
from tests.unit.vendors import Connections, arm, calls


def source(**changes: Any) -> SheetSource:
    return SheetSource.model_validate(
        {"kind": "sheet", "spreadsheet_id": "report", "range": "Sheet1!A2:F", **changes}
    )


def read(**changes: Any) -> list[ReportRow]:
    with open_report(source(**changes)) as rows:
        return list(rows)


@pytest.fixture(autouse=True)
def _quick(airflow: Connections) -> None:
    # The client library's own repeats wait for up to a minute.
    airflow.change("google_cloud_default", extra={"num_retries": 0})


def test_rows_bear_the_numbers_a_person_sees(sandbox: Sandbox) -> None:
    sandbox.vendor("google").seed({"rows": [["head"], ["a", "b"], [], ["c", {"date": "2026-11-02"}]]})

    assert read() == [
        ReportRow(number=2, cells=("a", "b")),
        ReportRow(number=3, cells=()),
        ReportRow(number=4, cells=("c", "02/11/2026")),
    ]
    assert read(range="Sheet1")[0].number == 1
    assert read(range="Sheet1!A:B")[0].number == 1
    assert read(range="'Sheet1'!$B$4:C")[0] == ReportRow(number=4, cells=("02/11/2026",))


def test_an_empty_sheet_has_no_rows(sandbox: Sandbox) -> None:
    sandbox.vendor("google").seed({"rows": []})
    assert read() == []


def test_asks_for_the_right_to_read_and_no_more(sandbox: Sandbox, airflow: Connections) -> None:
    airflow.change("google_cloud_default", extra={"scope": "https://www.googleapis.com/auth/cloud-platform"})
    read()
    ((_, scopes, _),) = sandbox.vendor("google").tokens.values()
    assert scopes == {"https://www.googleapis.com/auth/spreadsheets.readonly"}


def test_one_call_reads_all(sandbox: Sandbox) -> None:
    read()
    assert len(calls(sandbox, "get_values")) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, Unavailable), (503, Unavailable), (429, RateLimited), (404, NotFound), (400, Refused)],
)
def test_each_answer_has_its_class(sandbox: Sandbox, status: int, error: type[InterchangeError]) -> None:
    arm(sandbox, "google", "status", call=1, operation="get_values", status=status)
    with pytest.raises(error) as caught:
        read()
    assert type(caught.value) is error


@pytest.mark.parametrize("kind", ["reset", "truncate"])
@pytest.mark.parametrize("operation", ["get_values", "token"])
def test_a_broken_line_means_later(sandbox: Sandbox, kind: str, operation: str) -> None:
    arm(sandbox, "google", kind, call=1, operation=operation, times=20)
    with pytest.raises(Unavailable):
        read()


def test_what_a_person_must_do_is_said(sandbox: Sandbox, airflow: Connections) -> None:
    with pytest.raises(NotFound, match="spreadsheet_id"):
        read(spreadsheet_id="other")
    with pytest.raises(Refused, match=r"source\.range"):
        read(range="Sheet9!A1:B")
    with pytest.raises(SettingsError, match="there is no connection other"):
        read(conn_id="other")
    sandbox.vendor("google").seed({"shared": False})
    with pytest.raises(Refused, match="share the spreadsheet with the service account"):
        read()


def test_the_quota_of_a_minute_is_waited_for(sandbox: Sandbox) -> None:
    sandbox.vendor("google").set_options({"reads_per_minute": 0})
    with pytest.raises(RateLimited) as caught:
        read()
    assert caught.value.retry_after_s == 60


def test_a_key_that_is_no_longer_valid_is_said(sandbox: Sandbox, airflow: Connections) -> None:
    """Defect B14: the unattended job waited on a log-in page."""
    import json

    key = json.loads(airflow.extra_of("google_cloud_default")["keyfile_dict"])
    key["client_email"] = "somebody-else@sandbox-project.iam.gserviceaccount.com"
    airflow.change("google_cloud_default", extra={"keyfile_dict": json.dumps(key)})
    with pytest.raises(Refused, match="still valid") as caught:
        read()
    assert "PRIVATE" not in str(caught.value)


def test_a_broken_key_is_said_and_not_shown(airflow: Connections) -> None:
    airflow.change("google_cloud_default", extra={"keyfile_dict": '{"private_key": "secret-of-a-test"}'})
    with pytest.raises(SettingsError) as caught:
        read()
    assert "secret-of-a-test" not in str(caught.value)
