"""Time zones by the names that Knack's metadata gives them."""

from __future__ import annotations

import datetime as dt

import pytest

from interchange.core.knack_zones import _IANA, zone_of
from interchange.errors import SettingsError

NOON = dt.datetime(2026, 7, 1, 12)  # noqa: DTZ001  # a wall clock's


@pytest.mark.parametrize("name", _IANA)
def test_every_name_on_the_builders_list_is_a_zone_of_this_machine(name: str):
    assert NOON.replace(tzinfo=zone_of(name)).utcoffset() is not None


@pytest.mark.parametrize(
    ("name", "summer_h", "winter_h"),
    [
        ("Central Time (US & Canada)", -5, -6),
        ("America/Chicago", -5, -6),
        ("Arizona", -7, -7),
        ("Indiana (East)", -4, -5),
        ("Newfoundland", -2.5, -3.5),
        ("London", 1, 0),
        ("Kathmandu", 5.75, 5.75),
        ("International Date Line West", -12, -12),
        ("UTC", 0, 0),
    ],
)
def test_a_name_means_the_clock_of_that_place(name: str, summer_h: float, winter_h: float):
    zone = zone_of(name)
    hours = [
        moment.replace(tzinfo=zone).utcoffset() / dt.timedelta(hours=1)  # type: ignore[operator]
        for moment in (NOON, NOON.replace(month=1))
    ]
    assert hours == [summer_h, winter_h]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Middle-earth",
        "Central Time",
        "central time (us & canada)",
        "America",
        "../etc/passwd",
        "/etc/localtime",
        "Europe/\0Berlin",
        "x" * 300,
        "UTC+2",
    ],
)
def test_a_name_that_is_none_is_for_a_person(name: str):
    with pytest.raises(SettingsError, match="give time_zone, such as America/Chicago, in the app's settings"):
        zone_of(name)
