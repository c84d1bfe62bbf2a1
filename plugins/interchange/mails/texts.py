"""Subject and body of a mail, from templates that a maintainer edits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from interchange.core.closings import Mail, Told
from interchange.errors import SettingsError

_SAMPLE = Mail(customer="sample", address="a@example.com", full_name="Ann ITO", tickets=())


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A mail's templates, ready to be filled."""

    subject: Template
    text: Template
    html: Template | None

    def subject_of(self, mail: Mail) -> str:
        """In one line: what a template's line breaks would do to a mail's head is not for it to say."""
        return " ".join(_fill(self.subject, mail).split())

    def text_of(self, mail: Mail) -> str:
        return _fill(self.text, mail)

    def html_of(self, mail: Mail) -> str | None:
        return None if self.html is None else _fill(self.html, mail)


def load_texts(folder: Path, *, subject: str, text: str, html: str | None) -> Texts:
    """
    Read and try the templates, before anything is planned with them.

    :param folder: where they are; the names are relative to it.
    :raises SettingsError: one cannot be read, is no template, or names something a mail does not have.
    """
    plain = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    marked = SandboxedEnvironment(undefined=StrictUndefined, autoescape=True, keep_trailing_newline=True)
    texts = Texts(
        subject=_load(plain, folder, subject),
        text=_load(plain, folder, text),
        html=None if html is None else _load(marked, folder, html),
    )
    texts.subject_of(_SAMPLE), texts.text_of(_SAMPLE), texts.html_of(_SAMPLE)
    return texts


def _load(environment: SandboxedEnvironment, folder: Path, name: str) -> Template:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SettingsError(f"templates: {name!r} is not below {folder}")
    try:
        template = environment.from_string(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(f"templates: {path} cannot be read: {exc.strerror}") from None
    except (TemplateError, UnicodeError) as exc:
        raise SettingsError(f"templates: {path} is no template: {exc}") from None
    template.name = name
    return template


def _fill(template: Template, mail: Mail) -> str:
    tickets: tuple[Told, ...] = mail.tickets
    values: dict[str, Any] = {"full_name": mail.full_name, "tickets": tickets}
    try:
        return template.render(values)
    except (TemplateError, ValueError, TypeError, ArithmeticError) as exc:
        # The text of a template's error names what is missing, never a value.
        raise SettingsError(f"templates: {template.name}: {type(exc).__name__}: {exc}") from None
