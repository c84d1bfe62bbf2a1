"""
What a meeting's fields must be. Pure: body in, values out, or a refusal.

Source: the official description of ``POST /meetings`` and ``PATCH /meetings/{meetingId}``,
developer.webex.com/docs/meetings for the texts; the text about zones and offsets as a reporter of
calcom/cal.diy quoted it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import string
import zoneinfo
from typing import Any

from include.sandbox.vendors.webex.answers import Refusal, invalid

SHORTEST = dt.timedelta(minutes=10)
LONGEST = dt.timedelta(hours=23, minutes=59)
FURTHEST = dt.timedelta(days=3652)
MOST_INVITEES = 1000
MOST_TAGS = 3
LENGTHS = {"title": 128, "agenda": 1300}
TAG_LENGTH = 64
NAME_LENGTH = 128
BEFORE_HOST = {"meeting": (0, 5, 10, 15), "webinar": (0, 15, 30, 45, 60)}
ENUMS = {
    "unlockedMeetingJoinSecurity": ("allowJoin", "allowJoinWithLobby", "blockFromJoin"),
    "scheduledType": ("meeting", "webinar", "personalRoomMeeting"),
}
DEFAULTS: dict[str, Any] = {
    "enabledAutoRecordMeeting": False,
    "allowAnyUserToBeCoHost": False,
    "allowFirstUserToBeCoHost": False,
    "allowAuthenticatedDevices": False,
    "enabledJoinBeforeHost": False,
    "enableConnectAudioBeforeHost": False,
    "joinBeforeHostMinutes": 0,
    "excludePassword": False,
    "publicMeeting": False,
    "reminderTime": 15,
    "unlockedMeetingJoinSecurity": "allowJoinWithLobby",
    "scheduledType": "meeting",
    "enableAutomaticLock": False,
    "automaticLockMinutes": 0,
    "enabledBreakoutSessions": False,
    "trackingCodes": [],
}
KINDS = {
    "upper": (
        string.ascii_uppercase,
        "A mix of uppercase and lowercase letters (A, a, B, b, C, c, etc.) is required.",
    ),
    "lower": (
        string.ascii_lowercase,
        "A mix of uppercase and lowercase letters (A, a, B, b, C, c, etc.) is required.",
    ),
    "digit": (string.digits, "At least 1 number (0-9) is required."),
    "special": ("!#$%*-=@_~", "At least 1 special character (!, #, $, etc.) is required."),
}
BEFORE_NOW = "Parameter 'start' or 'end' is before current time."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """What a site wants of a password. ``needs``: any of :data:`KINDS`."""

    length: int
    needs: tuple[str, ...]

    def refusal(self, password: str) -> str | None:
        if len(password) < self.length:
            return f"Meeting password validation failed. The minimum length is {self.length} characters."
        for kind in self.needs:
            letters, text = KINDS[kind]
            if not set(letters) & set(password):
                return f"Meeting password validation failed. {text}"
        return None

    def make(self) -> str:
        letters = [secrets.choice(KINDS[kind][0]) for kind in self.needs]
        pool = string.ascii_letters + string.digits
        letters += [secrets.choice(pool) for _ in range(max(self.length, 11) - len(letters))]
        return "".join(secrets.SystemRandom().sample(letters, len(letters)))


def zone_named(name: object) -> zoneinfo.ZoneInfo:
    """:raises Refusal: 400: no IANA zone."""
    try:
        return zoneinfo.ZoneInfo(str(name))
    except (ValueError, KeyError, OSError) as exc:
        raise invalid("The timezone is invalid.") from exc


def moment_in(text: object, zone: zoneinfo.ZoneInfo, *, strict: bool, mismatch_status: int) -> dt.datetime:
    """
    A time in any ISO 8601 form as UTC. Without an offset it is local time in the zone.

    :param strict: an offset that the zone does not have at that time is refused, not converted.
    :raises Refusal: 400: no such form; ``mismatch_status``: the offset is not the zone's.
    """
    try:
        parsed = dt.datetime.fromisoformat(str(text))
    except ValueError as exc:
        raise invalid(f"The date time '{text}' is not ISO 8601.") from exc
    if parsed.tzinfo is None:
        return parsed.replace(tzinfo=zone).astimezone(dt.UTC)
    if strict and parsed.utcoffset() != parsed.astimezone(zone).utcoffset():
        raise Refusal(
            mismatch_status, f"timezone '{zone.key}' and timezone offset in '{text}' do not match", bare=True
        )
    return parsed.astimezone(dt.UTC)


def window(start: dt.datetime, end: dt.datetime, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """
    Start and end as they are kept: whole minutes, and a start within the current minute in the next one.

    :raises Refusal: 400.
    """
    start, end = (value.replace(second=0, microsecond=0) for value in (start, end))
    minute = now.replace(second=0, microsecond=0)
    if start == minute:
        start += dt.timedelta(minutes=1)
    if start < now or end < now:
        raise Refusal(400, BEFORE_NOW)
    if end <= start:
        raise invalid("'end' must be after 'start'.")
    if not SHORTEST <= end - start <= LONGEST:
        raise invalid("The duration must be between 10 minutes and 23 hours 59 minutes.")
    if start - now >= FURTHEST:
        raise invalid("A meeting cannot start 10 years or more in the future.")
    return start, end


def texts(body: dict[str, Any], *, creating: bool) -> None:
    """:raises Refusal: 400: title or agenda are missing, no text, or too long."""
    problems = []
    for name, most in LENGTHS.items():
        value = body.get(name)
        if value is None and (name != "title" or (not creating and name not in body)):
            continue
        if not isinstance(value, str) or (name == "title" and not value.strip()):
            problems.append(f"'{name}' must be a non-empty string.")
        elif len(value) > most:
            problems.append(f"The maximum length of '{name}' is {most} characters.")
    if problems:
        raise invalid(*problems)


def settings(body: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """
    The settings after a request. Fields that nobody knows are passed over.

    :raises Refusal: 400.
    """
    after = {**before, **{name: body[name] for name in DEFAULTS if name in body}}
    problems = []
    for name, default in DEFAULTS.items():
        value = after[name]
        if name == "trackingCodes":
            after[name] = value = value or []
            if not isinstance(value, list) or not all(isinstance(code, dict) for code in value):
                problems.append("'trackingCodes' must be an array of names and values.")
        elif name in ENUMS:
            if value not in ENUMS[name]:
                problems.append(f"'{name}' must be one of {', '.join(ENUMS[name])}.")
        elif isinstance(default, bool) != isinstance(value, bool) or not isinstance(value, int):
            problems.append(f"'{name}' has the wrong type.")
    kind = "webinar" if after["scheduledType"] == "webinar" else "meeting"
    if after["joinBeforeHostMinutes"] not in BEFORE_HOST[kind]:
        problems.append(f"'joinBeforeHostMinutes' must be one of {', '.join(map(str, BEFORE_HOST[kind]))}.")
    elif after["joinBeforeHostMinutes"] and not after["enabledJoinBeforeHost"]:
        problems.append("'joinBeforeHostMinutes' needs 'enabledJoinBeforeHost'.")
    if problems:
        raise invalid(*problems)
    return after


def tags(value: object) -> list[str]:
    """:raises Refusal: 400: too many, too long, or no texts."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise invalid("'integrationTags' must be an array of strings.")
    if len(value) > MOST_TAGS or any(len(tag) > TAG_LENGTH for tag in value):
        raise invalid(f"At most {MOST_TAGS} integrationTags of {TAG_LENGTH} characters are allowed.")
    return list(value)


def invitees(value: object, *, most: int) -> list[dict[str, Any]]:
    """
    A list of invitees; an address twice is refused.

    :raises Refusal: 400.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise invalid("Invitees must be an array of objects.")
    if len(value) > most:
        raise invalid(f"At most {most} invitees are allowed.")
    for entry in value:
        invitee(entry)
    addresses = [entry["email"].casefold() for entry in value]
    if len(set(addresses)) != len(addresses):
        raise invalid("Each invitee should have a unique email.")
    return value


def invitee(entry: dict[str, Any]) -> None:
    """:raises Refusal: 400."""
    email, name = entry.get("email"), entry.get("displayName")
    if not isinstance(email, str) or not 0 < email.find("@") < len(email) - 1:
        raise invalid("'email' must be a valid address.")
    if name is not None and (not isinstance(name, str) or len(name) > NAME_LENGTH):
        raise invalid(f"The maximum length of 'displayName' is {NAME_LENGTH} characters.")
    for flag in ("coHost", "panelist", "sendEmail"):
        if not isinstance(entry.get(flag, False), bool):
            raise invalid(f"'{flag}' has the wrong type.")
