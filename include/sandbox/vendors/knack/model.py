"""What a Knack application is made of, and how its values look in an answer."""

from __future__ import annotations

import datetime as dt
import html
from dataclasses import dataclass, field
from typing import Any

MISSING = object()
"""A type of field that has no raw value."""


@dataclass(kw_only=True)
class Field:
    """
    :param type: as in Knack's metadata: ``short_text``, ``auto_increment``, ``date_time``, ``connection``, …
    :param choices: of a multiple choice.
    :param has_time: of a date_time: False for dates alone.
    """

    key: str
    name: str
    type: str
    choices: tuple[str, ...] = ()
    required: bool = False
    unique: bool = False
    has_time: bool = True


@dataclass(kw_only=True)
class Table:
    """An object in Knack's words; ``records`` by id hold stored values by field key, in the order of creation."""

    key: str
    name: str
    fields: dict[str, Field]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def field_of(self, key: str) -> Field | None:
        return self.fields.get(key)


@dataclass(kw_only=True)
class View:
    """
    :param columns: keys of the fields it shows, in order.
    :param criteria: rules that every record in it passes.
    :param sort: field key and ``asc`` or ``desc``.
    :param login: only for people who are logged in, or for the REST key.
    """

    key: str
    name: str
    scene: str
    table: str
    columns: list[str]
    criteria: list[dict[str, Any]] = field(default_factory=list)
    sort: tuple[str, str] | None = None
    login: bool = True
    type: str = "table"


@dataclass(kw_only=True)
class Application:
    """
    :param zone_name: as the builder shows it; ``zone`` is what it means.
    """

    id: str
    name: str
    api_key: str
    zone_name: str
    zone: str
    tables: dict[str, Table]
    views: dict[str, View]
    user_tokens: list[str] = field(default_factory=list)

    def metadata(self) -> dict[str, Any]:
        """What ``GET /v1/applications/{id}`` answers; megabytes in a real application."""
        scenes: dict[str, list[View]] = {}
        for view in self.views.values():
            scenes.setdefault(view.scene, []).append(view)
        return {
            "application": {
                "id": self.id,
                "name": self.name,
                "account": {"slug": "sandbox", "name": "Sandbox"},
                "settings": {"timezone": self.zone_name},
                "objects": [
                    {
                        "key": table.key,
                        "name": table.name,
                        "identifier": next(iter(table.fields)),
                        "fields": [
                            {
                                "key": known.key,
                                "name": known.name,
                                "type": known.type,
                                "required": known.required,
                                "unique": known.unique,
                            }
                            for known in table.fields.values()
                        ],
                    }
                    for table in self.tables.values()
                ],
                "scenes": [
                    {
                        "key": scene,
                        "slug": scene.replace("_", "-"),
                        "views": [_view(view) for view in views],
                    }
                    for scene, views in scenes.items()
                ],
                "counts": {"total_entries": -1},
            }
        }


def _view(view: View) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "key": view.key,
        "name": view.name,
        "type": view.type,
        "source": {
            "object": view.table,
            "sort": [{"field": view.sort[0], "order": view.sort[1]}] if view.sort else [],
            "criteria": {"match": "all", "rules": view.criteria},
        },
        "rows_per_page": 25,
    }
    if view.type == "table":
        # The last column is a link to a record's page: those have no field.
        columns: list[dict[str, Any]] = [{"type": "field", "field": {"key": key}} for key in view.columns]
        shown["columns"] = [*columns, {"type": "link", "link_text": "details"}]
    return shown


def is_blank(value: Any) -> bool:
    return value is None or value == "" or value == []


def shown(known: Field, value: Any, *, line_break: str) -> tuple[Any, Any]:
    """
    A stored value as ``field_N`` and ``field_N_raw``; the second is MISSING where the type has none.

    :param line_break: how line breaks of paragraph text are written.
    """
    if is_blank(value):
        # Empty connections come as a list or as nothing at all; other types as empty text.
        return "", [] if known.type == "connection" else MISSING if known.type == "date_time" else ""
    match known.type:
        case "paragraph_text":
            text = str(value).replace("\n", line_break)
            return html.escape(text, quote=False).replace("&lt;br /&gt;", "<br />"), text
        case "number" | "auto_increment":
            return value, value
        case "currency":
            return f"${value}", str(value)
        case "rating":
            return f"{value:.2f}", value
        case "equation":
            return round(value), value
        case "boolean":
            return "Yes" if value else "No", value
        case "connection":
            spans = [f'<span class="{one["id"]}">{html.escape(one["identifier"])}</span>' for one in value]
            return "<br />".join(spans), value
        case "email":
            return f'<a href="mailto:{value}">{value}</a>', {"email": value}
        case "link":
            return f'<a href="{value}">{value}</a>', {"url": value}
        case "phone":
            area, number = value[:3], value[3:]
            formatted = f"({area}) {number[:3]}-{number[3:]}"
            return formatted, {"area": area, "number": number, "full": value, "formatted": formatted}
        case "name":
            last, first, middle = value["last"], value["first"], value.get("middle", "")
            return f"{last}, {first} {middle}".rstrip(), value
        case "address":
            return f"{value['street']}<br />{value['city']}, {value['state']} {value['zip']}", value
        case "date_time":
            return _date(known, dt.datetime.fromisoformat(value))
        case "concatenation":
            # One of the types that come without a raw value.
            return value, MISSING
    return value, value


def _date(known: Field, wall: dt.datetime) -> tuple[str, dict[str, Any]]:
    """The application's wall clock, given as if it were UTC; minutes, no seconds."""
    wall = wall.replace(second=0, microsecond=0, tzinfo=None)
    if not known.has_time:
        wall = wall.replace(hour=0, minute=0)
    day, stamp = wall.strftime("%m/%d/%Y"), int(wall.replace(tzinfo=dt.UTC).timestamp() * 1000)
    raw = {
        "date": day,
        "date_formatted": day,
        "hours": wall.strftime("%I"),
        "minutes": wall.strftime("%M"),
        "am_pm": wall.strftime("%p"),
        "unix_timestamp": stamp,
        "iso_timestamp": wall.strftime("%Y-%m-%dT%H:%M:00.000Z"),
        "timestamp": wall.strftime("%m/%d/%Y %I:%M ") + wall.strftime("%p").lower(),
        # Of a date alone, the vendor counts twelve hours although it shows midnight.
        "time": wall.hour * 60 + wall.minute if known.has_time else 720,
    }
    return wall.strftime("%m/%d/%Y %H:%M" if known.has_time else "%m/%d/%Y"), raw
