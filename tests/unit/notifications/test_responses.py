"""Personal messages for the responses of an export: each once for ever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.core.qualtrics_options import build_export_body
from interchange.errors import NotFound, Refused, SettingsError, Unavailable
from interchange.exports import DAG_ID, PlannedExport
from interchange.hooks.qualtrics import QualtricsHook
from interchange.ledger import Ledger, RunRef, State
from interchange.ledger.limits import RateLimiter
from interchange.notifications.responses import PUSH, notify
from interchange.settings.qualtrics_to_onedrive import Export
from tests.unit.vendors import WINDOW, Connections, arm, calls, effects

SURVEY = "SV_0notify"
QUESTIONS = [
    {"id": "QID1", "tag": "Q1", "text": "Well?", "choices": {"1": "Yes", "2": "No"}},
    {"id": "QID2", "tag": "Q2", "text": "Who?", "kind": "text"},
]
RULE = {
    "name": "unwell",
    "when": {"column": "Q1", "equals": "2"},
    "title": "Stay at home, {{ row.Q2 }}",
    "body": "<p>Dear {{ row.Q2 }}</p>",
    "send_tag": "university",
}


@pytest.fixture
def survey(airflow: Connections, sandbox: Sandbox) -> None:
    """Five responses in the window, of which three say no."""
    vendor = sandbox.vendor("qualtrics")
    vendor.set_options({"polls_until_complete": 0})
    vendor.seed({"surveys": [{"id": SURVEY, "name": "Notify", "questions": QUESTIONS}]})
    for number, (answer, name) in enumerate([(2, "Ann"), (1, "Bob"), (2, "Cid"), (1, "Dan"), (2, "Eve")]):
        answer_of(sandbox, f"R_{number}", answer, name, minute=number)


def answer_of(sandbox: Sandbox, response: str, answer: int, name: str, *, minute: int = 30) -> None:
    recorded = f"2026-11-01T01:{minute:02}:00Z"
    sandbox.vendor("qualtrics").seed(
        {
            "responses": [
                {
                    "survey_id": SURVEY,
                    "id": response,
                    "recordedDate": recorded,
                    "values": {"Q1": answer, "Q2": name},
                }
            ]
        }
    )


Notify = Callable[..., dict[str, int]]


@pytest.fixture
def run(survey: None, worker: Callable[..., Ledger]) -> Notify:
    """Export the window and send what its rules call for, as one worker's try does."""

    def send(
        owner: str, *rules: dict[str, Any], export_format: str = "csv", options: dict[str, Any] | None = None
    ) -> dict[str, int]:
        export = Export.model_validate(
            {
                "name": "checks",
                "survey_id": SURVEY,
                "format": export_format,
                "options": options or {},
                "destination": {"user": "u", "file_name": "f"},
                "notify": list(rules or [RULE]),
            }
        )
        planned = PlannedExport(
            name="checks",
            format=export_format,
            window_start=WINDOW.start_text,
            window_end=WINDOW.end_text,
            asked_for=False,
            file_name="f.zip",
            destination="OneDrive",
            settings_digest="",
        )
        qualtrics = QualtricsHook()
        body = build_export_body(export_format, export.options, WINDOW)
        progress = qualtrics.export_progress(SURVEY, qualtrics.start_export(SURVEY, body))
        qualtrics.close()
        ledger = worker(owner)
        return notify(
            planned,
            export,
            {"survey_id": SURVEY, "file_id": progress.file_id},
            ledger=ledger,
            limiter=RateLimiter(ledger.engine),
            run=RunRef(dag_id=DAG_ID, run_id="run", request=owner),
            lease_s=30,
        )

    return send


def counts(**given: int) -> dict[str, int]:
    return {"sent": 0, "sent_before": 0, "quarantined": 0, "unknown": 0} | given


def titles(sandbox: Sandbox) -> list[str]:
    return [entry["title"] for entry in effects(sandbox, "message_sent")]


