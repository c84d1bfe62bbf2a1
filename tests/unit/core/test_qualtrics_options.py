"""Export options: what the vendor refuses is refused here, with a sentence that helps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from interchange.core.qualtrics_options import (
    FORMATS,
    OPTIONS,
    build_export_body,
    check_options,
    extension,
    is_compressed,
    media_type,
    option_problems,
)
from interchange.core.windows import Window
from interchange.errors import SettingsError

HOUR = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 1, tzinfo=UTC))

GOOD: dict[str, Any] = {
    "compress": False,
    "sortByLastModifiedDate": True,
    "filterId": "f1",
    "limit": 10,
    "useLabels": True,
    "includeLabelColumns": True,
    "seenUnansweredRecode": -1,
    "multiselectSeenUnansweredRecode": 0,
    "includeDisplayOrder": True,
    "breakoutSets": False,
    "formatDecimalAsComma": True,
    "newlineReplacement": " ",
    "timeZone": "America/New_York",
    "questionIds": ["QID1"],
    "embeddedDataIds": ["cohort"],
    "surveyMetadataIds": ["_recordId", "recordedDate"],
    "exportResponsesInProgress": True,
    "includeWaveWeights": True,
}


def test_a_good_value_is_known_for_every_option() -> None:
    assert GOOD.keys() == OPTIONS.keys()


@pytest.mark.parametrize("key", GOOD)
def test_each_option_is_taken_by_csv(key: str) -> None:
    assert option_problems("csv", {key: GOOD[key]}) == []


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("compress", 1, "true or false"),
        ("compress", "false", "true or false"),
        ("useLabels", None, "null is not allowed"),
        ("limit", "10", "whole number"),
        ("limit", 0, "above 0"),
        ("limit", True, "whole number"),
        ("limit", 1.5, "whole number"),
        ("seenUnansweredRecode", "", "whole number"),
        ("seenUnansweredRecode", False, "whole number"),
        ("filterId", "", "not empty"),
        ("newlineReplacement", 5, "text"),
        ("timeZone", "EST", "IANA name"),
        ("timeZone", "europe/berlin", "Did you mean 'Europe/Berlin'"),
        ("timeZone", "Europe/Berln", "Did you mean 'Europe/Berlin'"),
        ("timeZone", "+01:00", "IANA name"),
        ("questionIds", "QID1", "also for a single one"),
        ("questionIds", [], "also for a single one"),
        ("questionIds", ["Q1"], "QID1"),
        ("embeddedDataIds", ["a", 5], "list of texts"),
        ("surveyMetadataIds", ["recordId"], "Did you mean '_recordId'"),
        ("surveyMetadataIds", "status", "a list of"),
        ("uselabels", True, "case sensitive.*Did you mean 'useLabels'"),
        ("useLabel", True, "Did you mean 'useLabels'"),
        ("somethingElse", True, "is not an option of Qualtrics"),
        ("format", "csv", "its own key"),
        ("startDate", "2026-01-01T00:00:00Z", "comes from `window`"),
        ("endDate", "2026-01-01T00:00:00Z", "comes from `window`"),
        ("allowContinuation", True, "overrule the window"),
        ("continuationToken", "x", "overrule the window"),
        ("lastResponseId", "R_1", "retired"),
    ],
)
def test_wrong_options_name_key_value_and_what_is_allowed(key: str, value: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=f"options.{key}: .*{says}"):
        check_options("csv", {key: value})


def test_a_continuation_token_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        check_options("csv", {"continuationToken": "hush-hush"})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("export_format", ["json", "ndjson"])
@pytest.mark.parametrize(
    "key",
    [
        "includeDisplayOrder",
        "useLabels",
        "formatDecimalAsComma",
        "seenUnansweredRecode",
        "multiselectSeenUnansweredRecode",
        "timeZone",
        "newlineReplacement",
        "breakoutSets",
    ],
)
def test_options_that_do_not_go_with_json(export_format: str, key: str) -> None:
    problems = option_problems(export_format, {key: GOOD[key]})

    assert [problem.key for problem in problems] == [key]
    assert f"refused by Qualtrics with format {export_format}" in problems[0].message


@pytest.mark.parametrize("export_format", ["spss", "xml"])
def test_newline_replacement_goes_with_tables_only(export_format: str) -> None:
    assert "csv and tsv only" in option_problems(export_format, {"newlineReplacement": " "})[0].message


@pytest.mark.parametrize(
    "options",
    [
        {"useLabels": True, "includeLabelColumns": True},
        {"filterId": "f1", "sortByLastModifiedDate": True},
        {"exportResponsesInProgress": True, "sortByLastModifiedDate": True},
    ],
)
def test_options_that_exclude_each_other(options: dict[str, Any]) -> None:
    first, second = options
    (problem,) = option_problems("csv", options)
    assert problem.key == second
    assert f"cannot be used together with {first}" in problem.message
    assert option_problems("csv", {first: options[first], second: False}) == []


def test_every_problem_is_reported_at_once() -> None:
    problems = option_problems("json", {"useLabels": True, "limit": "5", "Compress": True})
    assert [problem.key for problem in problems] == ["useLabels", "limit", "Compress"]


@pytest.mark.parametrize("export_format", ["CSV", "excel", ""])
def test_other_formats_are_refused(export_format: str) -> None:
    with pytest.raises(SettingsError, match="allowed: csv, tsv, json, ndjson, spss, xml"):
        check_options(export_format, {})


def test_the_body_carries_the_window_and_explicit_defaults() -> None:
    assert build_export_body("csv", {"limit": 5}, HOUR) == {
        "format": "csv",
        "startDate": "2026-11-01T00:00:00Z",
        "endDate": "2026-11-01T01:00:00Z",
        "compress": True,
        "sortByLastModifiedDate": False,
        "exportResponsesInProgress": False,
        "useLabels": False,
        "breakoutSets": True,
        "timeZone": "UTC",
        "limit": 5,
    }


@pytest.mark.parametrize("export_format", FORMATS)
def test_our_own_defaults_never_break_the_vendors_rules(export_format: str) -> None:
    for options in ({}, {"compress": False}, {"filterId": "f1"}, {"exportResponsesInProgress": True}):
        body = build_export_body(export_format, options, HOUR)
        sent = {key: value for key, value in body.items() if key not in ("format", "startDate", "endDate")}
        assert option_problems(export_format, sent) == []
        assert sent.items() >= options.items()
        assert None not in body.values()


def test_a_default_gives_way_to_what_excludes_it() -> None:
    assert "sortByLastModifiedDate" not in build_export_body("csv", {"filterId": "f1"}, HOUR)
    assert "useLabels" not in build_export_body("csv", {"includeLabelColumns": True}, HOUR)
    assert build_export_body("tsv", {"useLabels": True}, HOUR)["useLabels"] is True


def test_wrong_options_never_become_a_body() -> None:
    with pytest.raises(SettingsError):
        build_export_body("json", {"useLabels": True}, HOUR)


def test_extensions_and_media_types() -> None:
    assert [extension(name, zipped=False) for name in FORMATS] == [
        "csv",
        "tsv",
        "json",
        "ndjson",
        "sav",
        "xml",
    ]
    assert {extension(name, zipped=True) for name in FORMATS} == {"zip"}
    assert media_type("csv", zipped=False) == "text/csv"
    assert media_type("csv", zipped=True) == "application/zip"
    assert is_compressed({})
    assert is_compressed({"compress": True})
    assert not is_compressed({"compress": False})
