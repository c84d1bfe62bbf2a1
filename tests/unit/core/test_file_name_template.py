"""Templates of file names: mistakes are found before the first download."""

from __future__ import annotations

import pytest

from interchange.core.file_name_template import template_problems


@pytest.mark.parametrize(
    "template",
    [
        "{{task_id}}",
        "{{ task_id }}/{{due_date|yyyy}}",
        "{{due_date|yyyy}}/{{due_date|MM}}/{{due_date|dd}}/{{due_date|HHmmss}}",
        "{{due_date|yyyyMMddhhmmssa}}-{{call_from}}-{{call_to}}",
        "{{due_date|yyyyDDD'T'HHmmss}}",
    ],
)
def test_what_can_tell_two_tasks_apart_is_taken(template: str) -> None:
    assert list(template_problems(template)) == []


@pytest.mark.parametrize(
    ("template", "told"),
    [
        # The vendor's own example.
        ("{{due_date|yyyymmddhhmmss}}", "add {{task_id}}, or to the date: month, half of the day"),
        ("{{due_date|yyyymmddHHmmss}}", "mm is minutes, MM is months"),
        ("{{due_date|yyyyMMddhhmmss}}", "hh is 1-12, HH is 0-23"),
        ("{{due_date|yyyyMMdd}}-{{call_from}}", "hour, minute, second"),
        ("{{due_date|yyyyMMdd'HHmmss'}}", "hour, minute, second"),
        ("calls", "must give different tasks one name"),
        ("{{taskid}}", "Did you mean"),
        ("{{}}-{{task_id}}", "is not known"),
        ("{{task_id|yyyy}}", "takes no pattern"),
        ("{{due_date}}-{{task_id}}", "needs a pattern"),
        ("{{due_date|yyyyTMM}}-{{task_id}}", "the letter 'T'"),
        ("{{due_date|yyyy'T}}-{{task_id}}", "quotation mark"),
        ("{{task_id}", "brace"),
        ("{task_id}}", "brace"),
    ],
)
def test_what_must_go_wrong_is_told(template: str, told: str) -> None:
    """Defect C11: with the vendor's own example, minutes for months, names collided and recordings were lost."""
    (problem,) = template_problems(template)
    assert told in problem
