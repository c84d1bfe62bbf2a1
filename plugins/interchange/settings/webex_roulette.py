"""Settings of the workflow that pairs colleagues, books their meetings and lets a bot move them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, field_validator, model_validator

from interchange.core.slots import parse_clock
from interchange.core.suggest import did_you_mean
from interchange.settings.model import SettingsModel, problem
from interchange.settings.named import twice
from interchange.settings.types import Address, ConnectionId, Text

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise problem(f'{value!r} is no day; allowed: a date such as "2027-03-08", in quotes') from None


Day = Annotated[str, AfterValidator(_day)]
Pair = Annotated[list[Address], Field(min_length=2, max_length=2)]


class Slot(SettingsModel):
    """When a round meets, in the settings' zone."""

    weekday: Weekday
    start: str = Field(description="Local time such as `15:10`.")
    minutes: int = Field(30, ge=10, le=240, description="How long; Webex takes no less than ten minutes.")

    @field_validator("start")
    @classmethod
    def _clock(cls, value: str) -> str:
        if parse_clock(value) is None:
            raise problem(f'{value!r} is no time of day; allowed: hours and minutes such as "15:10"')
        return value


class Settings(SettingsModel):
    """Everything about the workflows `webex_roulette`, `webex_bot` and `webex_upkeep`."""

    departments: dict[Text, list[Address]] = Field(
        min_length=1, description="Who takes part: addresses by department. One person may be in several."
    )
    time_zone: str = Field(description="IANA name of the zone of slot, schedule and messages.")
    slot: Slot
    weeks: int = Field(4, ge=1, le=53, description="Rounds of one draw, one a week, no pair twice in them.")
    pairs_per_round: int | None = Field(
        None, ge=1, description="So many groups a round; null: everybody takes part."
    )
    seed: int | None = Field(
        None, description="Decides between equally good draws; null: the draw's first month."
    )
    holidays: list[Day] = Field(
        default_factory=list,
        description="A round that falls on one of these moves to the next working day.",
    )
    blocked_pairs: list[Pair] = Field(default_factory=list, description="Never meet.")
    report_room_id: str | None = Field(None, description="Webex space told of each round and each change.")
    admins: list[Address] = Field(default_factory=list, description="May use the bot's commands for admins.")

    odd: Literal["trio", "rest"] = Field("trio", description="What becomes of an odd person.")
    same_department: Literal["if_needed", "never"] = Field(
        "if_needed", description="Whether people of one department may meet when somebody would be left out."
    )
    repeats: Literal["if_needed", "never"] = Field(
        "if_needed", description="Whether a pair may meet again when somebody would be left out."
    )
    bot_conn_id: ConnectionId = Field("webex_bot", description="Airflow connection of the bot.")
    meetings_conn_id: ConnectionId = Field(
        "webex_meetings", description="Airflow connection of whom the meetings belong to."
    )
    meetings_per_day: int = Field(
        100,
        ge=1,
        le=3000,
        description="Creations in 24 hours that Webex allows the host; the rest is booked later.",
    )
    join_before_host_minutes: Literal[0, 5, 10, 15] = 5
    agree_hours: int = Field(
        72, ge=1, le=24 * 14, description="How long a proposal to move waits for an answer."
    )
    latest_move_days: int = Field(
        14, ge=1, le=60, description="A meeting is moved by at most so many days from the day of its slot."
    )
    ask_whether_met: bool = Field(True, description="Ask after each round whether the meeting took place.")
    look_again_minutes: float = Field(
        10,
        ge=0,
        le=60,
        description="Webex's lists may lag behind: a call whose answer was lost counts as not done only after it "
        "could not be found for so long.",
    )
    keep_history_months: int = Field(
        24, ge=1, le=120, description="Older rounds are forgotten, names included."
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise problem(
                f"{value!r} is no time zone; allowed: IANA names such as Europe/Kyiv."
                f"{did_you_mean(value, available_timezones())}"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        problems = [
            f"departments.{name}: {address} is there twice"
            for name, addresses in self.departments.items()
            for address in twice(addresses)
        ]
        people = {address for addresses in self.departments.values() for address in addresses}
        for pair in self.blocked_pairs:
            if pair[0] == pair[1]:
                problems.append(f"blocked_pairs: {pair[0]} cannot be paired with themself anyway")
            problems += [
                f"blocked_pairs: {address} is in no department" for address in pair if address not in people
            ]
        if problems:
            raise problem(*problems)
        return self

    @property
    def people(self) -> dict[str, frozenset[str]]:
        """Everybody's departments, by address."""
        found: dict[str, set[str]] = {}
        for department, addresses in self.departments.items():
            for address in addresses:
                found.setdefault(address, set()).add(department)
        return {address: frozenset(departments) for address, departments in sorted(found.items())}
