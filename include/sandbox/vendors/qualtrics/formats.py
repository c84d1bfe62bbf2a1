"""Responses as the bytes of a file: csv, tsv, json, ndjson, xml, spss."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from include.sandbox.vendors.qualtrics import columns, spss
from include.sandbox.vendors.qualtrics.data import MULTI, Response, Survey
from include.sandbox.vendors.qualtrics.start import Start

EXTENSIONS = {"csv": "csv", "tsv": "tsv", "json": "json", "ndjson": "ndjson", "spss": "sav", "xml": "xml"}
CONTENT_TYPES = {
    "csv": "application/csv",
    "tsv": "application/tsv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "spss": "application/octet-stream",
    "xml": "application/xml",
}
NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
NOT_IN_XML_NAME = re.compile(r"[^\w.-]")


def render(survey: Survey, start: Start, responses: list[Response], at: dt.datetime) -> bytes:
    """The file's bytes; ``at`` is the job's time, for formats that carry one."""
    match start.format:
        case "csv":
            return table(survey, start, responses, ",")
        case "tsv":
            return table(survey, start, responses, "\t")
        case "json":
            items = ",".join(_json(survey, start, response) for response in responses)
            return f'{{"responses":[{items}]}}'.encode()
        case "ndjson":
            return "".join(_json(survey, start, response) + "\n" for response in responses).encode()
        case "xml":
            return _xml(survey, start, responses)
        case _:
            return spss.render(
                survey.name, columns.columns_of(survey, start), responses, at, columns.zone_of(start)
            )


def table(survey: Survey, start: Start, responses: Iterable[Response], delimiter: str) -> bytes:
    chosen = columns.columns_of(survey, start)
    zone = columns.zone_of(start)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerows(columns.header_rows(chosen))
    for response in responses:
        writer.writerow([columns.as_text(column.cell(response), start, zone) for column in chosen])
    return out.getvalue().encode()


def _json(survey: Survey, start: Start, response: Response) -> str:
    values: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    displayed: dict[str, list[int]] = {}
    for import_id in columns.metadata_ids(survey, start):
        value = columns.metadata_value(response, import_id)
        if value is not None:
            values[import_id] = _iso(value) if isinstance(value, dt.datetime) else value
    labels["status"] = columns.STATUS_LABELS.get(values.get("status", 0), "")
    labels["finished"] = str(response.finished)
    questions = columns.chosen_questions(survey, start)
    for question in questions:
        value = response.values.get(question.import_id)
        known = dict(question.choices)
        if known:
            displayed[question.import_id] = list(known)
        if value is None:
            continue
        if question.kind == MULTI:
            values[question.import_id] = [str(code) for code in value]
            labels[question.import_id] = [known.get(code, str(code)) for code in value]
        else:
            values[question.import_id] = value
            if value in known:
                labels[question.import_id] = known[value]
    for name in columns.chosen_embedded(survey, start):
        if (value := response.values.get(name)) is not None:
            values[name] = value
    item = {
        "responseId": response.id,
        "values": values,
        "labels": labels,
        "displayedFields": [question.import_id for question in questions],
        "displayedValues": displayed,
    }
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def _iso(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _xml(survey: Survey, start: Start, responses: list[Response]) -> bytes:
    chosen = [(_xml_name(column.tag), column) for column in columns.columns_of(survey, start)]
    zone = columns.zone_of(start)
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n<Responses>\n']
    for response in responses:
        out.append("<Response>")
        for name, column in chosen:
            text = NOT_IN_XML.sub("", columns.as_text(column.cell(response), start, zone))
            out.append(f"<{name}>{escape(text)}</{name}>")
        out.append("</Response>\n")
    out.append("</Responses>\n")
    return "".join(out).encode()


def _xml_name(tag: str) -> str:
    return re.sub(r"^(?=[\d.-])", "_", NOT_IN_XML_NAME.sub("_", tag))
