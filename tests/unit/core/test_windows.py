"""Windows: whole seconds in UTC, neighbours that share their border's text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.windows import Window, parse_moment, to_whole_seconds
from interchange.errors import SettingsError

MOMENTS = st.datetimes(
    datetime(2001, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
    datetime(2099, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)


def test_texts() -> None:
    window = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 1, tzinfo=UTC))

    assert window.start_text == "2026-11-01T00:00:00Z"
    assert window.end_text == "2026-11-01T01:00:00Z"
    assert window.stamp == "20261101T000000Z-20261101T010000Z"
    assert str(window) == "2026-11-01T00:00:00Z/2026-11-01T01:00:00Z"


def test_local_time_is_converted_not_relabelled() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    window = Window(datetime(2026, 7, 1, tzinfo=berlin), datetime(2026, 7, 2, tzinfo=berlin))

    assert window.start_text == "2026-06-30T22:00:00Z"
    assert window.start.tzinfo is UTC


@given(
    MOMENTS,
    st.timedeltas(timedelta(seconds=1), timedelta(days=40)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=40)),
)
def test_neighbours_share_the_text_of_their_border(
    start: datetime, first: timedelta, second: timedelta
) -> None:
    start = start.astimezone(UTC)
    middle, end = start + first, start + first + second
    one, two = Window(start, middle), Window(middle, end)

    assert one.end_text == two.start_text
    assert one.end == two.start
    assert one.stamp.split("-")[1] == two.stamp.split("-")[0]
    assert "." not in str(one)


@given(MOMENTS)
def test_texts_are_read_back_as_the_same_moment(moment: datetime) -> None:
    window = Window.before(moment, timedelta(hours=1))

    assert parse_moment("x", window.start_text) == window.start
    assert parse_moment("x", window.end_text) == window.end == to_whole_seconds(moment)


@pytest.mark.parametrize(
    "end",
    [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 900_000, tzinfo=UTC),
    ],
)
def test_empty_and_backward_windows_are_refused(end: datetime) -> None:
    with pytest.raises(ValueError, match="not before"):
        Window(datetime(2026, 1, 1, tzinfo=UTC), end)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        Window(datetime.fromisoformat("2026-01-01"), datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T00:00:00.000Z", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T00:00:00Z", datetime(2026, 11, 20, tzinfo=UTC)),
        (" 2026-11-20T00:00:00+00:00 ", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T01:00:00+01:00", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T00:00:00.999999-05:00", datetime(2026, 11, 20, 5, 0, 0, 999_999, tzinfo=UTC)),
        ("2026-11-20 00:00+0530", datetime(2026, 11, 20, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
    ],
)
def test_moments_as_people_and_the_picker_write_them(text: str, expected: datetime) -> None:
    assert parse_moment("window_start", text) == expected


@pytest.mark.parametrize("text", ["2026-11-20T00:00:00", "2026-11-20", "2026-11-20 10:00"])
def test_a_text_without_an_offset_says_what_to_add(text: str) -> None:
    with pytest.raises(SettingsError, match=r"window_start.*Add an offset or Z"):
        parse_moment("window_start", text)


@pytest.mark.parametrize(
    "text", ["", "not-a-date", "tomorrow", "2026-13-01T00:00:00Z", "20/11/2026", "1700000000"]
)
def test_other_texts_say_how_to_write_it(text: str) -> None:
    with pytest.raises(SettingsError, match=r"window_end.*2026-11-20T00:00:00Z"):
        parse_moment("window_end", text)
