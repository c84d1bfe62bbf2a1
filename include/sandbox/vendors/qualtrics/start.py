"""The body of "start export": what is accepted, and with which words it is refused."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass
from typing import Any

from include.sandbox.vendors.qualtrics.data import METADATA, Survey
from include.sandbox.vendors.qualtrics.switches import Options

FORMATS = ("csv", "tsv", "json", "ndjson", "spss", "xml")
EXTERNAL_REFERENCE = "externalDataReference"
TYPES: dict[str, type] = {
    "format": str,
    "compress": bool,
    "startDate": str,
    "endDate": str,
    "sortByLastModifiedDate": bool,
    "filterId": str,
    "limit": int,
    "useLabels": bool,
    "includeLabelColumns": bool,
    "seenUnansweredRecode": int,
    "multiselectSeenUnansweredRecode": int,
    "includeDisplayOrder": bool,
    "breakoutSets": bool,
    "formatDecimalAsComma": bool,
    "newlineReplacement": str,
    "timeZone": str,
    "questionIds": list,
    "embeddedDataIds": list,
    "surveyMetadataIds": list,
    "exportResponsesInProgress": bool,
    "allowContinuation": bool,
    "continuationToken": str,
    "includeWaveWeights": bool,
}
NOT_WITH_JSON = (
    "includeDisplayOrder",
    "useLabels",
    "formatDecimalAsComma",
    "seenUnansweredRecode",
    "multiselectSeenUnansweredRecode",
    "timeZone",
    "newlineReplacement",
    "breakoutSets",
)
EXCLUSIVE = (
    ("useLabels", "includeLabelColumns"),
    ("filterId", "allowContinuation"),
    ("filterId", "continuationToken"),
    ("filterId", "sortByLastModifiedDate"),
    ("continuationToken", "allowContinuation"),
)
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# Abbreviations (EST), Etc/… and bare country names are not in the vendor's list.
ZONE = re.compile(r"(Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)/.+|UTC")
FIRST = dt.datetime(1970, 1, 1, 1, tzinfo=dt.UTC)
LAST = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


class ApiError(Exception):
    """An answer in the vendor's error envelope."""

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        request_id: str | None = None,
        instance_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.request_id = request_id
        self.instance_id = instance_id


def invalid(message: str) -> ApiError:
    return ApiError(400, "QVAL_7", message)


@dataclass(frozen=True, kw_only=True)
class Start:
    """A checked request. Names follow the API's; None means "not given" where that differs from a value."""

    format: str
    compress: bool = True
    start: dt.datetime = FIRST
    end: dt.datetime = LAST
    sort_by_last_modified: bool = False
    filter_id: str | None = None
    limit: int | None = None
    use_labels: bool = False
    label_columns: bool = False
    unanswered: int | None = None
    multi_unanswered: int | None = None
    display_order: bool = False
    breakout_sets: bool = True
    decimal_comma: bool = False
    newline: str | None = None
    time_zone: str | None = None
    question_ids: tuple[str, ...] | None = None
    embedded_ids: tuple[str, ...] | None = None
    metadata_ids: tuple[str, ...] | None = None
    in_progress: bool = False
    allow_continuation: bool = False
    continuation_token: str | None = None
    wave_weights: bool = False


def parse(body: Any, survey: Survey, options: Options) -> Start:
    """
    Check a start request as the vendor does.

    :raises ApiError: 400, saying what is wrong.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "BRE_0.5", "The request body must be a JSON object.")
    _check_keys_and_types(body)
    form = body["format"]
    if form in ("json", "ndjson"):
        for name in NOT_WITH_JSON:
            if name in body:
                raise invalid(f"Invalid parameter {name}: not allowed with format {form}.")
    if "newlineReplacement" in body and form not in ("csv", "tsv"):
        raise invalid(f"Invalid parameter newlineReplacement: not allowed with format {form}.")
    for one, other in EXCLUSIVE:
        if body.get(one) and body.get(other):
            raise invalid(f"Invalid parameters: {one} cannot be combined with {other}.")
    if body.get("limit", 1) < 1:
        raise invalid("Invalid parameter limit: must be positive.")
    if survey.large_bytes and form != "csv":
        raise invalid("The sandbox generates large surveys as csv only.")
    in_progress = body.get("exportResponsesInProgress", False)
    unanswered = body.get("seenUnansweredRecode")
    return Start(
        format=form,
        compress=body.get("compress", True),
        start=_date(body, "startDate", FIRST, options),
        end=_date(body, "endDate", LAST, options),
        sort_by_last_modified=body.get("sortByLastModifiedDate", False) and not in_progress,
        filter_id=_known(body.get("filterId"), {f.id for f in survey.filters}, "filterId"),
        limit=body.get("limit"),
        use_labels=body.get("useLabels", False),
        label_columns=body.get("includeLabelColumns", False),
        unanswered=unanswered,
        multi_unanswered=body.get("multiselectSeenUnansweredRecode", unanswered),
        display_order=body.get("includeDisplayOrder", False),
        breakout_sets=body.get("breakoutSets", True),
        decimal_comma=body.get("formatDecimalAsComma", False),
        newline=body.get("newlineReplacement"),
        time_zone=_zone(body.get("timeZone")),
        question_ids=_ids(body, "questionIds", {q.id for q in survey.questions}),
        embedded_ids=_ids(body, "embeddedDataIds", set(survey.embedded)),
        metadata_ids=_metadata(body, options),
        in_progress=in_progress,
        allow_continuation=body.get("allowContinuation", False),
        continuation_token=body.get("continuationToken"),
        wave_weights=body.get("includeWaveWeights", False),
    )


def _check_keys_and_types(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if name not in TYPES:
            raise invalid(f"Unexpected json key provided: {name}")
        wanted = TYPES[name]
        # In JSON true is no number, in Python it is one.
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise invalid(f"Invalid parameter {name}: expected {wanted.__name__}.")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise invalid(f"Invalid parameter {name}: expected an array of strings.")
    if "format" not in body:
        raise invalid("Missing parameter format.")
    if body["format"] not in FORMATS:
        raise invalid(f"Invalid parameter format: must be one of {', '.join(FORMATS)}.")


def _date(body: dict[str, Any], name: str, default: dt.datetime, options: Options) -> dt.datetime:
    if name not in body:
        return default
    found = DATE.fullmatch(body[name])
    if found is None or (found.group(1) and options.fractions_refused):
        raise invalid(f"Invalid parameter {name}: expected YYYY-MM-DDThh:mm:ssZ or an offset.")
    try:
        return dt.datetime.fromisoformat(body[name]).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise invalid(f"Invalid parameter {name}: no such date.") from None


def _zone(name: str | None) -> str | None:
    if name is not None and (not ZONE.fullmatch(name) or name not in zoneinfo.available_timezones()):
        raise invalid("Invalid parameter timeZone: not a supported time zone.")
    return name


def _known(value: str | None, known: set[str], name: str) -> str | None:
    if value is not None and value not in known:
        raise invalid(f"Invalid parameter {name}.")
    return value


def _ids(body: dict[str, Any], name: str, known: set[str]) -> tuple[str, ...] | None:
    if name not in body:
        return None
    for item in body[name]:
        _known(item, known, name)
    return tuple(body[name])


def _metadata(body: dict[str, Any], options: Options) -> tuple[str, ...] | None:
    spelling = options.external_reference_id
    known = {import_id for _, _, import_id in METADATA} - {EXTERNAL_REFERENCE} | {spelling}
    chosen = _ids(body, "surveyMetadataIds", known)
    return chosen and tuple(EXTERNAL_REFERENCE if name == spelling else name for name in chosen)
