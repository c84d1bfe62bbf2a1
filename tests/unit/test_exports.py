"""The plan of a run: from settings, form and window, without a call."""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace
from typing import Any

import pytest

from interchange.core.windows import Window
from interchange.errors import SettingsError
from interchange.exports import PlannedExport, export_of, plan_exports
from tests.unit.vendors import TRACKER, USER, WINDOW, context, exports

FEEDBACK: dict[str, Any] = {
    "name": "feedback",
    "survey_name": "Course feedback",
    "format": "tsv",
    "options": {"useLabels": True},
    "window": "lookback",
    "lookback_hours": 24,
    "destination": {"url": "file:///data/exports", "file_name": "feedback"},
}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    exports(monkeypatch, TRACKER, FEEDBACK)


def test_a_plan_says_what_will_be_where():
    tracker, feedback = plan_exports(context())
    assert tracker == PlannedExport(
        name="tracker",
        format="csv",
        window_start="2026-11-01T00:00:00Z",
        window_end="2026-11-01T06:00:00Z",
        asked_for=False,
        file_name="tracker_20261101T000000Z-20261101T060000Z.zip",
        destination="OneDrive (onedrive_default): /Exports/tracker_20261101T000000Z-20261101T060000Z.zip",
        settings_digest=tracker.settings_digest,
    )
    assert tracker.window == WINDOW
    assert (feedback.window_start, feedback.window_end) == ("2026-10-31T06:00:00Z", "2026-11-01T06:00:00Z")
    assert feedback.destination == "file:///data/exports/feedback.zip"


def test_a_plan_holds_no_address():
    """It is shown in the grid and kept in Airflow's database."""
    for planned in plan_exports(context()):
        assert USER not in json.dumps(planned.as_json())
        assert PlannedExport(**json.loads(json.dumps(planned.as_json()))) == planned


def test_the_root_of_a_drive_is_written_with_one_slash(monkeypatch: pytest.MonkeyPatch):
    for folder in ("", "/", "A/B/"):
        exports(monkeypatch, {**TRACKER, "destination": {**TRACKER["destination"], "folder": folder}})
        (planned,) = plan_exports(context())
        assert "//" not in planned.destination


def test_the_form_chooses_exports_and_window():
    (planned,) = plan_exports(
        context(
            exports=["feedback"], window_start="2026-01-01T00:00:00+01:00", window_end="2026-01-02T00:00:00Z"
        )
    )
    assert (planned.name, planned.asked_for) == ("feedback", True)
    assert planned.window == Window(
        dt.datetime(2025, 12, 31, 23, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    )


@pytest.mark.parametrize("empty", [None, [], ""])
def test_an_empty_form_means_everything(empty: object):
    assert len(plan_exports(context(exports=empty, format=empty or None))) == 2


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"exports": ["Tracker"]},
            r"'Tracker' is no export; allowed: tracker, feedback\. Did you mean 'tracker'",
        ),
        ({"exports": ["feedbck", "tracker"]}, r"'feedbck'.* Did you mean 'feedback'"),
        ({"exports": ["else"]}, r"'else' is no export; allowed: tracker, feedback\.$"),
        ({"exports": "tracker"}, "'tracker' is not a list of names"),
        ({"exports": [1]}, "'1' is no export;"),
        ({"format": "pdf"}, r"export 'tracker' cannot be made as 'pdf'.*allowed: csv, json"),
        (
            {"format": "json"},
            r"export 'feedback' cannot be made as 'json'.*useLabels.*refused by Qualtrics",
        ),
        ({"window_start": "2026-01-01T00:00:00Z"}, "window_start is given without window_end"),
        ({"window_start": "yesterday", "window_end": "2026-01-01T00:00:00Z"}, "window_start"),
    ],
)
def test_a_mistake_on_the_form_is_explained(params: dict[str, Any], words: str):
    with pytest.raises(SettingsError, match=words):
        plan_exports(context(**params))


def test_a_window_far_ahead_is_a_slip_of_the_pen():
    """The run would wait for it, maybe for years. Today's window is waited for."""
    now = dt.datetime.now(dt.UTC)
    start, near, far = (
        (now + dt.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (-1, 20, 30)
    )
    assert plan_exports(context(window_start=start, window_end=near))
    with pytest.raises(SettingsError, match=f"window_end: {far} is more than 1 day ahead"):
        plan_exports(context(window_start=start, window_end=far))


def test_a_format_on_the_form_does_not_make_two_exports_one_file(monkeypatch: pytest.MonkeyPatch):
    one = {**TRACKER, "options": {"compress": False}}
    exports(monkeypatch, one, {**one, "name": "as-json", "format": "json"})
    assert len(plan_exports(context())) == 2
    with pytest.raises(
        SettingsError, match="format 'json': with it, 'tracker' and 'as-json' write the same file"
    ):
        plan_exports(context(exports=["tracker"], format="json"))


def test_another_format_counts_for_its_exports_only():
    (planned,) = plan_exports(context(exports=["tracker"], format="json"))
    assert planned.format == "json"
    assert export_of(planned).format == "json"
    (unchanged,) = plan_exports(context(exports=["tracker"], format="csv"))
    assert unchanged == plan_exports(context())[0]


def test_a_run_without_an_interval_looks_back(monkeypatch: pytest.MonkeyPatch):
    by_hand = {**context(interval=None), "dag_run": SimpleNamespace(run_after=WINDOW.end)}
    (tracker, _) = plan_exports(by_hand)
    assert (tracker.window_start, tracker.window_end) == ("2026-10-31T06:00:00Z", "2026-11-01T06:00:00Z")
    exports(monkeypatch, {**TRACKER, "lookback_hours": 6})
    assert plan_exports(by_hand)[0].window == WINDOW


@pytest.mark.parametrize(
    "change",
    [
        {"survey_id": "SV_0other"},
        {"options": {"compress": False}},
        {"destination": {**TRACKER["destination"], "user": "archive@contoso.example"}},
        {"name": "renamed"},
        {"format": "tsv"},
    ],
)
def test_what_runs_is_what_was_planned(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """Also when a person changes the settings between two tasks of a run."""
    planned = plan_exports(context())[0]
    assert export_of(planned).name == "tracker"
    exports(monkeypatch, {**TRACKER, **change}, FEEDBACK)
    words = "export 'tracker': its settings have changed since the plan was made; clear task 'plan'"
    if change == {"format": "tsv"}:
        # The plan's own format was not the form's: it was the settings', which now say something else.
        assert export_of(planned).format == "csv"
        return
    with pytest.raises(SettingsError, match=words):
        export_of(planned)


def test_settings_of_another_export_may_change(monkeypatch: pytest.MonkeyPatch):
    planned = plan_exports(context())[0]
    exports(monkeypatch, {**FEEDBACK, "format": "csv"}, TRACKER)
    assert export_of(planned).name == "tracker"
