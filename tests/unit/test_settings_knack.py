"""Settings of knack_to_esb: what ships, what is filled in, and what is wrong with a wrong one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from include.sandbox.vendors.knack.seeds import KEYS, MEANINGS, PLACES
from interchange.errors import SettingsError
from interchange.settings import load_settings, parse_time_settings
from interchange.settings.knack_to_esb import Settings
from interchange.settings.named import chosen

DAG_ID = "knack_to_esb"
SETTING_OF = {
    "number": "atd_activity_id", "emi": "emi_id", "sr": "sr_number", "issue_status": "issue_status_code_snapshot",
    "status": "esb_status", "at": "activity_datetime", "details": "activity_details", "activity": "activity_name",
    "csr_id": "csr_activity_id", "csr_code": "csr_activity_code",
}  # fmt: skip


def app(**changes: Any) -> dict[str, Any]:
    """The least there must be, in the shape of the Variable."""
    keys = dict(zip([meaning for meaning, _, _ in MEANINGS], KEYS["data-tracker"], strict=True))
    return {
        "name": "one",
        "object": "object_75",
        "view": "view_1653",
        "fields": {SETTING_OF[meaning]: f"field_{number}" for meaning, number in keys.items()},
        "activity_codes": {"Identify Asset": "IDENASSE", "Other": None},
        **changes,
    }


def load(*apps: dict[str, Any]) -> Settings:
    made: Settings = load_settings(DAG_ID, variable=lambda _: json.dumps({"apps": list(apps)}))
    return made


def test_the_two_known_applications_ship() -> None:
    settings: Settings = load_settings(DAG_ID, variable=lambda _: None)
    assert [one.name for one in settings.apps] == ["data-tracker", "signs-markings"]
    for one in settings.apps:
        assert (one.object_key, one.view) == PLACES[one.name][:2]
        assert set(one.fields.meanings()) == {f"field_{number}" for number in KEYS[one.name]}
    assert [len(one.activity_codes) for one in settings.apps] == [23, 10]
    # As they are spelled in the application, with odd white space.
    assert settings.apps[0].codes["Monitor in School Zone Beacon System"] == "MONISSRE"
    assert parse_time_settings(DAG_ID).schedule == "1-59/5 * * * *"
    assert parse_time_settings(DAG_ID).names == ("data-tracker", "signs-markings")


def test_what_is_not_said_is_filled_in() -> None:
    (one,) = load(app()).apps
    assert (one.knack_conn_id, one.esb_conn_id, one.on_unknown_outcome) == (
        "knack_default",
        "esb_default",
        "hold",
    )
    assert (one.statuses.ready, one.statuses.sent, one.statuses.ignored) == (
        "READY_TO_SEND",
        "SENT",
        "DO_NOT_SEND",
    )
    assert one.status_code("closed_duplicate") == "closed_resolved"
    assert one.alert.conn_id is None


def fields(change: Callable[[dict[str, str]], None]) -> dict[str, Any]:
    made = copy.deepcopy(app())
    change(made["fields"])
    return made


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (app(objekt="x"), r"apps\[0\] \(one\)\.objekt: is not a setting; allowed: .*Did you mean 'object'"),
        (app(object="75"), r"apps\[0\] \(one\)\.object: '75' is not allowed"),
        (app(on_unknown_outcome="send"), "'send' is not allowed; allowed: hold, resend"),
        (app(activity_codes={}), r"apps\[0\] \(one\)\.activity_codes"),
        (app(activity_codes={"A b": "X", "A  b ": None}), "activity_codes has 'A b' twice"),
        (app(statuses={"ready": "SENT"}), "three different choices"),
        (app(parallel=0), r"apps\[0\] \(one\)\.parallel: 0 is not allowed; allowed: 1 or more"),
        (app(time_zone="America/Chikago"), "Did you mean 'America/Chicago'"),
        (app(replacement="\x07"), "character that XML forbids"),
        (app(poison={"attempts": 1}), r"apps\[0\] \(one\)\.poison.attempts"),
        (
            fields(lambda known: known.pop("sr_number") and None),
            r"apps\[0\] \(one\)\.fields.sr_number: is missing",
        ),
        (fields(lambda known: known.update(sr_number=known["emi_id"])), "fields names 'field_1868' twice"),
        (fields(lambda known: known.update(id="field_1")), r"apps\[0\] \(one\)\.fields.id"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load(wrong)


def test_two_apps_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="two apps are named 'one'"):
        load(app(), app())


def test_two_apps_of_one_view_are_refused() -> None:
    """Each would send what the other one has sent."""
    with pytest.raises(SettingsError, match="two apps read view_1653 of object_75 through knack_default"):
        load(app(), app(name="two"))


def test_a_status_that_311_cannot_bear_is_replaced_unless_the_settings_say_how() -> None:
    (one,) = load(app(status_codes={"open": "opened"})).apps
    assert [one.status_code(status) for status in ("open", "closed_duplicate", "x")] == [
        "opened",
        "closed_resolved",
        "x",
    ]
    (one,) = load(app(status_codes={"closed_duplicate": "closed"})).apps
    assert one.status_code("closed_duplicate") == "closed"


def test_apps_are_chosen_by_name() -> None:
    settings = load(app(), app(name="two", view="view_2"))
    assert [one.name for one in chosen(settings.apps, [], key="apps")] == ["one", "two"]
    assert [one.name for one in chosen(settings.apps, ["two"], key="apps")] == ["two"]
    with pytest.raises(SettingsError, match=r"'twoo' is no app; allowed: one, two\. Did you mean 'two'"):
        chosen(settings.apps, ["twoo"], key="apps")
