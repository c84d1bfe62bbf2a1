"""Rules, templates and the messages that come out of them."""

from __future__ import annotations

from typing import Any

import pytest

from interchange.core.notify import BODY_LIMIT, Condition, Message, NotifyRule
from interchange.errors import BadRecord, SettingsError

ROW = {
    "ResponseId": "R_1",
    "Q1": "Yes",
    "Q2": '<script>alert("1")</script>',
    "Duration (in seconds)": "61",
    "Empty": "",
}


def rule(**changes: Any) -> NotifyRule:
    given: dict[str, Any] = {
        "export": "symptoms",
        "name": "stay-home",
        "when": Condition(column="Q1", equals="Yes"),
        "title": "Stay at home",
        "body": "Please rest.",
        "send_tag": "patients",
    }
    return NotifyRule(**(given | changes))


def test_a_fitting_response_gives_one_message_with_its_key() -> None:
    assert rule().message(ROW) == Message(
        key="symptoms/stay-home/R_1",
        title="Stay at home",
        body="Please rest.",
        style="information",
        send_tag="patients",
        push_notifications=True,
    )


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        (Condition(column="Q1", equals="Yes"), True),
        (Condition(column="Q1", equals="yes"), False),
        (Condition(column="Q1", one_of=("No", "Yes")), True),
        (Condition(column="Q1", one_of=("No",)), False),
        (Condition(column="Q1", matches="(?i)y.*"), True),
        (Condition(column="Q1", matches="Y"), False),
        (Condition(column="Empty", equals=""), True),
    ],
)
def test_conditions(when: Condition, fits: bool) -> None:
    assert rule(when=when).matches(ROW) is fits
    assert (rule(when=when).message(ROW) is not None) is fits


def test_answers_are_escaped_in_the_body_and_nowhere_else() -> None:
    message = rule(
        title="{{ row.Q2 }}", body="<p>{{ row.Q2 }}</p>", send_tag="{{ row['Duration (in seconds)'] }}"
    ).message(ROW)

    assert message is not None
    assert message.body == "<p>&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;</p>"
    assert message.title == ROW["Q2"]
    assert message.send_tag == "61"


def test_templates_know_export_and_rule() -> None:
    message = rule(title="{{ export }}: {{ rule }}").message(ROW)
    assert message is not None
    assert message.title == "symptoms: stay-home"


def test_a_title_is_one_line() -> None:
    message = rule(title=" a\n b\t{{ row.Q1 }} ").message(ROW)
    assert message is not None
    assert message.title == "a b Yes"


@pytest.mark.parametrize("field", ["title", "body", "send_tag"])
@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ row.Q9 }}", "uses what is not there.*Q9"),
        ("{{ row.Empty }}", "is empty for this response"),
        ("{{ row.Q2 / 2 }}", "fails: TypeError"),
        ("{{ row.__class__.__mro__ }}", "fails: SecurityError"),
        ("{{ 1 // 0 }}", "fails: ZeroDivisionError"),
    ],
)
def test_templates_that_fail_name_the_field_and_not_the_answer(
    field: str, template: str, reason: str
) -> None:
    with pytest.raises(BadRecord, match=reason) as refused:
        rule(**{field: template}).message(ROW)
    assert refused.value.field == field
    assert "alert" not in str(refused.value)


def test_titles_stay_below_the_limit() -> None:
    assert rule(title="x" * 119).message(ROW) is not None
    with pytest.raises(BadRecord, match="120 characters; fewer than 120") as refused:
        rule(title="x" * 120).message(ROW)
    assert refused.value.field == "title"
    assert rule(title="x" * 120, title_limit=200).message(ROW) is not None


def test_a_body_without_end_is_refused() -> None:
    with pytest.raises(BadRecord, match="body: has"):
        rule(body="{{ 'x' * " + str(BODY_LIMIT + 1) + " }}").message(ROW)


def test_a_missing_column_is_reported_even_if_nothing_else_is_wrong() -> None:
    with pytest.raises(BadRecord, match="no such column") as refused:
        rule(when=Condition(column="Q7", equals="Yes")).message(ROW)
    assert refused.value.field == "Q7"


@pytest.mark.parametrize("row", [{"Q1": "Yes"}, {"Q1": "Yes", "ResponseId": ""}])
def test_without_a_response_id_nothing_is_sent(row: dict[str, str]) -> None:
    with pytest.raises(BadRecord, match="once only") as refused:
        rule().message(row)
    assert refused.value.field == "ResponseId"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"title": "{{ row.Q1"}, "title: line 1"),
        ({"body": "{% if %}"}, "body: line 1"),
        ({"send_tag": "{{ row.Q1 | nofilter }}"}, "send_tag: line 1"),
        ({"when": Condition(column="Q1", matches="(")}, "no regular expression"),
        ({"when": Condition(column="Q1")}, "exactly one"),
        ({"when": Condition(column="Q1", equals="a", matches="b")}, "exactly one"),
    ],
)
def test_mistakes_in_a_rule_are_found_before_any_response(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        rule(**changes)
