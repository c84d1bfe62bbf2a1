"""
Which messages the responses of an export call for.

A rule names a column and what its value must be; each response that fits gives one message, made from
templates. Answers are written by strangers: templates run in Jinja's sandbox, and everything that goes into
the message body, which may be HTML, is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from interchange.core.export_content import RESPONSE_ID_COLUMN
from interchange.errors import BadRecord, SettingsError

TITLE_LIMIT = 120
"""Modo's console takes titles of fewer characters than this; whether its API checks is not public."""
BODY_LIMIT = 10_000
"""Characters; our own bound against a broken template, as Modo documents none."""

_TEXT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_HTML = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=True)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """
    What a column's value must be; exactly one of the three is given.

    :param equals: this very text.
    :param one_of: one of these texts.
    :param matches: a regular expression that fits the whole value.
    """

    column: str
    equals: str | None = None
    one_of: tuple[str, ...] | None = None
    matches: str | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """
    One message to send, once for ever.

    :param key: names it: export, rule and response. It holds a response id, so hash it before it is stored.
    """

    key: str
    title: str
    body: str
    style: str
    send_tag: str
    push_notifications: bool


class NotifyRule:
    """
    One rule, compiled once and asked for each response.

    ``title``, ``body`` and ``send_tag`` are Jinja templates with ``row`` (text by column name, such as ``{{
    row.Q1 }}`` or ``{{ row["Duration (in seconds)"] }}``), ``export`` and ``rule`` (names).

    :param export: name of the export the rule belongs to.
    :param title_limit: characters that a title must stay below.
    :raises SettingsError: a template or the regular expression has a mistake, or not exactly one test is
        given.
    """

    def __init__(
        self,
        *,
        export: str,
        name: str,
        when: Condition,
        title: str,
        body: str,
        send_tag: str,
        style: str = "information",
        push_notifications: bool = True,
        title_limit: int = TITLE_LIMIT,
    ) -> None:
        if sum(test is not None for test in (when.equals, when.one_of, when.matches)) != 1:
            raise SettingsError(f"rule {name!r}: when: needs exactly one of equals, in, matches")
        self.name = name
        self._export = export
        self._when = when
        self._style = style
        self._push_notifications = push_notifications
        self._title_limit = title_limit
        try:
            self._pattern = re.compile(when.matches) if when.matches is not None else None
        except re.error as exc:
            raise SettingsError(f"rule {name!r}: when.matches is no regular expression: {exc}") from None
        self._title = _compiled(_TEXT, name, "title", title)
        self._body = _compiled(_HTML, name, "body", body)
        self._send_tag = _compiled(_TEXT, name, "send_tag", send_tag)

    @property
    def column(self) -> str:
        """The column the rule looks at."""
        return self._when.column

    def matches(self, row: Mapping[str, str]) -> bool:
        """
        Whether a response calls for this message.

        :raises BadRecord: the export has no such column.
        """
        value = row.get(self._when.column)
        if value is None:
            raise BadRecord(self._when.column, f"the export has no such column; rule {self.name!r} needs it")
        if self._pattern is not None:
            return self._pattern.fullmatch(value) is not None
        if self._when.one_of is not None:
            return value in self._when.one_of
        return value == self._when.equals

    def message(self, row: Mapping[str, str]) -> Message | None:
        """
        The message for a response, or None if the rule does not fit it.

        :raises BadRecord: a column the rule needs is missing, or what comes out is empty or too long.
        """
        if not self.matches(row):
            return None
        response_id = row.get(RESPONSE_ID_COLUMN, "")
        if not response_id:
            raise BadRecord(RESPONSE_ID_COLUMN, "is missing; without it a message cannot be sent once only")
        title = " ".join(self._rendered("title", self._title, row).split())
        body = self._rendered("body", self._body, row).strip()
        send_tag = self._rendered("send_tag", self._send_tag, row).strip()
        for field, text in (("title", title), ("body", body), ("send_tag", send_tag)):
            if not text:
                raise BadRecord(field, f"is empty for this response (rule {self.name!r})")
        if len(title) >= self._title_limit:
            raise BadRecord(
                "title", f"has {len(title)} characters; fewer than {self._title_limit} are allowed"
            )
        if len(body) > BODY_LIMIT:
            raise BadRecord("body", f"has {len(body)} characters; at most {BODY_LIMIT} are allowed")
        return Message(
            key=f"{self._export}/{self.name}/{response_id}",
            title=title,
            body=body,
            style=self._style,
            send_tag=send_tag,
            push_notifications=self._push_notifications,
        )

    def _rendered(self, field: str, template: Template, row: Mapping[str, str]) -> str:
        try:
            return template.render(row=row, export=self._export, rule=self.name)
        except UndefinedError as exc:
            # Jinja names the missing column here, never a value.
            raise BadRecord(
                field, f"the template of rule {self.name!r} uses what is not there: {exc}"
            ) from None
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as exc:
            # These texts may quote the answer.
            raise BadRecord(
                field, f"the template of rule {self.name!r} fails: {type(exc).__name__}"
            ) from None


def _compiled(environment: ImmutableSandboxedEnvironment, rule: str, field: str, source: str) -> Template:
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as exc:
        raise SettingsError(f"rule {rule!r}: {field}: line {exc.lineno}: {exc.message}") from None
