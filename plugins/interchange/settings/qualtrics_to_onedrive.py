"""Settings of the workflow that exports Qualtrics surveys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from interchange.core.destination import check_base, check_url, file_name
from interchange.core.fragments import DEFAULT_FRAGMENT_SIZE, fragment_size_from_mib
from interchange.core.notify import TITLE_LIMIT, Condition
from interchange.core.notify import NotifyRule as CompiledRule
from interchange.core.onedrive_names import check_path, comparison_key
from interchange.core.qualtrics_options import FORMATS, is_compressed, option_problems
from interchange.core.windows import Window
from interchange.errors import BadRecord, SettingsError
from interchange.settings.model import SettingsModel, problem, validate
from interchange.settings.named import twice
from interchange.settings.types import ConnectionId

MOST_EXPORTS = 1024
"""Airflow's limit of entries of one mapped task."""

Format = Literal["csv", "json", "ndjson", "tsv", "spss", "xml"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

_SOME_WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
"""Only for checking names: every window's stamp has the same length and characters."""


def _good_base(value: str) -> str:
    try:
        check_base(value)
    except BadRecord as exc:
        raise problem(exc.reason) from None
    return value


_UNIQUE = "`true`: one file for each window, named after it. `false`: one file, replaced each time."

FileName = Annotated[str, AfterValidator(_good_base)]


class OneDriveDestination(SettingsModel):
    """A folder in a person's OneDrive."""

    conn_id: ConnectionId = Field("onedrive_default", description="Airflow connection of type `onedrive`.")
    user: str = Field(min_length=1, description="Whose drive: user principal name or object id.")
    folder: str = Field(
        "", description="Path below the drive's root, with `/` between folders; made if missing."
    )
    file_name: FileName = Field(description="Without extension: `.zip`, or the format's own, is added.")
    unique: bool = Field(
        False,
        description=_UNIQUE,
    )
    fragment_mib: int = Field(
        DEFAULT_FRAGMENT_SIZE // (1024 * 1024),
        ge=1,
        le=59,
        description="MiB sent in one request and held in memory, rounded down to whole units of 320 KiB.",
    )

    @property
    def fragment_size(self) -> int:
        """Bytes of one upload fragment."""
        return fragment_size_from_mib(self.fragment_mib)


class UrlDestination(SettingsModel):
    """A folder on a local disk or in an object store."""

    url: str = Field(
        description="`file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or "
        "`abfs://CONN_ID@container/path`; an Airflow connection may stand before the bucket, as in `s3://CONN_ID@bucket/prefix`."
    )
    file_name: FileName = Field(description="Without extension: `.zip`, or the format's own, is added.")
    unique: bool = Field(
        False,
        description=_UNIQUE,
    )

    @field_validator("url")
    @classmethod
    def _good_url(cls, value: str) -> str:
        try:
            check_url(value)
        except BadRecord as exc:
            raise problem(exc.reason) from None
        return value


def _kind(value: Any) -> str:
    has_url = "url" in value if isinstance(value, dict) else isinstance(value, UrlDestination)
    return "<url>" if has_url else "<onedrive>"


Destination = Annotated[
    Annotated[OneDriveDestination, Tag("<onedrive>")] | Annotated[UrlDestination, Tag("<url>")],
    Discriminator(_kind),
]

_EXACTLY_ONE_TEST: dict[str, JsonValue] = {
    "oneOf": [{"required": [key]} for key in ("equals", "in", "matches")]
}
_EXACTLY_ONE_SURVEY: dict[str, JsonValue] = {
    "oneOf": [{"required": [key]} for key in ("survey_id", "survey_name")]
}


class When(SettingsModel):
    """Which responses a rule is for: exactly one of `equals`, `in` and `matches`."""

    model_config = ConfigDict(json_schema_extra=_EXACTLY_ONE_TEST)

    column: str = Field(
        min_length=1, description="As in the first header row, such as `Q1`; in json, a key of `values`."
    )
    equals: str | None = Field(None, description="The value is this text.")
    one_of: list[str] | None = Field(
        None, alias="in", min_length=1, description="The value is one of these texts."
    )
    matches: str | None = Field(None, description="This regular expression fits the whole value.")

    @model_validator(mode="after")
    def _one_test(self) -> When:
        if sum(test is not None for test in (self.equals, self.one_of, self.matches)) != 1:
            raise problem("needs exactly one of equals, in, matches")
        return self


class NotifyRule(SettingsModel):
    """One personal Modo message for each response that fits, sent once for ever."""

    name: Name = Field(
        "",
        description="Unique in its export; part of what keeps a message from being sent twice. Left out: made from "
        "`when` and `send_tag`, so a change of those is another rule.",
    )
    conn_id: ConnectionId = Field("modo_default", description="Airflow connection of type `modo`.")
    when: When
    title: str = Field(min_length=1, description="Jinja template, with `row`, `export` and `rule`.")
    body: str = Field(min_length=1, description="Jinja template; may be HTML. Answers are escaped.")
    style: str = Field("information", min_length=1, description="Modo's style of the message.")
    send_tag: str = Field(min_length=1, description="Jinja template: Modo's tag of whom it goes to.")
    push_notifications: bool = Field(True, description="Also push it to phones, not only show it in the app.")
    title_limit: int = Field(
        TITLE_LIMIT,
        ge=2,
        description="A title of this many characters is set aside. 120 is the limit of Modo's console.",
    )

    def compiled(self, export: str) -> CompiledRule:
        """
        The rule, ready to be asked.

        :raises SettingsError: a template or the regular expression has a mistake.
        """
        when = self.when
        return CompiledRule(
            export=export,
            name=self.name,
            when=Condition(
                column=when.column,
                equals=when.equals,
                one_of=tuple(when.one_of) if when.one_of is not None else None,
                matches=when.matches,
            ),
            title=self.title,
            body=self.body,
            send_tag=self.send_tag,
            style=self.style,
            push_notifications=self.push_notifications,
            title_limit=self.title_limit,
        )

    @model_validator(mode="before")
    @classmethod
    def _has_a_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data:
            named_by = json.dumps([data.get("when"), data.get("send_tag")], sort_keys=True, default=str)
            return {**data, "name": f"rule-{hashlib.sha256(named_by.encode()).hexdigest()[:8]}"}
        return data

    @model_validator(mode="after")
    def _compiles(self) -> NotifyRule:
        try:
            self.compiled("export")
        except SettingsError as exc:
            raise problem(str(exc)) from None
        return self


class Export(SettingsModel):
    """One survey's export: what, when, and where to."""

    model_config = ConfigDict(json_schema_extra=_EXACTLY_ONE_SURVEY)

    name: Name = Field(description="Unique; names the mapped task in the grid and the file in the ledger.")
    conn_id: ConnectionId = Field("qualtrics_default", description="Airflow connection of type `qualtrics`.")
    survey_id: str | None = Field(None, pattern=r"^SV_[A-Za-z0-9]+$", description="Or `survey_name`.")
    survey_name: str | None = Field(
        None, min_length=1, description="The survey's exact name, if its id is not given."
    )
    format: Format = Field(
        "csv", description="What Qualtrics writes. Only csv, tsv, json and ndjson go with `notify`."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Further options of the vendor's start-export call; the list is below.",
    )
    window: Literal["interval", "lookback"] = Field(
        "interval",
        description="`interval`: the run's data interval. `lookback`: the last `lookback_hours` before its "
        "end, which also catches late responses (and edited ones, with the option `sortByLastModifiedDate`).",
    )
    lookback_hours: float | None = Field(
        None, gt=0, le=24 * 3660, description="Needed with `window: lookback`."
    )
    settle_minutes: float = Field(
        2,
        ge=0,
        le=24 * 60,
        description="Wait this long after the window's end, for responses still being stored.",
    )
    deadline_minutes: float = Field(
        60, gt=0, le=7 * 24 * 60, description="A job that is not done by then fails with its last percentage."
    )
    destination: Destination = Field(description="A OneDrive folder, or `url` with a folder elsewhere.")
    notify: list[NotifyRule] = Field(
        default_factory=list, description="Messages for responses that fit a rule."
    )

    @property
    def lookback(self) -> timedelta | None:
        """The length of the window, if it does not come from the run's interval."""
        if self.window == "interval" or self.lookback_hours is None:
            return None
        return timedelta(hours=self.lookback_hours)

    @property
    def settle(self) -> timedelta:
        """How long after its end a window is asked for."""
        return timedelta(minutes=self.settle_minutes)

    @property
    def deadline(self) -> timedelta:
        """How long an export job may run."""
        return timedelta(minutes=self.deadline_minutes)

    def file_name(self, window: Window, *, zipped: bool | None = None) -> str:
        """
        What the file of a window is called.

        :param zipped: what the file's bytes say; None: what was asked for.
        """
        return file_name(
            self.destination.file_name,
            self.format,
            window,
            unique=self.destination.unique,
            zipped=is_compressed(self.options) if zipped is None else zipped,
        )

    def rules(self) -> list[CompiledRule]:
        """The notification rules, ready to be asked."""
        return [rule.compiled(self.name) for rule in self.notify]

    def with_format(self, export_format: str) -> Export:
        """
        The same export in another format, as the trigger form may ask for.

        :raises SettingsError: no such format, or this export's options or rules do not go with it.
        """
        data = {**self.model_dump(by_alias=True, exclude_unset=True), "format": export_format}
        changed, problems = validate(Export, data)
        if changed is None:
            raise SettingsError(
                f"export {self.name!r} cannot be made as {export_format!r}: " + "; ".join(problems)
            )
        return changed

    @field_validator("options")
    @classmethod
    def _known_options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        # Without a good format there is nothing to check against; the format's own error is reported then.
        if "format" in info.data:
            problems = [f"{p.key} {p.message}" for p in option_problems(info.data["format"], options)]
            if problems:
                raise problem(*problems)
        return options

    @model_validator(mode="after")
    def _fits_together(self) -> Export:
        problems = list(self._problems())
        if problems:
            raise problem(*problems)
        return self

    def _problems(self) -> Iterator[str]:
        if (self.survey_id is None) == (self.survey_name is None):
            yield "needs either survey_id or survey_name, and not both"
        if self.window == "lookback" and self.lookback_hours is None:
            yield "window: lookback needs lookback_hours"
        if isinstance(self.destination, OneDriveDestination):
            try:
                check_path(self.destination.folder, self.file_name(_SOME_WINDOW))
            except BadRecord as exc:
                yield f"destination.{exc.field} {exc.reason}"
        for name in twice([rule.name for rule in self.notify]):
            yield f"notify has two rules named {name!r}"
        if self.notify and not FORMATS[self.format].has_rows:
            readable = ", ".join(name for name, known in FORMATS.items() if known.has_rows)
            yield f"notify does not go with format {self.format}: responses can be read from {readable}"
        metadata = self.options.get("surveyMetadataIds")
        if self.notify and isinstance(metadata, list) and "_recordId" not in metadata:
            yield "notify needs the response id: add _recordId to options.surveyMetadataIds"


class Settings(SettingsModel):
    """All exports of the workflow `qualtrics_to_onedrive`."""

    exports: list[Export] = Field(
        min_length=1, max_length=MOST_EXPORTS, description="One entry for each file."
    )

    @model_validator(mode="after")
    def _unique(self) -> Settings:
        names = twice([export.name for export in self.exports])
        problems = [f"two exports are named {name!r}" for name in names]
        problems += shared_files(self.exports)
        if problems:
            raise problem(*problems)
        return self


def shared_files(exports: Iterable[Export]) -> list[str]:
    """A sentence for each export that would write over another one's file."""
    found = []
    files: dict[str, str] = {}
    for export in exports:
        place = _place(export)
        if place in files:
            found.append(f"{files[place]!r} and {export.name!r} write the same file")
        files.setdefault(place, export.name)
    return found


def _place(export: Export) -> str:
    """Where an export's file goes, as text that is equal for two exports that would replace each other's
    file."""
    name = export.file_name(_SOME_WINDOW)
    to = export.destination
    if isinstance(to, UrlDestination):
        return f"{to.url.rstrip('/')}/{name}"
    return comparison_key(f"{to.conn_id}:{to.user}:{to.folder.strip('/')}/{name}")
