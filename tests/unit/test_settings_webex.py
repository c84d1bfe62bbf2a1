"""Settings of webex_roulette: what ships, what is filled in, and what is wrong with a wrong one."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from include.sandbox.vendors.webex.seeds import DEPARTMENTS
from interchange.errors import SettingsError
from interchange.settings import load_settings, parse_time_settings
from interchange.settings.webex_roulette import Settings

DAG_ID = "webex_roulette"
LEAST: dict[str, Any] = {
    "departments": {"sales": ["a@x.org"], "support": ["b@x.org"]},
    "time_zone": "Europe/Kyiv",
    "slot": {"weekday": "thursday", "start": "15:10"},
}


def load(**changes: Any) -> Settings:
    data = {**copy.deepcopy(LEAST), **changes}
    made: Settings = load_settings(DAG_ID, variable=lambda _: json.dumps(data))
    return made


def test_the_example_fits_the_sandbox() -> None:
    settings: Settings = load_settings(DAG_ID, variable=lambda _: None)
    assert settings.departments == {name: [one for one, _ in people] for name, people in DEPARTMENTS.items()}
    assert parse_time_settings(DAG_ID).schedule == "0 6 * * 1"
    assert parse_time_settings(DAG_ID).time_zone == "Europe/Kyiv"


def test_what_is_not_said_is_filled_in() -> None:
    made = load()
    assert (made.weeks, made.slot.minutes, made.pairs_per_round, made.seed) == (4, 30, None, None)
    assert (made.odd, made.same_department, made.repeats) == ("trio", "if_needed", "if_needed")
    assert (made.bot_conn_id, made.meetings_conn_id) == ("webex_bot", "webex_meetings")
    assert (made.holidays, made.blocked_pairs, made.report_room_id, made.admins) == ([], [], None, [])
    assert made.meetings_per_day == 100


def test_addresses_are_compared_in_lower_case_and_one_person_may_be_in_several_departments() -> None:
    made = load(departments={"sales": [" Ann@X.org"], "support": ["ann@x.org", "b@x.org"]})
    assert made.people == {"ann@x.org": {"sales", "support"}, "b@x.org": {"support"}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"departments": {}}, "departments"),
        ({"departments": {"sales": ["ann"]}}, "is no e-mail address"),
        ({"departments": {"sales": ["a@x.org", "A@x.org"]}}, r"departments.sales: a@x.org is there twice"),
        ({"time_zone": "Europe/Kiew"}, "Europe/Kyiv"),
        ({"slot": {"weekday": "thu", "start": "15:10"}}, "allowed: monday, tuesday"),
        ({"slot": {"weekday": "monday", "start": "25:00"}}, "is no time of day"),
        ({"slot": {"weekday": "monday", "start": "09:00", "minutes": 5}}, "10 or more"),
        ({"holidays": ["08/03/2027"]}, "is no day"),
        ({"blocked_pairs": [["a@x.org"]]}, "blocked_pairs"),
        ({"blocked_pairs": [["a@x.org", "a@x.org"]]}, "cannot be paired with themself"),
        ({"blocked_pairs": [["a@x.org", "z@x.org"]]}, "z@x.org is in no department"),
        ({"weeks": 0}, "1 or more"),
        ({"odd": "trios"}, "trio, rest"),
        ({"admins": ["boss"]}, "admins"),
        ({"join_before_host_minutes": 7}, "0, 5, 10, 15"),
        ({"pairs": 7}, "pairs_per_round"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(**changes)


def test_the_daily_care_has_no_settings_of_its_own() -> None:
    assert parse_time_settings("webex_upkeep").schedule == "45 8 * * *"
    with pytest.raises(SettingsError, match="is not a setting"):
        load_settings("webex_upkeep", variable=lambda _: '{"webhooks": 1}')
