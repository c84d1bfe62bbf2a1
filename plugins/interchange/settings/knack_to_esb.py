"""Settings of the workflow that brings Knack activities to the bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, field_validator, model_validator

from interchange.core.knack_values import same_name
from interchange.core.suggest import did_you_mean
from interchange.core.xml_text import illegal_characters
from interchange.settings.model import SettingsModel, problem
from interchange.settings.named import twice
from interchange.settings.types import ConnectionId, Text

STATUS_CODES = {"closed_duplicate": "closed_resolved"}
"""Statuses that 311 cannot bear, and what it was always sent instead."""
MOST_APPS = 1024
"""Airflow's limit of entries of one mapped task."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
FieldKey = Annotated[str, Field(pattern=r"^field_[0-9]+$")]


def _legal(text: str) -> str:
    if illegal_characters(text):
        raise problem(f"{text!r} holds a character that XML forbids")
    return text


class Fields(SettingsModel):
    """Where an activity's facts are in the app: field keys, as the builder shows them."""

    record_id: Literal["id"] = Field("id", alias="id", description="The record's own id.")
    atd_activity_id: FieldKey = Field(description="The activity's number: the order of a service request.")
    emi_id: FieldKey = Field(description="Id of the message; a record without one is not for the bus.")
    sr_number: FieldKey = Field(description="The service request.")
    issue_status_code_snapshot: FieldKey = Field(
        description="The request's status when the activity was made."
    )
    esb_status: FieldKey = Field(description="Ready, sent or ignored; the only field that is ever written.")
    activity_datetime: FieldKey = Field(description="When it happened.")
    activity_details: FieldKey = Field(description="Free text; never logged.")
    activity_name: FieldKey = Field(description="What was done; a key of `activity_codes`.")
    csr_activity_id: FieldKey = Field(
        description="The other system's own id of an activity it has asked for."
    )
    csr_activity_code: FieldKey = Field(description="The code it has asked for; wins over `activity_codes`.")

    def meanings(self) -> Mapping[str, str]:
        """Each configured field's key in the settings, by field key."""
        return {
            getattr(self, name): info.alias or name
            for name, info in type(self).model_fields.items()
            if name != "record_id"
        }


class Statuses(SettingsModel):
    """The choices of the field `esb_status`."""

    ready: Text = Field("READY_TO_SEND", description="To be sent.")
    sent: Text = Field("SENT", description="Written after the bus has accepted the message.")
    ignored: Text = Field("DO_NOT_SEND", description="Written where `activity_codes` says null.")

    @model_validator(mode="after")
    def _different(self) -> Statuses:
        if len({self.ready, self.sent, self.ignored}) < 3:
            raise problem("ready, sent and ignored must be three different choices")
        return self


class Poison(SettingsModel):
    """When a message that the bus refuses is itself taken for the reason; it must also have taken others since."""

    attempts: int = Field(5, ge=2, description="Refused at least so often.")
    after_minutes: float = Field(60, ge=0, description="And for at least so long.")


class Alert(SettingsModel):
    """Told once when an activity has waited too long, and once when none does any more."""

    after_minutes: float = Field(60, ge=0, description="The oldest waiting activity is older than this.")
    conn_id: ConnectionId | None = Field(
        None, description="Connection of type `http` of a chat's incoming webhook; null: only the log."
    )


class App(SettingsModel):
    """One Knack application."""

    name: Name = Field(description="Unique; names the mapped task in the grid. Part of every effect's key.")
    knack_conn_id: ConnectionId = Field("knack_default", description="Airflow connection of type `knack`.")
    esb_conn_id: ConnectionId = Field("esb_default", description="Airflow connection of type `esb`.")
    object_key: str = Field(
        alias="object",
        pattern=r"^object_[0-9]+$",
        description="The object (table) that holds the activities.",
    )
    view: str = Field(pattern=r"^view_[0-9]+$", description="The view that lists what may be ready.")
    scene: str | None = Field(
        None, pattern=r"^scene_[0-9]+$", description="The view's page; null: found in the app's metadata."
    )
    fields: Fields
    time_zone: str | None = Field(
        None,
        description="IANA name of the app's time zone; null: as the app's metadata names it.",
    )
    activity_codes: dict[Text, Text | None] = Field(
        min_length=1,
        description="Code by activity name. null: deliberately not sent. A name that is not here is set aside.",
    )
    status_codes: dict[Text, Text] = Field(
        default_factory=dict,
        description="What to send instead of a request's status; others are sent as they are. Unless it says "
        "otherwise, `closed_resolved` goes instead of `closed_duplicate`, which 311 cannot bear.",
    )
    statuses: Statuses = Field(default_factory=lambda: Statuses.model_validate({}))
    on_unknown_outcome: Literal["hold", "resend"] = Field(
        "hold",
        description="A message that may have been accepted: `hold` shows it to a person, `resend` sends the same bytes "
        "again.",
    )
    illegal_characters: Literal["quarantine", "replace"] = Field(
        "quarantine", description="What becomes of text with a character that XML forbids."
    )
    replacement: Annotated[str, AfterValidator(_legal)] = Field(
        "\ufffd", max_length=1, description="For `replace`: put in its place; empty: dropped."
    )
    parallel: int = Field(
        4, ge=1, le=16, description="Service requests worked on at once; never two activities of one."
    )
    daily_reserve: int = Field(
        500,
        ge=0,
        description="Knack requests of the day's allowance that are left for others; a run stops there.",
    )
    outage_after: int = Field(
        3, ge=1, description="So many different messages failing in a row are an outage: the run stops."
    )
    poison: Poison = Field(default_factory=lambda: Poison.model_validate({}))
    alert: Alert = Field(default_factory=lambda: Alert.model_validate({}))

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise problem(
                f"{value!r} is no time zone; allowed: IANA names such as America/Chicago."
                f"{did_you_mean(value, available_timezones())}"
            )
        return value

    def status_code(self, status: str) -> str:
        """What is sent for a request's status."""
        return {**STATUS_CODES, **self.status_codes}.get(status, status)

    @property
    def codes(self) -> Mapping[str, str | None]:
        """``activity_codes`` by comparable name."""
        return {same_name(name): code for name, code in self.activity_codes.items()}

    @model_validator(mode="after")
    def _fits_together(self) -> App:
        names = [same_name(name) for name in self.activity_codes]
        keys = [key for name, key in self.fields if name != "record_id"]
        problems = [
            f"activity_codes has {name!r} twice: white space makes no difference" for name in twice(names)
        ]
        problems += [f"fields names {key!r} twice" for key in twice(keys)]
        if problems:
            raise problem(*problems)
        return self


class Settings(SettingsModel):
    """All apps of the workflow `knack_to_esb`."""

    apps: list[App] = Field(
        min_length=1, max_length=MOST_APPS, description="One entry for each Knack application."
    )

    @model_validator(mode="after")
    def _unique(self) -> Settings:
        problems = [f"two apps are named {name!r}" for name in twice([app.name for app in self.apps])]
        views = twice([f"{app.view} of {app.object_key} through {app.knack_conn_id}" for app in self.apps])
        # Each would send what the other one has sent.
        problems += [f"two apps read {view}" for view in views]
        if problems:
            raise problem(*problems)
        return self
