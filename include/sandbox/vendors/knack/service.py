"""
Knack's REST API, version 1: metadata, records of views and of objects.

Facts and what is only assumed: docs/sources/knack.md. Success is JSON; failure mostly is not.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zoneinfo
from collections.abc import Callable
from typing import Any, ClassVar

from include.sandbox.connections import KNACK_APPS
from include.sandbox.core import Vendor, new_id
from include.sandbox.vendors.knack import seeds
from include.sandbox.vendors.knack.filters import UnknownRule, passes, rules_of
from include.sandbox.vendors.knack.model import MISSING, Application, Table, View, is_blank, shown
from include.sandbox.wire import Request, Response, answer_html, answer_json, route

APP_HEADER, KEY_HEADER = "X-Knack-Application-Id", "X-Knack-REST-API-Key"
PUBLIC_KEY = "knack"
MOST_ROWS = 1000
# Types whose content is nobody else's business; the audit keeps only its length.
_PRIVATE = ("paragraph_text", "rich_text", "short_text", "email", "phone", "name", "address")
_TEXT = [("Content-Type", "text/html; charset=utf-8")]


class Refusal(Exception):
    """A request that is answered with an error, as plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Knack(Vendor):
    name: ClassVar[str] = "knack"

    @dataclasses.dataclass
    class Options:
        requests_per_second: int = 10
        """The rest of a second in which there were more is refused."""
        plan_limit: int = 10_000
        """Requests a day, of all applications together; the day ends at 00:00 UTC."""
        plan_used: int = 0
        """So many of today's have been used by others."""
        injected_429: str = "burst"
        """burst or daily: what an injected 429 says."""

        unknown_rule: str = "ignore"
        """ignore, or refuse (400): a filter's rule with an unknown field or operator."""
        forgotten_operators: tuple[str, ...] = ()
        """Operators that it does not know any more; see ``unknown_rule``."""
        announce_extra: int = 0
        """``total_records`` promises so many records more than there are."""
        line_break: str = "<br />"
        """Of paragraph text, in raw values too; or a plain line break."""
        unique_is_strict: bool = False
        """A PUT that repeats a unique field's own value is refused."""

        edit_after_read: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
        """``{record id: {field key: value}}``: a person's edit, directly after the record was read by itself; once."""
        edit_after_page: dict[str, dict[str, dict[str, Any]]] = dataclasses.field(default_factory=dict)
        """``{page number: {record id: {field key: value}}}``: directly after that page of a view was read; once."""

    def clear(self) -> None:
        self.apps: dict[str, Application] = {}
        self.audit: list[dict[str, Any]] = []
        self.used: dict[str, int] = {}
        self._second: dict[str, tuple[int, int]] = {}
        for name, (app_id, api_key) in KNACK_APPS.items():
            self.apps[app_id] = seeds.application(name, app_id=app_id, api_key=api_key)
            self._add(name, seeds.demo_rows(name))

    def _add(self, name: str, rows: list[dict[str, Any]]) -> None:
        app = self.app(name)
        (table,) = app.tables.values()
        for row in rows:
            record, values = seeds.stored(name, row)
            table.records[record] = values

    def app(self, name: str) -> Application:
        """An application by its name."""
        return next(app for app in self.apps.values() if app.name == name)

    def seed(self, data: dict[str, Any]) -> None:
        """
        ``{"records": {app: [{"number", "sr", "activity", …}]}}`` adds or replaces records;
        ``{"empty": [app]}`` takes all records away; ``{"edit": {record id: {field key: value}}}`` is a person's edit;
        ``{"remove_column": {view: field key}}`` and ``{"user_token": {app: token}}`` what they say.
        """
        known = {"records", "empty", "edit", "remove_column", "user_token"}
        if unknown := set(data) - known:
            raise ValueError(f"unknown seeds {sorted(unknown)}; known: {', '.join(sorted(known))}")
        for name in data.get("empty", ()):
            for table in self.app(name).tables.values():
                table.records.clear()
        for name, rows in data.get("records", {}).items():
            self._add(name, rows)
        for record, values in data.get("edit", {}).items():
            self._edit(record, values)
        for view_key, column in data.get("remove_column", {}).items():
            for app in self.apps.values():
                if view_key in app.views:
                    app.views[view_key].columns.remove(column)
        for name, token in data.get("user_token", {}).items():
            self.app(name).user_tokens.append(token)

    def snapshot(self) -> dict[str, Any]:
        """Status by record, and every write."""
        return {
            "apps": {
                app.name: {
                    record: values[seeds.field_key(app.name, "status")]
                    for table in app.tables.values()
                    for record, values in table.records.items()
                }
                for app in self.apps.values()
            },
            "audit": self.audit,
            "used_today": self._used_today(),
        }

    def dump(self) -> Any:
        return self.apps, self.audit, self.used

    def load(self, dumped: Any) -> None:
        self.apps, self.audit, self.used = dumped

    # Metadata

    @route("GET", "/v1/applications/{app}", operation="application")
    def application(self, request: Request) -> Response:
        """Public: no credential, and not counted."""
        found = self.apps.get(request.params["app"])
        if found is None:
            status, text = (404, "Not Found") if _is_id(request.params["app"]) else (400, "Malformed App ID")
            return Response(status=status, body=text.encode(), headers=_TEXT)
        return answer_json(200, found.metadata())

    # Records

    @route("GET", "/v1/pages/{scene}/views/{view}/records", operation="view_records")
    @route("GET", "/v1/scenes/{scene}/views/{view}/records", operation="view_records")
    def view_records(self, request: Request) -> Response:
        return self._answered(request, self._view_records)

    @route("GET", "/v1/objects/{object}/records", operation="object_records")
    def object_records(self, request: Request) -> Response:
        return self._answered(request, self._object_records)

    @route("GET", "/v1/objects/{object}/records/{record}", operation="record")
    def record(self, request: Request) -> Response:
        return self._answered(request, self._record)

    @route("POST", "/v1/objects/{object}/records", operation="create_record")
    @route("POST", "/v1/pages/{scene}/views/{view}/records", operation="create_record")
    def create_record(self, request: Request) -> Response:
        return self._answered(request, self._create)

    @route("PUT", "/v1/objects/{object}/records/{record}", operation="update_record")
    @route("PUT", "/v1/pages/{scene}/views/{view}/records/{record}", operation="update_record")
    def update_record(self, request: Request) -> Response:
        return self._answered(request, self._update)

    @route("DELETE", "/v1/objects/{object}/records/{record}", operation="delete_record")
    @route("DELETE", "/v1/pages/{scene}/views/{view}/records/{record}", operation="delete_record")
    def delete_record(self, request: Request) -> Response:
        return self._answered(request, self._delete)

    def _view_records(self, request: Request, app: Application) -> Response:
        view = self._view(app, request)
        table = app.tables[view.table]
        now = self.now().astimezone(zoneinfo.ZoneInfo(app.zone))
        records = [
            (key, values)
            for key, values in table.records.items()
            if passes(values, table, "and", view.criteria, now, strict=True)
        ]
        if view.sort is not None:
            by, order = view.sort
            records.sort(key=lambda entry: (str(entry[1].get(by, "")), entry[0]), reverse=order == "desc")
        answer = self._page(request, app, table, records, columns=view.columns)
        page = request.arg("page", "1") or "1"
        for record, values in self.options.edit_after_page.pop(page, {}).items():
            self._edit(record, values)
        return answer

    def _object_records(self, request: Request, app: Application) -> Response:
        table = self._table(app, request)
        return self._page(request, app, table, list(table.records.items()), columns=list(table.fields))

    def _page(
        self,
        request: Request,
        app: Application,
        table: Table,
        records: list[tuple[str, dict[str, Any]]],
        *,
        columns: list[str],
    ) -> Response:
        """One page of what passes the caller's filter now: nothing is kept between two pages."""
        if (text := request.arg("filters")) is not None:
            try:
                match, rules = rules_of(text)
                forgotten = self.options.forgotten_operators
                rules = [{} if rule.get("operator") in forgotten else rule for rule in rules]
                now = self.now().astimezone(zoneinfo.ZoneInfo(app.zone))
                strict = self.options.unknown_rule == "refuse"
                records = [
                    (key, values)
                    for key, values in records
                    if passes(values, table, match, rules, now, strict=strict)
                ]
            except (ValueError, UnknownRule):
                raise Refusal(400, "Invalid filters") from None
        if (by := request.arg("sort_field")) is not None:
            order = request.arg("sort_order", "asc")
            records.sort(key=lambda entry: _sortable(entry[1].get(by)), reverse=order == "desc")
        page, rows = _number(request, "page", 1), min(_number(request, "rows_per_page", 25), MOST_ROWS)
        total = len(records) + self.options.announce_extra
        return answer_json(
            200,
            {
                "total_pages": max(-(-total // rows), 1),
                "current_page": page,
                "total_records": total,
                "records": [
                    self._shown(table, key, values, columns)
                    for key, values in records[(page - 1) * rows : page * rows]
                ],
            },
        )

    def _shown(self, table: Table, key: str, values: dict[str, Any], columns: list[str]) -> dict[str, Any]:
        answer: dict[str, Any] = {"id": key}
        for column in columns:
            display, raw = shown(table.fields[column], values.get(column), line_break=self.options.line_break)
            answer[column] = display
            if raw is not MISSING:
                answer[f"{column}_raw"] = raw
        return answer

    def _record(self, request: Request, app: Application) -> Response:
        table = self._table(app, request)
        key, values = self._found(table, request)
        answer = answer_json(200, self._shown(table, key, values, list(table.fields)))
        self._edit(key, self.options.edit_after_read.pop(key, {}))
        return answer

    def _create(self, request: Request, app: Application) -> Response:
        table = self._table(app, request)
        values = self._body(request, table)
        for known in table.fields.values():
            if known.type == "auto_increment":
                numbers = [record.get(known.key) or 0 for record in table.records.values()]
                values.setdefault(known.key, max(numbers, default=0) + 1)
        key = new_id()[:24]
        table.records[key] = values
        self._note("api", table, key, {}, values)
        return answer_json(200, self._shown(table, key, values, list(table.fields)))

    def _update(self, request: Request, app: Application) -> Response:
        table = self._table(app, request)
        key, values = self._found(table, request)
        changes = self._body(request, table)
        if self.options.unique_is_strict:
            for field in changes:
                if table.fields[field].unique and changes[field] == values.get(field):
                    raise _Invalid(f"{table.fields[field].name} must be unique", field)
        old = dict(values)
        values.update(changes)
        self._note("api", table, key, old, changes)
        return answer_json(200, self._shown(table, key, values, list(table.fields)))

    def _delete(self, request: Request, app: Application) -> Response:
        table = self._table(app, request)
        key, _ = self._found(table, request)
        del table.records[key]
        self.audit.append({"at": self.now().isoformat(), "by": "api", "record": key, "deleted": True})
        self.effect("record_deleted", record=key)
        return answer_json(200, {"delete": True})

    def _body(self, request: Request, table: Table) -> dict[str, Any]:
        """The fields a write names; an ``id`` among them is passed over."""
        given = request.json()
        if not isinstance(given, dict):
            raise Refusal(400, "Invalid JSON")
        changes = {}
        for name, value in given.items():
            known = table.fields.get(name)
            if known is None:
                continue
            if known.choices and value not in known.choices and not is_blank(value):
                raise _Invalid(f"{known.name} must be one of its choices", name)
            if known.type == "boolean":
                value = value in (True, "yes", "on", "Yes", "true")
            changes[name] = value
        return changes

    # Writes, whoever makes them

    def _edit(self, record: str, values: dict[str, Any]) -> None:
        """A person changes a record in the application."""
        if not values:
            return
        for app in self.apps.values():
            for table in app.tables.values():
                if record in table.records:
                    old = dict(table.records[record])
                    table.records[record].update(values)
                    self._note("person", table, record, old, values)

    def _note(self, by: str, table: Table, record: str, old: dict[str, Any], changes: dict[str, Any]) -> None:
        for field, value in changes.items():
            private = table.fields[field].type in _PRIVATE
            facts = {
                "record": record,
                "field": field,
                "old": _hidden(old.get(field)) if private else old.get(field),
                "new": _hidden(value) if private else value,
            }
            self.audit.append({"at": self.now().isoformat(), "by": by, "object": table.key, **facts})
            if by == "api":
                self.effect("record_updated", **facts)

    # Who asks, and how often

    def _answered(self, request: Request, handler: Callable[[Request, Application], Response]) -> Response:
        with self.lock:
            try:
                app = self._asking(request)
                self._count(app)
                answer = handler(request, app)
            except _Invalid as exc:
                answer = answer_json(400, {"errors": [{"message": str(exc), "field": exc.field}]})
            except Refusal as exc:
                answer = Response(status=exc.status, body=exc.text.encode(), headers=list(_TEXT))
            answer.headers += self._limits(request)
            return answer

    def _asking(self, request: Request) -> Application:
        app_id = request.headers.get(APP_HEADER)
        if not app_id:
            raise Refusal(401, "Invalid API Request")
        if not _is_id(app_id):
            raise Refusal(400, "Malformed App ID")
        app, key = self.apps.get(app_id), request.headers.get(KEY_HEADER)
        if app is None:
            raise Refusal(400, "Malformed App ID.")
        if key == app.api_key:
            return app
        if key == PUBLIC_KEY and "view" in request.params:
            view = self._view(app, request)
            if not view.login or request.headers.get("Authorization") in app.user_tokens:
                return app
            raise Refusal(403, "Invalid or Expired Token")
        raise Refusal(401, "Invalid API key")

    def _count(self, app: Application) -> None:
        day = self.now().strftime("%Y-%m-%d")
        if self._used_today() >= self.options.plan_limit:
            raise Refusal(429, "Rate limit exceeded")
        second, count = int(self.now().timestamp()), 1
        if (last := self._second.get(app.id)) is not None and last[0] == second:
            count = last[1] + 1
        self._second[app.id] = (second, count)
        if count > self.options.requests_per_second:
            raise Refusal(429, "Rate limit exceeded")
        self.used[day] = self.used.get(day, 0) + 1

    def _used_today(self) -> int:
        used: int = self.used.get(self.now().strftime("%Y-%m-%d"), 0) + self.options.plan_used
        return used

    def _limits(self, request: Request, *, daily: bool | None = None) -> list[tuple[str, str]]:
        """Both triples: milliseconds until midnight for the day's, seconds since 1970 for the second's."""
        now = self.now()
        midnight = (now.hour * 3600 + now.minute * 60 + now.second) * 1000 + now.microsecond // 1000
        left = (
            max(self.options.plan_limit - self._used_today(), 0) if daily is None else 0 if daily else 9_000
        )
        second, count = self._second.get(request.headers.get(APP_HEADER, ""), (0, 0))
        count = count if second == int(now.timestamp()) else 0
        return [
            ("X-PlanLimit-Limit", str(self.options.plan_limit)),
            ("X-PlanLimit-Remaining", str(left)),
            ("X-PlanLimit-Reset", str(86_400_000 - midnight)),
            ("X-RateLimit-Limit", str(self.options.requests_per_second)),
            ("X-RateLimit-Remaining", str(max(self.options.requests_per_second - count, 0))),
            ("X-RateLimit-Reset", str(int(now.timestamp()) + 1)),
        ]

    # What is asked for

    def _view(self, app: Application, request: Request) -> View:
        view = app.views.get(request.params["view"])
        if view is None or view.scene != request.params["scene"]:
            raise Refusal(404, "Not Found")
        return view

    def _table(self, app: Application, request: Request) -> Table:
        if "view" in request.params:
            return app.tables[self._view(app, request).table]
        table = app.tables.get(request.params["object"])
        if table is None:
            raise Refusal(404, "Not Found")
        return table

    @staticmethod
    def _found(table: Table, request: Request) -> tuple[str, dict[str, Any]]:
        key = request.params["record"]
        if key not in table.records:
            raise Refusal(404, "Not Found")
        return key, table.records[key]

    # Failures

    def failure(self, request: Request, status: int) -> Response:
        if status == 429:
            headers = self._limits(request, daily=self.options.injected_429 == "daily")
            return Response(status=429, body=b"Rate limit exceeded", headers=[*_TEXT, *headers])
        if status == 401:
            return Response(status=401, body=b"Invalid API key", headers=list(_TEXT))
        return answer_html(status)

    def not_found(self, request: Request) -> Response:
        return Response(status=404, body=b"Not Found", headers=list(_TEXT))

    def bad_body(self, request: Request, reason: str) -> Response:
        return Response(status=400, body=b"Invalid JSON", headers=list(_TEXT))


class _Invalid(Exception):
    """A write that breaks a field's rule: the one error that is JSON."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{24}", text) is not None


def _number(request: Request, name: str, default: int) -> int:
    text = request.arg(name, str(default)) or ""
    if not text.isdigit() or int(text) < 1:
        raise Refusal(400, f"Invalid {name}")
    return int(text)


def _sortable(value: Any) -> tuple[int, float, str]:
    return (
        (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, json.dumps(value, default=str))
    )


def _hidden(value: Any) -> str:
    return f"{len(str(value or ''))} characters"
