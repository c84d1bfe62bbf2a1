"""
What a meeting is at a moment: its occurrences, their states, and how each is shown. Pure.

Sources: developer.webex.com/docs/meetings for series, scheduled meetings and instances, their ids and states;
the official description for the fields. The first future occurrence is ``ready`` at once; one that has passed
unattended is ``missed``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import zoneinfo
from typing import Any

from dateutil import rrule

from include.sandbox.vendors.webex.answers import invalid
from include.sandbox.vendors.webex.model import Change, Instance, Meeting, Person

MOST = {rrule.YEARLY: 5, rrule.MONTHLY: 60, rrule.WEEKLY: 261, rrule.DAILY: 1826}
KEPT = dt.timedelta(days=180)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Occurrence:
    id: str
    start: dt.datetime
    end: dt.datetime
    title: str
    modified: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """
    For whom and when meetings are shown.

    :param zone: in which times are written.
    :param everybody_comes: meetings that nobody has marked are attended.
    """

    client_id: str
    now: dt.datetime
    zone: str
    site: str
    everybody_comes: bool


def check_recurrence(rule: object) -> str | None:
    """:raises Refusal: 400: no rule of RFC 2445 that meetings can have."""
    if rule is None:
        return None
    try:
        parsed = rrule.rrulestr(str(rule), dtstart=dt.datetime(2030, 1, 1))  # noqa: DTZ001  # any day
    except (ValueError, KeyError, TypeError) as exc:
        raise invalid("The recurrence is invalid.") from exc
    if getattr(parsed, "_freq", None) not in MOST:
        raise invalid("The recurrence must be daily, weekly, monthly or yearly.")
    return str(rule)


def occurrence_id(series: str, start: dt.datetime) -> str:
    return f"{series}_{start.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"


def occurrences(meeting: Meeting) -> list[Occurrence]:
    """All that are not cancelled, in order of time; at the same local time across a change of the clocks."""
    length = meeting.end - meeting.start
    found = []
    for start in _starts(meeting):
        unique = occurrence_id(meeting.id, start)
        change = meeting.changes.get(unique, Change())
        if not change.cancelled:
            begin = change.start or start
            found.append(
                Occurrence(
                    id=unique,
                    start=begin,
                    end=change.end or begin + length,
                    title=change.title or meeting.title,
                    modified=unique in meeting.changes,
                )
            )
    return found


def _starts(meeting: Meeting) -> tuple[dt.datetime, ...]:
    if meeting.recurrence is None:
        return (meeting.start,)
    return _repeated(meeting.recurrence, meeting.start, meeting.zone)


@functools.lru_cache(maxsize=64)
def _repeated(recurrence: str, start: dt.datetime, zone_name: str) -> tuple[dt.datetime, ...]:
    zone = zoneinfo.ZoneInfo(zone_name)
    # The rule counts in local time. An UNTIL is in UTC and so cannot be compared with it: as good as is local.
    rule = recurrence.replace("RRULE:", "").replace("Z", "")
    local = rrule.rrulestr(rule, dtstart=start.astimezone(zone).replace(tzinfo=None))
    most = MOST[getattr(local, "_freq")]  # noqa: B009  # the library keeps it to itself
    return tuple(
        one.replace(tzinfo=zone).astimezone(dt.UTC) for _, one in zip(range(most), local, strict=False)
    )


def instances(meeting: Meeting, view: View) -> list[Instance]:
    """What was started, by hand or because everybody comes."""
    known = list(meeting.instances)
    if view.everybody_comes:
        held = {instance.occurrence for instance in known} | meeting.absent
        known += [
            Instance(id=instance_id(meeting, o), occurrence=o.id, start=o.start, end=o.end)
            for o in occurrences(meeting)
            if o.end <= view.now and o.id not in held
        ]
    return sorted(known, key=lambda instance: instance.start)


def instance_id(meeting: Meeting, occurrence: Occurrence) -> str:
    return f"{meeting.id}_I_{int(occurrence.start.timestamp()) * 100 + len(meeting.instances)}"


def states(meeting: Meeting, view: View) -> dict[str, str]:
    """The state of each occurrence, by its id."""
    held: dict[str, bool] = {}
    for instance in instances(meeting, view):
        held[instance.occurrence] = held.get(instance.occurrence, False) or instance.end is None
    found: dict[str, str] = {}
    future = "ready"
    for occurrence in occurrences(meeting):
        is_future = occurrence.end > view.now
        if occurrence.id in held:
            state = "ready" if held[occurrence.id] else "ended"
        elif not is_future or occurrence.id in meeting.absent:
            state = "missed"
        else:
            state = future
        if is_future:
            future = "scheduled"
        found[occurrence.id] = state
    return found


def series_state(meeting: Meeting, view: View) -> str:
    if any(instance.end is None for instance in meeting.instances):
        return "inProgress"
    return "active" if {"ready", "scheduled"} & set(states(meeting, view).values()) else "expired"


def current(meeting: Meeting, now: dt.datetime) -> Occurrence | None:
    """The occurrence that is ready or comes next; behind the last one, the last."""
    known = occurrences(meeting)
    return next((o for o in known if o.end > now), known[-1] if known else None)


def over(meeting: Meeting, now: dt.datetime) -> bool:
    """Completed so long ago that it is kept no more."""
    known = occurrences(meeting)
    return not known or now - max(o.end for o in known) > KEPT


# How it is shown


def time_text(when: dt.datetime, zone: str) -> str:
    local = when.astimezone(zoneinfo.ZoneInfo(zone))
    return local.isoformat(timespec="seconds").replace("+00:00", "Z" if zone == "UTC" else "+00:00")


def shown_series(meeting: Meeting, host: Person, view: View, *, of_current: bool = False) -> dict[str, Any]:
    """:param of_current: with the times of the current occurrence, not of the first."""
    one = current(meeting, view.now) if of_current else None
    shown = _common(meeting, host, view)
    shown.update(
        id=meeting.id,
        meetingType="meetingSeries",
        state=series_state(meeting, view),
        start=time_text(one.start if one else meeting.start, view.zone),
        end=time_text(one.end if one else meeting.end, view.zone),
    )
    if meeting.recurrence is not None:
        shown["recurrence"] = meeting.recurrence
    return shown


def shown_occurrences(
    meeting: Meeting, chosen: list[Occurrence], host: Person, view: View
) -> list[dict[str, Any]]:
    now = states(meeting, view)
    return [_shown_occurrence(meeting, occurrence, host, view, now[occurrence.id]) for occurrence in chosen]


def shown_occurrence(meeting: Meeting, occurrence: Occurrence, host: Person, view: View) -> dict[str, Any]:
    return shown_occurrences(meeting, [occurrence], host, view)[0]


def _shown_occurrence(
    meeting: Meeting, occurrence: Occurrence, host: Person, view: View, state: str
) -> dict[str, Any]:
    shown = _common(meeting, host, view)
    shown.update(
        id=occurrence.id,
        meetingSeriesId=meeting.id,
        title=occurrence.title,
        meetingType="scheduledMeeting",
        state=state,
        isModified=occurrence.modified,
        start=time_text(occurrence.start, view.zone),
        end=time_text(occurrence.end, view.zone),
    )
    return shown


def shown_instance(meeting: Meeting, instance: Instance, host: Person, view: View) -> dict[str, Any]:
    shown = _common(meeting, host, view)
    shown.update(
        id=instance.id,
        meetingSeriesId=meeting.id,
        scheduledMeetingId=instance.occurrence,
        meetingType="meeting",
        state="inProgress" if instance.end is None else "ended",
        start=time_text(instance.start, view.zone),
        end=time_text(instance.end or view.now, view.zone),
    )
    if instance.end is not None:
        # These do not apply to what has ended.
        for name in ("password", "phoneAndVideoSystemPassword", "hostKey", "meetingNumber"):
            shown.pop(name, None)
    return shown


def link_of(meeting: Meeting, site: str) -> str:
    return f"https://{site}/{site.partition('.')[0]}/j.php?MTID=m{meeting.id}"


def _common(meeting: Meeting, host: Person, view: View) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "meetingNumber": meeting.number,
        "title": meeting.title,
        "password": meeting.password,
        "phoneAndVideoSystemPassword": str(int(meeting.id[:12], 16))[-8:].rjust(8, "0"),
        "timezone": view.zone,
        "hostUserId": host.id,
        "hostDisplayName": host.display_name,
        "hostEmail": host.email,
        "hostKey": str(int(host.id.encode().hex(), 16))[-6:],
        "siteUrl": view.site,
        "webLink": link_of(meeting, view.site),
        "sipAddress": f"{meeting.number}@{view.site}",
        "dialInIpAddress": "192.0.2.10",
        **{name: value for name, value in meeting.settings.items() if name != "trackingCodes" or value},
        "telephony": {
            "accessCode": meeting.number,
            "callInNumbers": [],
            "links": [
                {
                    "rel": "globalCallinNumbers",
                    "href": f"/v1/meetings/{meeting.id}/globalCallinNumbers",
                    "method": "GET",
                }
            ],
        },
    }
    if meeting.agenda is not None:
        shown["agenda"] = meeting.agenda
    if meeting.room_id is not None:
        shown["roomId"] = meeting.room_id
    if mine := meeting.tags.get(view.client_id):
        shown["integrationTags"] = list(mine)
    return shown