EVERYBODY = ["Stay at home, Ann", "Stay at home, Cid", "Stay at home, Eve"]


@pytest.mark.parametrize("export_format", ["csv", "tsv", "json", "ndjson"])
@pytest.mark.parametrize("compress", [True, False])
def test_who_fits_a_rule_gets_a_message(export_format: str, compress: bool, sandbox: Sandbox, run: Notify):
    columns = {"Q1": "QID1", "Q2": "QID2_TEXT"} if "json" in export_format else {"Q1": "Q1", "Q2": "Q2"}
    text = json.dumps(RULE).replace("row.Q2", f"row.{columns['Q2']}").replace('"Q1"', f'"{columns["Q1"]}"')
    summary = run("ann", json.loads(text), export_format=export_format, options={"compress": compress})
    assert summary == counts(sent=3)
    assert titles(sandbox) == EVERYBODY
    (first, *_) = effects(sandbox, "message_sent")
    assert (first["style"], first["send_tag"], first["push"]) == ("information", "university", True)


def test_a_message_is_sent_once_for_ever(sandbox: Sandbox, run: Notify):
    """Whatever exports its response again: a later window, a clear, a backfill, an edited response."""
    assert run("ann") == counts(sent=3)
    answer_of(sandbox, "R_0", 2, "Ann, edited")
    answer_of(sandbox, "R_9", 2, "Fay")
    assert run("bob") == counts(sent=1, sent_before=3)
    assert titles(sandbox) == [*EVERYBODY, "Stay at home, Fay"]


def test_each_rule_sends_its_own(sandbox: Sandbox, run: Notify):
    other = {**RULE, "name": "named", "when": {"column": "Q2", "matches": "A.*|B.*"}, "title": "Hello"}
    assert run("ann", RULE, other) == counts(sent=5)
    assert titles(sandbox).count("Hello") == 2


@pytest.mark.parametrize("kind", ["lose_answer", "reset", "status_after", "html"])
def test_a_message_whose_answer_was_lost_is_not_sent_again_but_reported(
    kind: str, sandbox: Sandbox, run: Notify, worker: Callable[..., Ledger]
):
    """The others are sent all the same, and nobody is told that all went well."""
    arm(sandbox, "modo", kind, operation="send_message", call=2, status=502)
    for owner in ("ann", "bob"):
        with pytest.raises(Refused, match=r"1 message\(s\) may have been sent.*interchange unknown list"):
            run(owner)
    assert len(calls(sandbox, "send_message")) == 3
    (unknown,) = worker("eve").list(workflow=DAG_ID, kind=PUSH, state=State.UNKNOWN)
    worker("eve").settle(unknown.ref, to=State.CONFIRMED, by="eve", reason="asked them")
    assert run("cid") == counts(sent_before=3)
    assert len(calls(sandbox, "send_message")) == 3


def test_a_modo_that_is_down_is_tried_again_where_it_stopped(sandbox: Sandbox, run: Notify):
    arm(sandbox, "modo", "status", status=429, retry_after="60", operation="send_message", call=2)
    with pytest.raises(Unavailable):
        run("ann")
    assert titles(sandbox) == EVERYBODY[:1]
    assert run("bob") == counts(sent=2, sent_before=1)
    assert titles(sandbox) == EVERYBODY


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_message_that_modo_refuses_is_set_aside(
    status: int, sandbox: Sandbox, run: Notify, worker: Callable[..., Ledger]
):
    arm(sandbox, "modo", "status", status=status, operation="send_message", call=2)
    assert run("ann") == counts(sent=2, quarantined=1)
    assert run("bob") == counts(sent_before=2, quarantined=1)
    (aside,) = worker("eve").list(workflow=DAG_ID, kind=PUSH, state=State.QUARANTINED)
    assert (aside.field, aside.reason) == ("message", f"Modo refuses it (HTTP {status})")
    worker("eve").replay(aside.ref, by="eve", reason="try again")
    assert run("cid") == counts(sent=1, sent_before=2)


