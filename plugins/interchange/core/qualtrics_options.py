"""
The formats and options of a Qualtrics response export, checked before the vendor is called.

Sources: Qualtrics' page "Start Response Export" and its OpenAPI description, the R package qualtRics and
recorded traffic. Facts that shape this module:

* Keys are case sensitive; an unknown key, a text where a number or list is needed, or an option that does not
  go with the format is answered with HTTP 400.
* ``startDate`` is included, ``endDate`` is not; both look at the moment a response was *recorded*. With
  ``sortByLastModifiedDate`` they look at the moment it was last changed, which also finds edited responses.
* ``exportResponsesInProgress: true`` exports **only** unfinished responses. It does not add them to the
  finished ones; take a second export for them. The sort flag is then ignored by the vendor, so we refuse the
  pair.
* ``limit`` keeps the oldest responses of the window: the others of that window are not exported later either.
* The vendor's prose and its OpenAPI description disagree on some defaults, so the usual ones are always sent.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from interchange.core.suggest import did_you_mean
from interchange.core.windows import Window
from interchange.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """
    One of the vendor's formats.

    :param extension: of the file itself, without a dot.
    :param media_type: of the file itself.
    :param has_rows: whether we can read single responses out of it, as notification rules need.
    """

    extension: str
    media_type: str
    has_rows: bool


FORMATS: Mapping[str, ExportFormat] = {
    "csv": ExportFormat(extension="csv", media_type="text/csv", has_rows=True),
    "tsv": ExportFormat(extension="tsv", media_type="text/tab-separated-values", has_rows=True),
    "json": ExportFormat(extension="json", media_type="application/json", has_rows=True),
    "ndjson": ExportFormat(extension="ndjson", media_type="application/x-ndjson", has_rows=True),
    "spss": ExportFormat(extension="sav", media_type="application/x-spss-sav", has_rows=False),
    "xml": ExportFormat(extension="xml", media_type="application/xml", has_rows=False),
}

ZIP_EXTENSION = "zip"
ZIP_MEDIA_TYPE = "application/zip"

SURVEY_METADATA_IDS = (
    "startDate",
    "endDate",
    "status",
    "ipAddress",
    "progress",
    "duration",
    "finished",
    "recordedDate",
    "_recordId",
    "locationLatitude",
    "locationLongitude",
    "recipientLastName",
    "recipientFirstName",
    "recipientEmail",
    # The vendor's description and a working client disagree about this name; which one an account takes must
    # be tried.
    "externalDataReference",
    "externalReference",
    "distributionChannel",
    "userLanguage",
)

_JSON_FORMATS = ("json", "ndjson")
_NOT_WITH_JSON = frozenset(
    {
        "includeDisplayOrder",
        "useLabels",
        "formatDecimalAsComma",
        "seenUnansweredRecode",
        "multiselectSeenUnansweredRecode",
        "timeZone",
        "newlineReplacement",
        "breakoutSets",
    }
)
_ELSEWHERE = {
    "format": "it has its own key, `format`, next to `options`",
    "startDate": "it comes from `window`, or from the trigger form's window_start",
    "endDate": "it comes from `window`, or from the trigger form's window_end",
    "allowContinuation": "a continuation token would overrule the window, so the two cannot be used together",
    "continuationToken": "a continuation token would overrule the window, so the two cannot be used together",
    "lastResponseId": "it belongs to an interface that Qualtrics has retired; use `window`",
}

Check = Callable[[Any], str | None]
"""Says what values are allowed if this one is not."""


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _integer(value: Any) -> str | None:
    return (
        None if isinstance(value, int) and not isinstance(value, bool) else "a whole number, without quotes"
    )


def _positive(value: Any) -> str | None:
    return None if _integer(value) is None and value > 0 else "a whole number above 0, without quotes"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "text that is not empty"


def _time_zone(value: Any) -> str | None:
    allowed = "an IANA name such as Europe/Berlin, America/New_York or UTC"
    if not isinstance(value, str):
        return allowed
    # The vendor keeps a fixed list without the short names (EST is refused) although they are IANA names too.
    if value != "UTC" and ("/" not in value or value not in zoneinfo.available_timezones()):
        return allowed + "." + did_you_mean(value, (z for z in zoneinfo.available_timezones() if "/" in z))
    return None


def _texts(value: Any) -> str | None:
    if isinstance(value, list) and value and all(isinstance(entry, str) and entry for entry in value):
        return None
    return "a list of texts with at least one entry, also for a single one"


def _question_ids(value: Any) -> str | None:
    if _texts(value) is None and all(re.match(r"QID\d", entry) for entry in value):
        return None
    return 'a list such as ["QID1", "QID7"], also for a single one'


def _metadata_ids(value: Any) -> str | None:
    if _texts(value) is None and all(entry in SURVEY_METADATA_IDS for entry in value):
        return None
    wrong = (
        [e for e in value if isinstance(e, str) and e not in SURVEY_METADATA_IDS]
        if isinstance(value, list)
        else []
    )
    hint = did_you_mean(wrong[0], SURVEY_METADATA_IDS) if wrong else ""
    return f"a list of: {', '.join(SURVEY_METADATA_IDS)}.{hint}"


OPTIONS: Mapping[str, Check] = {
    "compress": _boolean,
    "sortByLastModifiedDate": _boolean,
    "filterId": _text,
    "limit": _positive,
    "useLabels": _boolean,
    "includeLabelColumns": _boolean,
    "seenUnansweredRecode": _integer,
    "multiselectSeenUnansweredRecode": _integer,
    "includeDisplayOrder": _boolean,
    "breakoutSets": _boolean,
    "formatDecimalAsComma": _boolean,
    "newlineReplacement": _text,
    "timeZone": _time_zone,
    "questionIds": _question_ids,
    "embeddedDataIds": _texts,
    "surveyMetadataIds": _metadata_ids,
    "exportResponsesInProgress": _boolean,
    "includeWaveWeights": _boolean,
}
"""The vendor's options that may stand under ``options``."""


