"""Settings: what is accepted, and that every mistake is told at once, with its place and what is allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from interchange.core.windows import Window
from interchange.errors import SettingsError
from interchange.settings import ParseSettings, generate, load_settings, parse_time_settings
from interchange.settings.model import SettingsModel, validate
from interchange.settings.named import chosen
from interchange.settings.parse_time import Events
from interchange.settings.qualtrics_to_onedrive import Export, OneDriveDestination, Settings, UrlDestination

DAG = "qualtrics_to_onedrive"
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "include" / "config" / f"{DAG}.yaml"


def no_variable(key: str) -> str | None:
    return None


def as_variable(data: Any) -> Callable[[str], str | None]:
    def variable(key: str) -> str | None:
        assert key == "interchange_qualtrics_to_onedrive"
        return data if isinstance(data, str) else json.dumps(data)

    return variable


def export(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": "one",
        "survey_id": "SV_1",
        "destination": {"user": "a@b.example", "folder": "Exports", "file_name": "one"},
    }
    made |= changes
    return {key: value for key, value in made.items() if value is not ...}


def rule(**changes: Any) -> dict[str, Any]:
    made = {
        "name": "r",
        "when": {"column": "Q1", "equals": "Yes"},
        "title": "t",
        "body": "b",
        "send_tag": "s",
    }
    return made | changes


def problems(data: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(DAG, variable=as_variable(data))
    return str(refused.value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERCHANGE_CONFIG_DIR", str(tmp_path))
    return tmp_path


def write(folder: Path, text: str, dag_id: str = DAG) -> Path:
    path = folder / f"{dag_id}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# The example


def test_the_example_is_valid_and_found_without_any_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("INTERCHANGE_CONFIG_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(DAG, variable=no_variable)

    assert [one.name for one in settings.exports] == ["symptom-tracker", "course-feedback", "visitor-log"]
    symptoms, feedback, visitors = settings.exports
    assert symptoms.lookback is None
    assert feedback.lookback == timedelta(hours=24)
    assert isinstance(symptoms.destination, OneDriveDestination)
    assert isinstance(visitors.destination, UrlDestination)
    window = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 1, tzinfo=UTC))
    assert symptoms.file_name(window) == "symptoms_20261101T000000Z-20261101T010000Z.zip"
    assert feedback.file_name(window) == "course-feedback.zip"
    (compiled,) = symptoms.rules()
    message = compiled.message({"ResponseId": "R_1", "Q1": "Yes"})
    assert message is not None
    assert message.key == "symptom-tracker/has-symptoms/R_1"
    assert compiled.message({"ResponseId": "R_2", "Q1": "No"}) is None


def test_the_example_fits_its_schema() -> None:
    schema = json.loads((ROOT / "include/config/schemas" / f"{DAG}.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    data = yaml.safe_load(EXAMPLE.read_text())

    validator.validate(data)
    data["exports"][0]["formt"] = "csv"
    assert not validator.is_valid(data)


def test_generated_files_are_up_to_date(tmp_path: Path) -> None:
    assert generate.main(["--check"]) == 0, "run python -m interchange.settings.generate"
    assert generate.main(["--check", "--root", str(tmp_path)]) == 1
    assert generate.main(["--root", str(tmp_path)]) == 0
    assert generate.main(["--check", "--root", str(tmp_path)]) == 0


# Values


def test_defaults() -> None:
    (one,) = load_settings(DAG, variable=as_variable({"exports": [export()]})).exports

    assert (one.format, one.window, one.settle, one.deadline) == (
        "csv",
        "interval",
        timedelta(minutes=2),
        timedelta(hours=1),
    )
    assert (one.conn_id, one.destination.conn_id, one.destination.unique) == (
        "qualtrics_default",
        "onedrive_default",
        False,
    )
    assert one.destination.fragment_size == 10 * 1024 * 1024
    assert one.notify == []
    assert one.options == {}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"name": ...}, "exports[0].name: is missing"),
        ({"name": "a b"}, "exports[0] (a b).name: 'a b' is not allowed; allowed: text of the form"),
        ({"name": 5}, "exports[0].name: 5 is not allowed; allowed: text"),
        ({"formt": "csv"}, "exports[0] (one).formt: is not a setting; allowed: name, conn_id, survey_id"),
        ({"formt": "csv"}, "Did you mean 'format'?"),
        (
            {"format": "CSV"},
            "format: 'CSV' is not allowed; allowed: csv, json, ndjson, tsv, spss, xml. Did you mean 'csv'?",
        ),
        ({"format": ["csv"]}, "format: ['csv'] is not allowed; allowed: csv, json"),
        ({"survey_id": ...}, "exports[0] (one): needs either survey_id or survey_name, and not both"),
        ({"survey_name": "x"}, "needs either survey_id or survey_name, and not both"),
        ({"survey_id": "0abc"}, "survey_id: '0abc' is not allowed; allowed: text of the form ^SV_"),
        (
            {"window": "look-back"},
            "window: 'look-back' is not allowed; allowed: interval, lookback. Did you mean 'lookback'?",
        ),
        ({"window": "lookback"}, "window: lookback needs lookback_hours"),
        ({"lookback_hours": 0}, "lookback_hours: 0 is not allowed; allowed: more than 0"),
        ({"lookback_hours": "24"}, "lookback_hours: '24' is not allowed; allowed: a number, without quotes"),
        ({"lookback_hours": True}, "lookback_hours: True is not allowed; allowed: a number, without quotes"),
        ({"settle_minutes": -1}, "settle_minutes: -1 is not allowed; allowed: 0 or more"),
        ({"deadline_minutes": 0}, "deadline_minutes: 0 is not allowed; allowed: more than 0"),
        ({"options": {"uselabels": True}}, "options: uselabels is not an option of Qualtrics"),
        ({"options": {"limit": "5"}}, "options: limit '5' is not allowed; allowed: a whole number"),
        ({"options": []}, "options: [] is not allowed; allowed: a mapping"),
        (
            {"format": "json", "options": {"useLabels": True}},
            "options: useLabels is refused by Qualtrics with format json",
        ),
        ({"options": {"startDate": "x"}}, "options: startDate is not allowed here: it comes from `window`"),
        ({"destination": ...}, "destination: is missing"),
        ({"destination": "s3://x"}, "destination: 's3://x' is not allowed; allowed: a mapping"),
        ({"destination": {"user": "u"}}, "destination.file_name: is missing"),
        ({"destination": {"file_name": "f"}}, "destination.user: is missing"),
        (
            {"destination": {"user": "u", "file_name": "f", "unique": 1}},
            "destination.unique: 1 is not allowed; allowed: true or false",
        ),
        (
            {"destination": {"user": "u", "file_name": "f", "unique": "yes"}},
            "unique: 'yes' is not allowed; allowed: true or false",
        ),
        (
            {"destination": {"user": "u", "file_name": "f", "fragment_mib": "5"}},
            "fragment_mib: '5' is not allowed; allowed: a whole number",
        ),
        (
            {"destination": {"user": "u", "file_name": "f", "fragment_mib": 60}},
            "fragment_mib: 60 is not allowed; allowed: at most 59",
        ),
        ({"destination": {"user": "u", "file_name": "a/b"}}, "destination.file_name: 'a/b' contains a slash"),
        (
            {"destination": {"user": "u", "folder": "a:b", "file_name": "f"}},
            "destination.folder 'a:b' contains ':'",
        ),
        (
            {"destination": {"user": "u", "file_name": "f", "folder": "x", "url": "file:///d"}},
            "destination.user: is not a setting; allowed: url, file_name, unique",
        ),
        (
            {"destination": {"url": "ftp://x", "file_name": "f"}},
            "destination.url: must begin with file://, s3://",
        ),
        ({"notify": [rule(), rule()]}, "notify has two rules named 'r'"),
        ({"format": "spss", "notify": [rule()]}, "notify does not go with format spss"),
        ({"format": "xml", "notify": [rule()]}, "notify does not go with format xml"),
        (
            {"options": {"surveyMetadataIds": ["status"]}, "notify": [rule()]},
            "add _recordId to options.surveyMetadataIds",
        ),
        (
            {"notify": [rule(when={"column": "Q1"})]},
            "notify[0] (r).when: needs exactly one of equals, in, matches",
        ),
        (
            {"notify": [rule(when={"column": "Q1", "in": [True]})]},
            "when.in[0]: True is not allowed; allowed: text (in YAML, put quotes",
        ),
        (
            {"notify": [rule(when={"column": "Q1", "one_of": ["x"]})]},
            "when.one_of: is not a setting; allowed: column, equals, in, matches",
        ),
        ({"notify": [rule(when={"column": "Q1", "matches": "("})]}, "when.matches is no regular expression"),
        ({"notify": [rule(title="{{")]}, "notify[0] (r): rule 'r': title: line 1"),
        (
            {"notify": [rule(push_notifications="true")]},
            "push_notifications: 'true' is not allowed; allowed: true or false",
        ),
    ],
)
def test_each_mistake_names_key_value_and_what_is_allowed(changes: dict[str, Any], line: str) -> None:
    assert line in problems({"exports": [export(**changes)]})


def test_all_mistakes_are_told_at_once_with_their_origin() -> None:
    text = problems(
        {
            "exports": [
                export(format="CSV", settle_minutes="2"),
                export(name="two", options={"x": 1, "y": 2}),
            ],
            "more": 1,
        }
    )

    assert text.startswith("5 problems in Airflow Variable interchange_qualtrics_to_onedrive:\n")
    assert len(text.splitlines()) == 6
    assert "  - more: is not a setting; allowed: exports." in text
    assert "  - exports[1] (two).options: y is not an option" in text


@pytest.mark.parametrize("value", [[], "x", 5, None])
def test_exports_must_be_a_list_of_some(value: Any) -> None:
    assert "exports: " in problems({"exports": value})


def test_names_and_files_are_unique() -> None:
    same_file = export(
        name="two", destination={"user": "A@b.example", "folder": "exports/", "file_name": "ONE"}
    )

    assert "two exports are named 'one'" in problems({"exports": [export(), export()]})
    assert "'one' and 'two' write the same file" in problems({"exports": [export(), same_file]})
    other_format = export(name="three", options={"compress": False})
    load_settings(DAG, variable=as_variable({"exports": [export(), other_format]}))


def test_secrets_in_the_wrong_place_are_not_repeated() -> None:
    wrong = {
        "client_secret": "hush-1",
        "destination": {"url": "s3://key:hush-2@bucket/x", "file_name": "f", "password": "hush-3"},
        "conn_id": {"token": "hush-4"},
        "survey_id": "https://u:hush-5@host/",
    }
    text = problems({"exports": [export(**wrong)], "api_token": ["hush-6"]})

    assert "hush" not in text
    assert "client_secret: is not a setting" in text


def test_the_value_of_a_key_that_may_hold_a_secret_is_not_shown() -> None:
    class Model(SettingsModel):
        api_token: int
        count: int

    _, found = validate(Model, {"api_token": "hush", "count": "five"})
    assert found == [
        "api_token: this value is not allowed; allowed: a whole number, without quotes",
        "count: 'five' is not allowed; allowed: a whole number, without quotes",
    ]


# Origins


def test_a_variable_replaces_the_file(folder: Path) -> None:
    write(folder, yaml.safe_dump({"exports": [export(name="from-file")]}))

    assert load_settings(DAG, variable=no_variable).exports[0].name == "from-file"
    variable = as_variable({"exports": [export(name="from-variable")]})
    assert load_settings(DAG, variable=variable).exports[0].name == "from-variable"


def test_mistakes_in_the_file_name_the_file(folder: Path) -> None:
    path = write(
        folder, yaml.safe_dump({"schedule": "0 5 * * *", "enabled": True, "exports": [export(format="xls")]})
    )

    with pytest.raises(SettingsError) as refused:
        load_settings(DAG, variable=no_variable)
    assert str(refused.value).startswith(f"1 problem in file {path}:\n  - exports[0] (one).format: 'xls'")


@pytest.mark.parametrize("key", ["schedule", "enabled"])
def test_parse_time_settings_cannot_stand_in_a_variable(key: str) -> None:
    text = problems({"exports": [export()], key: "0 5 * * *"})
    assert f"{key}: is read while Airflow parses the DAG, so it cannot stand in a Variable" in text
    assert f"INTERCHANGE_QUALTRICS_TO_ONEDRIVE_{key.upper()}" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a mapping"),
        ("- a", "must be a mapping of settings, not list"),
        ("exports: [hush", "line 2, column 1"),
        ("exports: &a hush\n  b: c: d", "line 2"),
        ("exports: []\nexports: []", "the key 'exports' is there twice"),
        ("exports:\n  - {name: a, name: b}", "line 2, column 15: the key 'name' is there twice"),
        ("exports: !!python/object:os.system hush", "could not determine a constructor"),
    ],
)
def test_a_broken_file_is_told_without_quoting_it(folder: Path, text: str, says: str) -> None:
    path = write(folder, text)
    with pytest.raises(SettingsError) as refused:
        load_settings(DAG, variable=no_variable)
    assert str(refused.value).startswith(str(path))
    assert says in str(refused.value)
    assert "hush" not in str(refused.value)


def test_a_missing_file_is_told(folder: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such file"):
        load_settings(DAG, variable=no_variable)


def test_yaml_merge_keys_still_work(folder: Path) -> None:
    write(
        folder,
        "exports:\n  - &one {name: one, survey_id: SV_1, destination: {user: u, file_name: a}}\n"
        "  - {<<: *one, name: two, destination: {user: u, file_name: b}}\n",
    )
    assert [e.name for e in load_settings(DAG, variable=no_variable).exports] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{hush", "is no JSON: .* at line 1"),
        ("[]", "must be a JSON object"),
        ('{"exports": [], "exports": []}', "the key 'exports' is there twice"),
    ],
)
def test_a_broken_variable_is_told_without_quoting_it(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"Airflow Variable interchange_{DAG}: {says}") as refused:
        load_settings(DAG, variable=as_variable(text))
    assert "hush" not in str(refused.value)


def test_an_unknown_workflow_is_told() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'qualtrics_to_onedrive'"):
        load_settings("qualtrics_to_onedriv", variable=no_variable)


# The trigger form


def test_exports_can_be_chosen_by_name() -> None:
    settings: Settings = load_settings(DAG, variable=no_variable)

    assert [
        one.name for one in chosen(settings.exports, ["visitor-log", "symptom-tracker"], key="exports")
    ] == [
        "symptom-tracker",
        "visitor-log",
    ]
    for nothing in (None, [], ""):
        assert len(chosen(settings.exports, nothing, key="exports")) == 3
    with pytest.raises(
        SettingsError,
        match=r"'visitors-log' is no export; allowed: symptom-tracker.*Did you mean 'visitor-log'",
    ):
        chosen(settings.exports, ["visitors-log"], key="exports")


def test_another_format_is_checked_against_the_rest_of_the_export() -> None:
    data = {
        "exports": [export(options={"useLabels": True}, notify=[rule(when={"column": "Q1", "in": ["Yes"]})])]
    }
    (one,) = load_settings(DAG, variable=as_variable(data)).exports

    changed: Export = one.with_format("tsv")
    assert changed.format == "tsv"
    assert changed.notify == one.notify
    for other in ("json", "spss", "excel"):
        with pytest.raises(SettingsError, match=f"export 'one' cannot be made as '{other}'"):
            one.with_format(other)


# Parse time


def test_parse_time_settings_of_the_example() -> None:
    assert parse_time_settings(DAG) == ParseSettings(
        schedule="0 * * * *", enabled=True, names=("symptom-tracker", "course-feedback", "visitor-log")
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "schedule: '*/5 * * * *'\nenabled: false\nexports: 5",
            ParseSettings(schedule="*/5 * * * *", enabled=False, names=()),
        ),
        (
            "schedule:\nexports: [{name: a}, {nam: b}, 5, {name: 7}]",
            ParseSettings(schedule=None, enabled=True, names=("a",)),
        ),
        ("schedule: '@daily'", ParseSettings(schedule="@daily", enabled=True, names=())),
        ("exports: [", ParseSettings(schedule="0 * * * *", enabled=True, names=())),
        ("", ParseSettings(schedule="0 * * * *", enabled=True, names=())),
    ],
)
def test_broken_exports_never_hide_the_dag(folder: Path, text: str, expected: ParseSettings) -> None:
    write(folder, text)
    assert parse_time_settings(DAG) == expected


def test_without_a_file_there_are_defaults(folder: Path) -> None:
    assert parse_time_settings(DAG) == ParseSettings(schedule="0 * * * *", enabled=True, names=())


@pytest.mark.parametrize(
    "text",
    [
        "schedule: hourly",
        "schedule: 5",
        "schedule: '99 * * * *'",
        "schedule: '* * * *'",
        "schedule: '0 0 * * * *'",
        "enabled: 1",
        "enabled: 'yes'",
        "enabled:",
    ],
)
def test_a_broken_schedule_or_switch_names_the_file(folder: Path, text: str) -> None:
    path = write(folder, text)
    with pytest.raises(SettingsError, match=rf"{path}: (schedule|enabled): .* is not"):
        parse_time_settings(DAG)


def test_the_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "schedule: '0 1 * * *'\nenabled: true")
    monkeypatch.setenv("INTERCHANGE_QUALTRICS_TO_ONEDRIVE_SCHEDULE", "0 2 * * *")
    monkeypatch.setenv("INTERCHANGE_QUALTRICS_TO_ONEDRIVE_ENABLED", "Off")
    assert parse_time_settings(DAG) == ParseSettings(schedule="0 2 * * *", enabled=False, names=())

    monkeypatch.setenv("INTERCHANGE_QUALTRICS_TO_ONEDRIVE_SCHEDULE", "none")
    assert parse_time_settings(DAG).schedule is None
    monkeypatch.setenv("INTERCHANGE_QUALTRICS_TO_ONEDRIVE_SCHEDULE", "often")
    with pytest.raises(
        SettingsError, match="environment variable INTERCHANGE_QUALTRICS_TO_ONEDRIVE_SCHEDULE"
    ):
        parse_time_settings(DAG)
    monkeypatch.delenv("INTERCHANGE_QUALTRICS_TO_ONEDRIVE_SCHEDULE")
    monkeypatch.setenv("INTERCHANGE_QUALTRICS_TO_ONEDRIVE_ENABLED", "perhaps")
    with pytest.raises(SettingsError, match="ENABLED: 'perhaps' is not allowed; allowed: true, false"):
        parse_time_settings(DAG)


def test_parsing_does_not_load_the_models() -> None:
    """What Airflow does every few seconds stays cheap: no model classes, no templates, no Variable."""
    code = (
        "import sys\nfrom interchange.settings import parse_time_settings\n"
        f"assert parse_time_settings({DAG!r}).names\n"
        "heavy = ('interchange.settings.qualtrics_to_onedrive', 'jinja2', 'airflow')\n"
        "loaded = [name for name in heavy if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "plugins")},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("schedule: '@weekly'", None),
        ("events:", None),
        ("events: {queue_url: 'https://sqs.example/q'}", Events(queue_url="https://sqs.example/q")),
        (
            "events: {queue_url: 'http://sqs.example/q', conn_id: aws_reports}",
            Events(queue_url="http://sqs.example/q", conn_id="aws_reports"),
        ),
    ],
)
def test_a_queue_may_start_the_weekly_mail(folder: Path, text: str, expected: Events | None) -> None:
    write(folder, text, "ticket_closure")
    assert parse_time_settings("ticket_closure").events == expected


@pytest.mark.parametrize(
    "text",
    [
        "events: 'https://sqs.example/q'",
        "events: {queue_url: q}",
        "events: {queue_url: 5}",
        "events: {conn_id: aws_default}",
        "events: {queue_url: 'https://sqs.example/q', conn: aws_default}",
        "events: {queue_url: 'https://sqs.example/q', conn_id: ''}",
    ],
)
def test_a_wrong_queue_names_the_file(folder: Path, text: str) -> None:
    path = write(folder, text, "ticket_closure")
    with pytest.raises(SettingsError, match=f"{path}: events: must be queue_url"):
        parse_time_settings("ticket_closure")


def test_the_environment_names_the_queue_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "events: {queue_url: 'https://sqs.example/q'}", "ticket_closure")
    monkeypatch.setenv("INTERCHANGE_TICKET_CLOSURE_EVENTS", "https://sqs.example/other")
    assert parse_time_settings("ticket_closure").events == Events(queue_url="https://sqs.example/other")
    monkeypatch.setenv("INTERCHANGE_TICKET_CLOSURE_EVENTS", "")
    assert parse_time_settings("ticket_closure").events is None


def test_only_the_weekly_mail_knows_events(folder: Path) -> None:
    write(folder, yaml.safe_dump({"events": {"queue_url": "https://sqs.example/q"}, "exports": [export()]}))
    with pytest.raises(SettingsError, match="events"):
        load_settings(DAG, variable=no_variable)
