"""Settings of the workflow that tells customers of their closed tickets."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from interchange.core.suggest import did_you_mean
from interchange.settings.model import SettingsModel, problem
from interchange.settings.named import twice
from interchange.settings.types import Address, ConnectionId, Text

COLUMNS = ("Firstname", "Lastname", "Email", "Ticket", "Status", "Date")
"""What a report must have; other columns are passed over."""
_DIRECTIVES = frozenset("dmYyBbHMSpI%")


class SheetSource(SettingsModel):
    """A Google Sheet."""

    kind: Literal["sheet"]
    conn_id: ConnectionId = Field(
        "google_cloud_default",
        description="Airflow's own connection to Google Cloud, with a service account.",
    )
    spreadsheet_id: Text = Field(
        description="From the spreadsheet's address; it must be shared with the account."
    )
    range: Text = Field(description="In A1 notation, such as `Sheet1!A2:F`.")
    header: bool = Field(False, description="The range begins with the row of column names.")


class ExcelSource(SettingsModel):
    """An Excel workbook (.xlsx) in S3."""

    kind: Literal["excel"]
    conn_id: ConnectionId = Field("aws_default", description="Airflow's own connection to AWS.")
    bucket: Text
    key: Text
    sheet: str | None = Field(None, description="Name of the sheet; null: the first one.")
    header: bool = Field(True, description="The sheet begins with the row of column names.")


def _source_kind(value: object) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "<excel>" if kind == "excel" else "<sheet>"


Source = Annotated[
    Annotated[SheetSource, Tag("<sheet>")] | Annotated[ExcelSource, Tag("<excel>")],
    Discriminator(_source_kind),
]


class Limits(SettingsModel):
    """How much a report may differ from the last one before a person must look."""

    rows_drop_percent: float = Field(
        50, ge=0, le=100, description="More rows than this are gone: nothing is sent."
    )
    mails_jump_factor: float = Field(
        5, ge=1, description="More than so many times the last run's mails: nothing is sent."
    )
    mails_jump_from: int = Field(50, ge=0, description="Up to so many mails any jump is allowed.")


class Templates(SettingsModel):
    """Files below `include/templates`; Jinja2, with `full_name` and `tickets`, each with `number` and `closed_on`."""

    subject: Text = "ticket_closure/subject.txt"
    text: Text = "ticket_closure/body.txt"
    html: Text | None = Field(None, description="Sent beside the text, as `email.html`; null: no HTML.")


class Settings(SettingsModel):
    """Everything about the workflow `ticket_closure`."""

    source: Source = Field(description="Where the report is.")
    columns: list[Text] = Field(
        default_factory=lambda: list(COLUMNS),
        description="All columns of the report, in their order. Firstname, Lastname, Email, Ticket, Status and Date "
        "must be among them; others are passed over.",
    )
    closed_statuses: list[Text] = Field(
        default_factory=lambda: ["Closed"],
        min_length=1,
        description="Compared without white space around them and in any case.",
    )
    date_format: Text = Field(
        "%d/%m/%Y",
        description="How the report writes a day, in the words of Python's strptime; never guessed.",
    )
    time_zone: str = Field(
        description="IANA name of the report's zone: it decides which day and which ISO week it is."
    )
    first_run_months: int = Field(18, ge=1, le=120, description="How far a run looks back.")
    webhook_conn_id: ConnectionId = Field(
        "ticket_mail_webhook", description="Airflow connection of type `http`."
    )
    batch_size: int = Field(1, ge=1, le=100, description="Customers in one POST.")
    require_approval: bool = Field(False, description="A person approves each plan.")
    approve_above: int = Field(200, ge=0, description="More mails than this wait for a person.")
    approval_timeout_hours: float = Field(
        72, gt=0, le=24 * 30, description="So long; then task `approve` fails."
    )
    cc: list[Address] = Field(default_factory=list, description="Get a copy of each mail.")
    opt_out: list[Address] = Field(default_factory=list, description="Never get a mail.")
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    templates: Templates = Field(default_factory=lambda: Templates.model_validate({}))

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise problem(
                f"{value!r} is no time zone; allowed: IANA names such as Australia/Sydney."
                f"{did_you_mean(value, available_timezones())}"
            )
        return value

    @field_validator("date_format")
    @classmethod
    def _whole_day(cls, value: str) -> str:
        found = re.findall(r"%(.?)", value)
        if unknown := [letter for letter in found if letter not in _DIRECTIVES]:
            raise problem(
                f"{value!r} has %{unknown[0]}, which is not allowed; allowed: %d %m %b %B %Y %y %H %I %M %S %p"
            )
        year, month = [c for c in found if c in "Yy"], [c for c in found if c in "mbB"]
        if (found.count("d"), len(month), len(year)) != (1, 1, 1):
            raise problem(f"{value!r} must have day (%d), month (%m, %b or %B) and year (%Y or %y) once each")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        names = [name.strip().casefold() for name in self.columns]
        problems = [f"columns: {name!r} is there twice" for name in twice(names)]
        problems += [f"columns: {name} is missing" for name in COLUMNS if name.casefold() not in names]
        if problems:
            raise problem(*problems)
        return self