@pytest.mark.parametrize("status", [401, 403, 404, 500 + 1])
def test_a_refusal_that_concerns_all_stops_at_once(status: int, sandbox: Sandbox, run: Notify):
    arm(sandbox, "modo", "status", status=status, operation="send_message", times=9)
    with pytest.raises(Refused):
        run("ann")
    assert len(calls(sandbox, "send_message")) == 1
    sandbox.clear_faults()
    assert run("bob") == counts(sent=3)


def test_a_response_that_a_template_cannot_take_is_set_aside(
    sandbox: Sandbox, run: Notify, worker: Callable[..., Ledger]
):
    answer_of(sandbox, "R_0", 2, "A" * 200)
    answer_of(sandbox, "R_2", 2, "")
    rule = {**RULE, "body": "{{ row.Q2 }}"}
    assert run("ann", rule) == counts(sent=1, quarantined=2)
    aside = worker("eve").list(workflow=DAG_ID, kind=PUSH, state=State.QUARANTINED, newest_first=False)
    assert {effect.field for effect in aside} == {"title", "body"}
    assert all("AAA" not in (effect.reason or "") for effect in aside), "no answers in the ledger"


def test_a_rule_for_a_column_that_is_not_there_is_a_setting(sandbox: Sandbox, run: Notify):
    wrong = {**RULE, "when": {"column": "Q7", "equals": "2"}}
    with pytest.raises(SettingsError, match=r"notify rule 'unwell': the export has no column 'Q7'"):
        run("ann", wrong)
    assert not calls(sandbox, "send_message")


def test_in_json_an_unanswered_question_is_no_mistake(sandbox: Sandbox, run: Notify):
    """There it is simply left out."""
    wrong = {**RULE, "when": {"column": "QID7", "equals": "2"}}
    assert run("ann", wrong, export_format="json") == counts()


def test_answers_cannot_write_html(sandbox: Sandbox, run: Notify):
    answer_of(sandbox, "R_0", 2, '<script>alert("x")</script> & {{ 7 * 7 }}')
    run("ann", {**RULE, "title": "To you"})
    body = "<p>Dear &lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; {{ 7 * 7 }}</p>"
    sent = {entry["body_sha256"] for entry in effects(sandbox, "message_sent")}
    assert hashlib.sha256(body.encode()).hexdigest() in sent


def test_keys_name_nobody(sandbox: Sandbox, run: Notify, worker: Callable[..., Ledger]):
    run("ann")
    for effect in worker("eve").list(workflow=DAG_ID, kind=PUSH):
        assert "R_" not in effect.ref.key
        assert effect.receipt == {"rule": "unwell"}


def test_without_a_fernet_key_nothing_is_sent(sandbox: Sandbox, run: Notify, monkeypatch: pytest.MonkeyPatch):
    """Its keys could be guessed, and every message would look new once there is one."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")
    with pytest.raises(SettingsError, match="No Fernet key"):
        run("ann")
    assert not calls(sandbox, "send_message")


@pytest.mark.parametrize("damage", [{"corrupt_zips": 1}, {"html_files": 1}, {"empty_files": 1}])
def test_a_damaged_file_is_fetched_again(damage: dict[str, int], sandbox: Sandbox, run: Notify):
    sandbox.vendor("qualtrics").set_options(damage)
    with pytest.raises(Unavailable):
        run("ann")
    before = len(titles(sandbox))
    assert run("bob") == counts(sent=3 - before, sent_before=before)
    assert titles(sandbox) == EVERYBODY


def test_a_file_whose_week_is_over_cannot_be_read(sandbox: Sandbox, run: Notify):
    sandbox.vendor("qualtrics").set_options({"files_kept_s": 0})
    with pytest.raises(NotFound):
        run("ann")
