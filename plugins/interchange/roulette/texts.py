"""What the bot says and the cards it sends, from templates that a maintainer edits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from interchange.errors import SettingsError
from interchange.settings.files import read_yaml, templates_dir

TEXTS, CARDS = "webex/texts.yaml", "webex/cards"
# What Webex's markdown gives a meaning inside a line, mentions in angle brackets included.
_MARKS = re.compile(r"([\\`*_\[\]<>~])")


def plain(value: object) -> str:
    """A value that stays what it is inside a text in markdown: names come from outside."""
    return _MARKS.sub(r"\\\1", " ".join(str(value).split()))


class Texts:
    """
    :param folder: of all templates.
    :raises SettingsError: a file is missing, or is none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or templates_dir()
        self._texts: Mapping[str, Any] = read_yaml(self._folder / TEXTS)
        # Each value that is filled in is made harmless, links included; the template's own marks count.
        self._marked = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, finalize=_finalized)
        self._marked.filters["bold"] = _bold
        self._unmarked = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        self._cards: dict[str, Any] = {}

    def say(self, name: str, /, **values: Any) -> str:
        """
        A text in markdown. Names and other values cannot add marks of their own; those under ``web_link`` can.

        :raises SettingsError: the template is missing, or names something it is not given.
        """
        return self._filled(self._marked, self._text(name), name, values).strip()

    def line(self, name: str, /, **values: Any) -> str:
        """A text without marks, in one line, such as a meeting's title."""
        return " ".join(self._filled(self._unmarked, self._text(name), name, values).split())

    def card(self, name: str, /, **values: Any) -> dict[str, Any]:
        """
        An adaptive card. Each text in it is a template of its own, filled in after the JSON was read: no value can
        change the card's shape.

        :raises SettingsError: as :meth:`say`; or the file is no JSON.
        """
        if name not in self._cards:
            path = self._folder / CARDS / f"{name}.json"
            try:
                self._cards[name] = json.loads(path.read_text(encoding="utf-8"))
            except OSError as exc:
                raise SettingsError(f"templates: {path} cannot be read: {exc.strerror}") from None
            except ValueError as exc:
                raise SettingsError(f"templates: {path} is no JSON: {exc}") from None
        filled: dict[str, Any] = self._walk(self._cards[name], f"{CARDS}/{name}.json", values)
        return filled

    def _walk(self, part: Any, name: str, values: Mapping[str, Any]) -> Any:
        if isinstance(part, str):
            return self._filled(self._unmarked, part, name, values) if "{" in part else part
        if isinstance(part, list):
            return [self._walk(entry, name, values) for entry in part]
        if isinstance(part, dict):
            return {key: self._walk(entry, name, values) for key, entry in part.items()}
        return part

    def _text(self, name: str) -> str:
        text = self._texts.get(name)
        if not isinstance(text, str):
            raise SettingsError(f"templates: {self._folder / TEXTS}: {name} is missing, or is no text")
        return text

    @staticmethod
    def _filled(environment: SandboxedEnvironment, text: str, name: str, values: Mapping[str, Any]) -> str:
        try:
            return environment.from_string(text).render(values)
        except (TemplateError, ValueError, TypeError, ArithmeticError) as exc:
            # The text of a template's error names what is missing, never a value.
            raise SettingsError(f"templates: {name}: {type(exc).__name__}: {exc}") from None


class Link(str):
    """A text that stays as it is, such as an address, or one that has marks of its own."""

    __slots__ = ()


def _bold(names: Iterable[object]) -> Link:
    """Several names, each in bold; a mark between them would be taken for one of theirs."""
    shown = [f"**{plain(name)}**" for name in names]
    return Link(" and ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part))


def _finalized(value: Any) -> str:
    return str(value) if isinstance(value, (Link, int, float)) else plain(value)
