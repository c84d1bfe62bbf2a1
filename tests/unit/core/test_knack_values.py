"""What a Knack record's fields mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.sandbox.vendors.knack.model import MISSING, Field, shown
from interchange.core.knack_values import moment_of, number_of, same_name, text_of
from interchange.errors import BadRecord

CHICAGO = ZoneInfo("America/Chicago")


def record(kind: str, value: Any, *, line_break: str = "<br />", **facts: Any) -> dict[str, Any]:
    """A record with one field, as the vendor shows it."""
    display, raw = shown(Field(key="field_1", name="x", type=kind, **facts), value, line_break=line_break)
    return {"id": "1", "field_1": display} | ({} if raw is MISSING else {"field_1_raw": raw})


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("short_text", "26-00012345", "26-00012345"),
        ("short_text", "", ""),
        ("auto_increment", 10442, "10442"),
        ("boolean", True, "Yes"),
        (
            "connection",
            [{"id": "a" * 24, "identifier": "One"}, {"id": "b" * 24, "identifier": "Two"}],
            "One, Two",
        ),
        ("connection", [], ""),
        ("email", "a@b.example", "a@b.example"),
        ("concatenation", "no raw value <b>here</b> &amp; there", "no raw value here & there"),
        ("equation", 4.0, "4"),
    ],
)
def test_every_type_as_text(kind: str, value: Any, text: str) -> None:
    assert text_of(record(kind, value), "field_1") == text


def test_a_field_that_is_not_there_is_empty() -> None:
    assert text_of({"id": "1"}, "field_1") == ""


def test_the_stored_value_counts_not_the_one_for_display() -> None:
    assert text_of({"field_1": "<b>shown</b>", "field_1_raw": "a < b & <b>c"}, "field_1") == "a < b & <b>c"


def test_an_object_of_no_known_shape_is_a_bad_record() -> None:
    with pytest.raises(BadRecord, match="field_1"):
        text_of({"field_1_raw": {"odd": 1}}, "field_1")


@pytest.mark.parametrize("line_break", ["<br />", "\n"])
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_paragraphs_come_through_whatever_the_line_breaks(line_break: str, text: str) -> None:
    said = text.replace("\r", "").replace("<br", "<hr")
    if said:
        assert text_of(record("paragraph_text", said, line_break=line_break), "field_1") == said


@pytest.mark.parametrize(("value", "number"), [(9, 9), ("10", 10), (" 10 ", 10), ("1,204", 1204), (7.0, 7)])
def test_a_number_also_where_it_is_stored_as_text(value: Any, number: int) -> None:
    assert number_of({"field_1_raw": value}, "field_1") == number


@pytest.mark.parametrize("value", ["", None, "ten", "-3", "1.5"])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(BadRecord, match="field_1"):
        number_of({"field_1_raw": value}, "field_1")


@pytest.mark.parametrize(
    ("wall", "iso"),
    [
        ("2026-11-22T07:10", "2026-11-22T07:10:00-06:00"),
        ("2026-07-03T10:26", "2026-07-03T10:26:00-05:00"),
        # The hour that is there twice: the first of the two.
        ("2026-11-01T01:30", "2026-11-01T01:30:00-05:00"),
        # The hour that is left out: moved on by it.
        ("2026-03-08T02:30", "2026-03-08T03:30:00-05:00"),
    ],
)
def test_a_moment_is_the_applications_wall_clock(wall: str, iso: str) -> None:
    assert moment_of(record("date_time", wall), "field_1", CHICAGO).isoformat() == iso


def test_a_moment_without_its_number_is_read_from_its_text() -> None:
    raw = {"field_1_raw": {"iso_timestamp": "2026-11-22T07:10:00.000Z"}}
    assert moment_of(raw, "field_1", UTC) == datetime(2026, 11, 22, 7, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw", [None, "", [], "07/03/2018", {}, {"iso_timestamp": "soon"}, {"unix_timestamp": 1e30}]
)
def test_what_is_no_moment(raw: Any) -> None:
    with pytest.raises(BadRecord, match="field_1"):
        moment_of({"field_1_raw": raw}, "field_1", UTC)


def test_names_are_the_same_whatever_their_white_space() -> None:
    assert same_name("Complete Repairs ") == same_name("Complete  Repairs") == "Complete Repairs"
    assert same_name("complete repairs") != "Complete Repairs"
