"""The columns of a table export: their three header cells, and the cell of each response."""

from __future__ import annotations

import datetime as dt
import json
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.vendors.qualtrics.data import METADATA, MULTI, NUMBER, TEXT, Question, Response, Survey
from include.sandbox.vendors.qualtrics.start import Start

Cell = str | int | float | dt.datetime | None
STATUS_LABELS = {
    0: "IP Address",
    1: "Survey Preview",
    2: "Survey Test",
    4: "Imported",
    16: "Offline",
    256: "Synthetic",
}
NOT_IF_ANONYMOUS = frozenset(
    {
        "ipAddress",
        "recipientLastName",
        "recipientFirstName",
        "recipientEmail",
        "locationLatitude",
        "locationLongitude",
    }
)
DATES = frozenset({"startDate", "endDate", "recordedDate", "lastModifiedDate"})
NUMBERS = frozenset({"status", "progress", "duration", "finished"})


@dataclass(frozen=True, kw_only=True)
class Column:
    """
    ``cell`` gives a typed value; dates in UTC. ``numeric`` and ``labels`` are for formats with types (SPSS).
    """

    tag: str
    text: str
    import_id: dict[str, Any]
    cell: Callable[[Response], Cell]
    numeric: bool = False
    labels: dict[int, str] = field(default_factory=dict)

    @property
    def is_date(self) -> bool:
        return "timeZone" in self.import_id


def metadata_value(response: Response, import_id: str) -> Any:
    """A value that is not an answer, typed."""
    match import_id:
        case "startDate":
            return response.started
        case "endDate" | "recordedDate":
            return response.recorded
        case "lastModifiedDate":
            return response.modified
        case "duration":
            return response.duration_s
        case "finished":
            return int(response.finished)
        case "_recordId":
            return response.id
        case _:
            return response.values.get(import_id)


def metadata_ids(survey: Survey, start: Start) -> list[str]:
    """The metadata of an export: what the survey keeps, and what was asked for."""
    found = [
        import_id
        for _, _, import_id in METADATA
        if not (survey.anonymous and import_id in NOT_IF_ANONYMOUS)
        and (start.metadata_ids is None or import_id in start.metadata_ids)
    ]
    return [*found, "lastModifiedDate"] if start.sort_by_last_modified else found


def chosen_questions(survey: Survey, start: Start) -> list[Question]:
    return [q for q in survey.questions if start.question_ids is None or q.id in start.question_ids]


def chosen_embedded(survey: Survey, start: Start) -> list[str]:
    return [name for name in survey.embedded if start.embedded_ids is None or name in start.embedded_ids]


def columns_of(survey: Survey, start: Start) -> list[Column]:
    """All columns of a table export, in order."""
    found = [_metadata_column(import_id, start) for import_id in metadata_ids(survey, start)]
    for question in chosen_questions(survey, start):
        found += _question_columns(question, start)
    found += [
        Column(tag=name, text=name, import_id={"ImportId": name}, cell=_value_of(name))
        for name in chosen_embedded(survey, start)
    ]
    if start.wave_weights:
        found.append(
            Column(
                tag="WaveWeight",
                text="Wave Weight",
                import_id={"ImportId": "waveWeight"},
                cell=lambda _: 1.0,
                numeric=True,
            )
        )
    if start.display_order:
        # The order of flow and blocks stays even where the questions are restricted.
        found += [_order_column(name, "FL_1|FL_2") for name in ("FL_0_DO", "BL_1_DO")]
        found += [
            _order_column(f"{q.tag}_DO", "|".join(str(code) for code, _ in q.choices))
            for q in chosen_questions(survey, start)
            if q.choices
        ]
    return found


