"""The Qualtrics client against the simulated Qualtrics."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.qualtrics.defaults import API_TOKEN
from interchange.core.qualtrics_options import build_export_body
from interchange.errors import NotFound, OutcomeUnknown, RateLimited, Refused, SettingsError, Unavailable
from interchange.hooks.qualtrics import JobStatus, Progress, QualtricsHook
from interchange.ledger.limits import RateLimiter
from tests.unit.vendors import WINDOW, Connections, Waits, arm, calls, effects, statuses

SURVEY = "SV_0symptoms"
BODY = build_export_body("csv", {}, WINDOW)


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> Iterator[QualtricsHook]:
    made = QualtricsHook(pause=waits)
    yield made
    made.close()


def options(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("qualtrics").set_options(values)


def seed(sandbox: Sandbox, **data: Any) -> None:
    sandbox.vendor("qualtrics").seed(data)


# Credentials


def test_one_token_serves_many_calls(sandbox: Sandbox, hook: QualtricsHook):
    for _ in range(3):
        hook.whoami()
    assert len(calls(sandbox, "token")) == 1
    assert calls(sandbox, "token")[0]["headers"]["Authorization"] == "Basic …"
    assert {entry["headers"]["Authorization"] for entry in calls(sandbox, "whoami")} == {"Bearer …"}


def test_a_token_is_renewed_before_its_end(sandbox: Sandbox, hook: QualtricsHook):
    """A token of one second is old after nine tenths of it: no call is ever made with it afterwards."""
    # The shortest that the vendor's whole seconds allow.
    options(sandbox, token_expires_in_s=1)
    while len(calls(sandbox, "token")) < 2:
        hook.whoami()
    assert set(statuses(sandbox, "whoami")) == {200}, "no call went out with an expired token"
    assert len(calls(sandbox, "whoami")) > 2


def test_a_revoked_token_is_replaced_once(sandbox: Sandbox, hook: QualtricsHook):
    hook.whoami()
    seed(sandbox, revoke_tokens=True)
    hook.whoami()
    assert statuses(sandbox, "whoami") == [200, 401, 200]
    assert len(calls(sandbox, "token")) == 2


def test_a_token_revoked_in_mid_export_does_not_lose_the_job(sandbox: Sandbox, hook: QualtricsHook):
    progress_id = hook.start_export(SURVEY, BODY)
    seed(sandbox, revoke_tokens=True)
    progress = finished(hook, progress_id)
    seed(sandbox, revoke_tokens=True)
    with hook.export_file(SURVEY, str(progress.file_id)) as download:
        assert b"".join(download.chunks()).startswith(b"PK")
    assert len(effects(sandbox, "export_started")) == 1


def test_a_static_token_wins_and_is_not_renewed(airflow: Connections, sandbox: Sandbox, waits: Waits):
    airflow.change("qualtrics_default", extra={"api_token": API_TOKEN})
    QualtricsHook(pause=waits).whoami()
    assert not calls(sandbox, "token")
    assert "Authorization" not in calls(sandbox, "whoami")[0]["headers"]
    airflow.change("qualtrics_default", extra={"api_token": "another"})
    with pytest.raises(Refused, match=r"DCD_7.*connection qualtrics_default"):
        QualtricsHook(pause=waits).whoami()
    assert statuses(sandbox, "whoami") == [200, 401]


@pytest.mark.parametrize("envelope", [False, True])
def test_a_wrong_client_is_told_in_either_form_of_answer(
    envelope: bool, airflow: Connections, sandbox: Sandbox, waits: Waits
):
    options(sandbox, token_error_envelope=envelope)
    airflow.change("qualtrics_default", password="wrong-password-text")
    with pytest.raises(Refused, match=r"token: not allowed \((invalid_client|AUTH_6\.0)\)") as raised:
        QualtricsHook(pause=waits).whoami()
    assert "qualtrics_default" in str(raised.value)
    assert "wrong-password-text" not in str(raised.value)
    assert len(calls(sandbox, "token")) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": None}, "login and password"),
        ({"login": None}, "login and password"),
        ({"host": None}, "host"),
    ],
)
def test_a_missing_field_is_named(
    fields: dict[str, Any], words: str, airflow: Connections, sandbox: Sandbox, waits: Waits
):
    airflow.change("qualtrics_default", **fields)
    with pytest.raises(SettingsError, match=f"connection qualtrics_default: .*{words}"):
        QualtricsHook(pause=waits).whoami()
    assert not sandbox.requests.entries()


def test_a_missing_scope_is_a_permission_to_ask_for(
    airflow: Connections, sandbox: Sandbox, hook: QualtricsHook
):
    seed(sandbox, clients=[{"id": "poor", "secret": "poor-secret", "scopes": ["read:surveys"]}])
    airflow.change("qualtrics_default", login="poor", password="poor-secret")
    with pytest.raises(Refused, match=r"qualtrics\.token: refused by the vendor \(invalid_scope\) \(HTTP"):
        hook.start_export(SURVEY, BODY)


def test_the_test_button_says_what_it_proved(airflow: Connections, sandbox: Sandbox):
    assert QualtricsHook().test_connection() == (True, "Qualtrics answers for brand sandbox")
    airflow.change("qualtrics_default", password="wrong")
    worked, words = QualtricsHook().test_connection()
    assert not worked
    assert "check the credentials" in words
    assert not effects(sandbox, "export_started")


# Surveys


def test_a_survey_is_found_by_name_on_any_page(sandbox: Sandbox, hook: QualtricsHook):
    seed(sandbox, many_surveys=230)
    assert hook.survey_id_of("Survey no. 229") == "SV_0many00229"
    assert [entry["query"] for entry in calls(sandbox, "list_surveys")] == [
        {},
        {"offset": ["100"]},
        {"offset": ["200"]},
    ]


def test_pages_are_followed_whatever_the_cursor_is_called(sandbox: Sandbox, hook: QualtricsHook):
    seed(sandbox, many_surveys=120)
    options(sandbox, cursor_parameter="skipToken")
    assert len(list(hook.list_surveys())) == 123


def test_a_survey_name_must_be_exact_and_unique(sandbox: Sandbox, hook: QualtricsHook):
    with pytest.raises(SettingsError, match=r"no survey has the name 'symptom tracker' in qualtrics_default"):
        hook.survey_id_of("symptom tracker")
    twin = {"id": "SV_0twin", "name": "Symptom tracker", "questions": []}
    seed(sandbox, surveys=[twin])
    with pytest.raises(SettingsError, match=r"2 surveys \(SV_0symptoms, SV_0twin\).*give survey_id"):
        hook.survey_id_of("Symptom tracker")


# Jobs


def finished(hook: QualtricsHook, progress_id: str) -> Progress:
    for _ in range(10):
        progress = hook.export_progress(SURVEY, progress_id)
        if progress.status is not JobStatus.IN_PROGRESS:
            return progress
    raise AssertionError("the job does not end")


def test_an_export_is_started_polled_and_fetched(sandbox: Sandbox, hook: QualtricsHook, tmp_path: Path):
    options(sandbox, chunked_files=False)
    progress_id = hook.start_export(SURVEY, BODY)
    first = hook.export_progress(SURVEY, progress_id)
    assert (first.status, first.percent, first.file_id) == (JobStatus.IN_PROGRESS, 0.0, None)
    progress = finished(hook, progress_id)
    assert progress.file_id not in (None, progress_id)
    with hook.export_file(SURVEY, str(progress.file_id)) as download:
        content = b"".join(download.chunks(1000))
    assert download.length == len(content)
    (tmp_path / "export.zip").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        assert archive.read(archive.namelist()[0]).startswith(b"StartDate,")
    started = effects(sandbox, "export_started")
    assert [entry["startDate"] for entry in started] == ["2026-11-01T00:00:00Z"]
    assert [entry["endDate"] for entry in started] == ["2026-11-01T06:00:00Z"]


def test_the_length_is_of_the_file_itself(sandbox: Sandbox, hook: QualtricsHook):
    """Offered gzip, the vendor wraps the ZIP in it and announces the wrapped length; so it is not offered."""
    options(sandbox, gzip_files=True)
    progress = finished(hook, hook.start_export(SURVEY, BODY))
    with hook.export_file(SURVEY, str(progress.file_id)) as download:
        assert sum(map(len, download.chunks())) == download.length
    assert calls(sandbox, "export_file")[0]["headers"]["Accept-Encoding"] == "identity"


def test_the_file_is_asked_for_by_its_own_id(sandbox: Sandbox, hook: QualtricsHook):
    """The vendor knows no file by a progress id."""
    progress_id = hook.start_export(SURVEY, BODY)
    finished(hook, progress_id)
    with pytest.raises(NotFound), hook.export_file(SURVEY, progress_id):
        pass


@pytest.mark.parametrize("null", [False, True])
def test_a_running_job_has_no_file(null: bool, sandbox: Sandbox, hook: QualtricsHook):
    """Also at 100 %, and whether the key is missing or null."""
    options(sandbox, file_id_null=null, polls_until_complete=1, full_percent_polls=2)
    progress_id = hook.start_export(SURVEY, BODY)
    polls = [hook.export_progress(SURVEY, progress_id) for _ in range(4)]
    assert [poll.percent for poll in polls] == [0.0, 100.0, 100.0, 100.0]
    assert [poll.status for poll in polls] == [JobStatus.IN_PROGRESS] * 3 + [JobStatus.COMPLETE]
    assert [poll.file_id is None for poll in polls] == [True, True, True, False]


@pytest.mark.parametrize("with_error", [False, True])
def test_a_failed_job_is_told_by_its_status_alone(with_error: bool, sandbox: Sandbox, hook: QualtricsHook):
    """HTTP 200, 100 percent, and no file."""
    options(sandbox, fail_jobs=1, failed_with_error=with_error)
    progress = finished(hook, hook.start_export(SURVEY, BODY))
    assert (progress.status, progress.percent, progress.file_id) == (JobStatus.FAILED, 100.0, None)
    assert progress.request_id, "support asks for it"


def test_a_job_that_is_gone_is_not_there(sandbox: Sandbox, hook: QualtricsHook, waits: Waits):
    options(sandbox, vanish_jobs=1)
    progress_id = hook.start_export(SURVEY, BODY)
    hook.export_progress(SURVEY, progress_id)
    with pytest.raises(NotFound, match=r"qualtrics\.export_progress: not there"):
        hook.export_progress(SURVEY, progress_id)
    assert not waits


@pytest.mark.parametrize("kind", ["lose_answer", "reset", "truncate", "html"])
def test_a_start_whose_answer_is_lost_is_not_repeated(kind: str, sandbox: Sandbox, hook: QualtricsHook):
    arm(sandbox, "qualtrics", kind, operation="start_export", status=200)
    with pytest.raises(OutcomeUnknown):
        hook.start_export(SURVEY, BODY)
    assert len(calls(sandbox, "start_export")) == 1


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_poll_whose_answer_is_lost_is_repeated(kind: str, sandbox: Sandbox, hook: QualtricsHook):
    options(sandbox, polls_until_complete=9)
    progress_id = hook.start_export(SURVEY, BODY)
    arm(sandbox, "qualtrics", kind, operation="export_progress", times=2)
    assert hook.export_progress(SURVEY, progress_id).status is JobStatus.IN_PROGRESS


def test_an_id_with_strange_letters_stays_one_segment(sandbox: Sandbox, hook: QualtricsHook):
    with pytest.raises(NotFound):
        hook.export_progress(SURVEY, "../../whoami?x=1#y")
    (asked,) = calls(sandbox, "export_progress", "unknown", "whoami")
    assert asked["path"].endswith("/export-responses/../../whoami?x=1#y")


# Errors in the vendor's words


def test_an_error_quotes_code_and_request_but_no_message(sandbox: Sandbox, hook: QualtricsHook):
    with pytest.raises(NotFound, match=r"SANDBOX_SURVEY.*HTTP 404, request [0-9a-f]{32}") as raised:
        hook.start_export("SV_0unknown", BODY)
    assert "does not exist" not in str(raised.value)
    options(sandbox, server_errors=-1, server_error_status=500)
    with pytest.raises(Unavailable, match=r"\(SURVEYS_1\.2 [0-9a-f]{32}\) \(HTTP 500, request"):
        hook.whoami()


def test_a_refused_start_says_where_to_look(sandbox: Sandbox, hook: QualtricsHook):
    with pytest.raises(Refused, match=r"QVAL_7\): check the export's options.*own datacenter \(HTTP 400"):
        hook.start_export(SURVEY, {**BODY, "timeZone": "EST"})


def test_another_datacenter_is_told(
    airflow: Connections,
    sandbox: Sandbox,
    waits: Waits,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    """With an API token reads are proxied and carry a notice, a start is refused; a bearer is not known."""
    caplog.set_level(logging.INFO)
    options(sandbox, wrong_datacenter=True)
    airflow.change("qualtrics_default", extra={"api_token": API_TOKEN})
    hook = QualtricsHook(pause=waits)
    hook.whoami()
    printed = capsys.readouterr()
    assert "correct the connection's host" in caplog.text + printed.out + printed.err
    with pytest.raises(Refused, match="own datacenter"):
        hook.start_export(SURVEY, BODY)
    airflow.change("qualtrics_default", extra={"api_token": None})
    with pytest.raises(Refused, match=r"DCD_7\): check the credentials"):
        QualtricsHook(pause=waits).whoami()


# Limits


def test_starts_count_against_their_own_limit_and_the_brands(airflow: Connections, worker: Any, waits: Waits):
    hook = QualtricsHook(pause=waits, limiter=RateLimiter(worker("ann").engine))
    assert [limit.limit for limit in hook.limits_of("qualtrics.start_export")] == [3000, 100]
    assert [limit.limit for limit in hook.limits_of("qualtrics.export_progress")] == [3000, 1000]
    assert [limit.limit for limit in hook.limits_of("qualtrics.whoami")] == [3000]
    assert hook.limits_of("qualtrics.token") == []
    for _ in range(11):
        hook.start_export(SURVEY, BODY)
    assert len(waits) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_429_is_obeyed_with_and_without_a_number(announced: bool, sandbox: Sandbox, hook: QualtricsHook):
    options(sandbox, limit_start=1, limit_period_s=60.0, retry_after=announced)
    hook.start_export(SURVEY, BODY)
    with pytest.raises(RateLimited, match="RATE_LIMIT_EXCEEDED") as raised:
        hook.start_export(SURVEY, BODY)
    assert 25 < raised.value.retry_after_s <= 60
    assert len(effects(sandbox, "export_started")) == 1