@dataclass(frozen=True, kw_only=True)
class OptionProblem:
    """
    What is wrong with one option.

    :param key: the option, or None if the format itself is wrong.
    """

    key: str | None
    message: str


def is_compressed(options: Mapping[str, Any]) -> bool:
    """Whether a ZIP is asked for: the vendor's default. It may send one even if it is not."""
    return options.get("compress", True) is not False


def option_problems(export_format: str, options: Mapping[str, Any]) -> list[OptionProblem]:
    """
    Everything the vendor would refuse, or that contradicts how windows work.

    :param export_format: as in the settings: a key of :data:`FORMATS`.
    :param options: the settings' ``options``, in the vendor's spelling.
    """
    if export_format not in FORMATS:
        hint = did_you_mean(export_format, FORMATS)
        allowed = ", ".join(FORMATS)
        return [
            OptionProblem(key=None, message=f"{export_format!r} is not a format; allowed: {allowed}.{hint}")
        ]
    checked = ((key, _problem(export_format, key, value)) for key, value in options.items())
    problems = [OptionProblem(key=key, message=message) for key, message in checked if message]
    return [*problems, *_conflicts(options)]


def _problem(export_format: str, key: str, value: Any) -> str | None:
    if key in _ELSEWHERE:
        return f"is not allowed here: {_ELSEWHERE[key]}"
    check = OPTIONS.get(key)
    if check is None:
        hint = did_you_mean(key, OPTIONS)
        return (
            f"is not an option of Qualtrics; names are case sensitive. Allowed: {', '.join(OPTIONS)}.{hint}"
        )
    if export_format in _JSON_FORMATS and key in _NOT_WITH_JSON:
        return f"is refused by Qualtrics with format {export_format}; leave it out, or choose csv or tsv"
    if key == "newlineReplacement" and export_format not in ("csv", "tsv"):
        return f"goes with csv and tsv only, not with {export_format}"
    allowed = check(value)
    return None if allowed is None else f"{shown(value)} is not allowed; allowed: {allowed}"


def _conflicts(options: Mapping[str, Any]) -> list[OptionProblem]:
    pairs = (
        ("useLabels", "includeLabelColumns", "Qualtrics takes one of them"),
        ("filterId", "sortByLastModifiedDate", "Qualtrics refuses a saved filter with the modified date"),
        (
            "exportResponsesInProgress",
            "sortByLastModifiedDate",
            "Qualtrics ignores the modified date for unfinished responses",
        ),
    )
    return [
        OptionProblem(key=second, message=f"cannot be used together with {first}: {reason}")
        for first, second, reason in pairs
        if options.get(first) not in (None, False) and options.get(second) is True
    ]


def shown(value: Any) -> str:
    """A wrong value as an error message may show it: short, and never the inside of a structure."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "the list" if len(repr(value)) > 60 else repr(value)
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_options(export_format: str, options: Mapping[str, Any]) -> None:
    """
    :raises SettingsError: with every problem that :func:`option_problems` finds.
    """
    problems = option_problems(export_format, options)
    if problems:
        raise SettingsError(
            "; ".join(f"options.{p.key}: {p.message}" if p.key else f"format: {p.message}" for p in problems)
        )


def build_export_body(export_format: str, options: Mapping[str, Any], window: Window) -> dict[str, Any]:
    """
    The JSON body that starts an export job.

    Unset options are left out (the vendor refuses ``null`` and ``""``), except those whose default decides
    what is in the file: these are always sent.

    :raises SettingsError: see :func:`check_options`.
    """
    check_options(export_format, options)
    explicit: dict[str, Any] = {
        "compress": True,
        "sortByLastModifiedDate": False,
        "exportResponsesInProgress": False,
        "useLabels": False,
        "breakoutSets": True,
        "timeZone": "UTC",
    }
    if export_format in _JSON_FORMATS:
        explicit = {key: value for key, value in explicit.items() if key not in _NOT_WITH_JSON}
    if "filterId" in options or options.get("exportResponsesInProgress"):
        del explicit["sortByLastModifiedDate"]
    if options.get("includeLabelColumns"):
        explicit.pop("useLabels", None)
    return {
        "format": export_format,
        "startDate": window.start_text,
        "endDate": window.end_text,
        **explicit,
        **options,
    }


def extension(export_format: str, *, zipped: bool) -> str:
    """The file's extension without a dot; a ZIP is called so whatever is in it."""
    return ZIP_EXTENSION if zipped else FORMATS[export_format].extension


def media_type(export_format: str, *, zipped: bool) -> str:
    """The file's media type."""
    return ZIP_MEDIA_TYPE if zipped else FORMATS[export_format].media_type