def _metadata_column(import_id: str, start: Start) -> Column:
    tag, text = next(
        ((tag, text) for tag, text, known in METADATA if known == import_id),
        ("LastModifiedDate", "Last Modified Date"),
    )
    described: dict[str, Any] = {"ImportId": import_id}
    if import_id in DATES:
        described["timeZone"] = start.time_zone or "Z"

    def cell(response: Response) -> Cell:
        value: Cell = metadata_value(response, import_id)
        if start.use_labels and import_id == "status":
            return STATUS_LABELS.get(int(response.values.get("status", 0)), "")
        if start.use_labels and import_id == "finished":
            return str(response.finished)
        return value

    numeric = import_id in NUMBERS and not (start.use_labels and import_id in ("status", "finished"))
    return Column(tag=tag, text=text, import_id=described, cell=cell, numeric=numeric)


def _value_of(import_id: str) -> Callable[[Response], Cell]:
    return lambda response: response.values.get(import_id)


def _order_column(tag: str, order: str) -> Column:
    return Column(tag=tag, text=f"{tag} - Display Order", import_id={"ImportId": tag}, cell=lambda _: order)


def _question_columns(question: Question, start: Start) -> list[Column]:
    if question.kind == MULTI:
        return _multi_columns(question, start)
    labels = dict(question.choices)

    def recode(response: Response) -> Cell:
        value: Cell = response.values.get(question.import_id)
        return start.unanswered if value is None else value

    def label(response: Response) -> Cell:
        code = recode(response)
        return labels.get(code, str(code)) if isinstance(code, int) else code

    typed = question.kind not in (TEXT, NUMBER)
    by_label = start.use_labels and typed
    columns = [
        Column(
            tag=question.tag,
            text=question.text,
            import_id={"ImportId": question.import_id},
            cell=label if by_label else recode,
            numeric=question.kind != TEXT and not by_label,
            labels={} if by_label else labels,
        )
    ]
    if start.label_columns and typed:
        columns.append(
            Column(
                tag=f"{question.tag}_LABEL",
                text=question.text,
                import_id={"ImportId": question.import_id, "IsLabelsColumn": True},
                cell=label,
            )
        )
    return columns


def _multi_columns(question: Question, start: Start) -> list[Column]:
    if not start.breakout_sets:
        shown = dict(question.choices)

        def joined(response: Response) -> Cell:
            codes = response.values.get(question.import_id)
            if codes is None:
                return start.multi_unanswered
            return ",".join(shown.get(code, str(code)) if start.use_labels else str(code) for code in codes)

        return [
            Column(
                tag=question.tag, text=question.text, import_id={"ImportId": question.import_id}, cell=joined
            )
        ]

    def one(code: int, label: str) -> Column:
        def cell(response: Response) -> Cell:
            if code in (response.values.get(question.import_id) or ()):
                return label if start.use_labels else 1
            return start.multi_unanswered

        return Column(
            tag=f"{question.tag}_{code}",
            text=f"{question.text} - Selected Choice - {label}",
            import_id={"ImportId": question.import_id, "choiceId": str(code)},
            cell=cell,
            numeric=not start.use_labels,
        )

    return [one(code, label) for code, label in question.choices]


def as_text(value: Cell, start: Start, zone: dt.tzinfo) -> str:
    """A cell of a csv or tsv file: dates in the zone, without offset."""
    if isinstance(value, str):
        return value.replace("\n", start.newline) if start.newline is not None else value
    if isinstance(value, dt.datetime):
        return value.astimezone(zone).isoformat(" ", "seconds")[:19]
    text = "" if value is None else str(value)
    return text.replace(".", ",") if start.decimal_comma else text


def zone_of(start: Start) -> dt.tzinfo:
    return zoneinfo.ZoneInfo(start.time_zone) if start.time_zone else dt.UTC


def header_rows(columns: list[Column]) -> list[list[str]]:
    """Tags, wordings, and one JSON object a cell."""
    return [
        [column.tag for column in columns],
        [column.text for column in columns],
        [json.dumps(column.import_id, separators=(",", ":"), ensure_ascii=False) for column in columns],
    ]
