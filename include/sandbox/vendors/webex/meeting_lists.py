"""
``GET /meetings``: which meetings are listed, when nothing is said of which.

Source: the official description. A list without ``from`` and ``to`` looks seven days ahead (instances: seven
days back), ten at a time, with or without a tag. A tag is only found by the client that wrote it.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

from include.sandbox.vendors.webex import meeting_shapes as shapes
from include.sandbox.vendors.webex.answers import Refusal, invalid, page
from include.sandbox.vendors.webex.base import Call, api
from include.sandbox.vendors.webex.meeting_rules import ENUMS
from include.sandbox.vendors.webex.meeting_shapes import View
from include.sandbox.vendors.webex.meetings import READ, Meetings
from include.sandbox.vendors.webex.model import Meeting
from include.sandbox.wire import Response

TYPES = ("meetingSeries", "scheduledMeeting", "meeting")
STATES = ("active", "scheduled", "ready", "lobby", "inProgress", "ended", "missed", "expired")
WEEK = dt.timedelta(days=7)
Window = tuple[dt.datetime, dt.datetime]


class MeetingLists(Meetings):
    @api("GET", "/meetings", operation="list_meetings", scopes=READ)
    def list_meetings(self, call: Call) -> Response:
        view = self.view(call)
        person = self.acting(call, call.arg("hostEmail"), READ[1])
        lag = dt.timedelta(seconds=self.options.listing_lag_s)
        mine = [
            meeting
            for meeting in self.world.meetings.values()
            if self.kept(meeting) and self.concerns(meeting, person) and meeting.created + lag <= view.now
        ]
        for name, allowed in (
            ("meetingType", TYPES),
            ("state", STATES),
            ("scheduledType", ENUMS["scheduledType"]),
        ):
            if call.arg(name) not in (None, *allowed):
                raise invalid(f"'{name}' must be one of {', '.join(allowed)}.")
        named = [n for n in ("meetingNumber", "webLink", "roomId") if call.arg(n) is not None]
        if (series := call.arg("meetingSeriesId")) is not None:
            shown = self._of_series(call, view, [m for m in mine if m.id == series])
        elif len(named) > 1:
            raise invalid("'meetingNumber', 'webLink' and 'roomId' are mutually exclusive.")
        elif named:
            return self._of_one(call, view, mine, named[0])
        else:
            shown = self._in_window(call, view, mine)
        shown.sort(key=lambda entry: (dt.datetime.fromisoformat(entry["start"]), entry["id"]))
        return page(call.request, shown, default=10, most=100)

    def _of_one(self, call: Call, view: View, mine: list[Meeting], name: str) -> Response:
        wanted = call.arg(name)
        found = [
            meeting
            for meeting in mine
            if wanted
            == {
                "meetingNumber": meeting.number,
                "webLink": shapes.link_of(meeting, view.site),
                "roomId": meeting.room_id,
            }[name]
        ]
        shown = []
        for meeting in found:
            occurrence = shapes.current(meeting, view.now)
            if call.arg("current") != "false" and occurrence is not None:
                shown.append(shapes.shown_occurrence(meeting, occurrence, self.host_of(meeting), view))
            else:
                shown.append(shapes.shown_series(meeting, self.host_of(meeting), view))
        return page(call.request, shown, default=100, most=100)

    def _of_series(self, call: Call, view: View, mine: list[Meeting]) -> list[dict[str, Any]]:
        """Occurrences and instances; a window only where one is given."""
        bounds = self._window(call, view, "meeting") if call.arg("from") or call.arg("to") else None
        kind = call.arg("meetingType")
        shown: list[dict[str, Any]] = []
        for meeting in mine:
            if kind != "meeting":
                shown += self._occurrences(meeting, view, bounds)
            if kind in (None, "meeting"):
                shown += self._instances(meeting, view, bounds)
        return self._chosen(call, shown)

    def _in_window(self, call: Call, view: View, mine: list[Meeting]) -> list[dict[str, Any]]:
        kind = call.arg("meetingType") or "meetingSeries"
        bounds = self._window(call, view, kind)
        tag, sort = call.arg("integrationTag"), call.arg("scheduledType")
        shown: list[dict[str, Any]] = []
        for meeting in mine:
            if tag is not None and tag not in meeting.tags.get(call.client_id, []):
                continue
            if sort not in (None, meeting.settings["scheduledType"]):
                continue
            if kind == "meeting":
                shown += self._instances(meeting, view, bounds)
            elif kind == "scheduledMeeting":
                shown += self._occurrences(meeting, view, bounds)
            elif any(_overlaps(o.start, o.end, bounds) for o in shapes.occurrences(meeting)):
                of_current = call.arg("current") != "false"
                host = self.host_of(meeting)
                shown.append(shapes.shown_series(meeting, host, view, of_current=of_current))
        return self._chosen(call, shown)

    def _chosen(self, call: Call, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
        state, modified = call.arg("state"), call.arg("isModified")
        return [
            entry
            for entry in shown
            if state in (None, entry["state"])
            and (modified is None or "isModified" not in entry or entry["isModified"] is (modified == "true"))
        ]

    def _occurrences(self, meeting: Meeting, view: View, bounds: Window | None) -> list[dict[str, Any]]:
        chosen = [o for o in shapes.occurrences(meeting) if _overlaps(o.start, o.end, bounds)]
        return shapes.shown_occurrences(meeting, chosen, self.host_of(meeting), view)

    def _instances(self, meeting: Meeting, view: View, bounds: Window | None) -> list[dict[str, Any]]:
        host = self.host_of(meeting)
        return [
            shapes.shown_instance(meeting, instance, host, view)
            for instance in shapes.instances(meeting, view)
            if _overlaps(instance.start, instance.end or view.now, bounds)
        ]

    def _window(self, call: Call, view: View, kind: str) -> Window:
        """From (inclusive) and to (exclusive); with one of them given, the other is a week away."""
        utc = zoneinfo.ZoneInfo("UTC")
        given = [
            self._moment(call.arg(name), utc, strict=False) if call.arg(name) else None
            for name in ("from", "to")
        ]
        since, until = given
        if since is None and until is None:
            since = view.now - WEEK if kind == "meeting" else view.now
            until = view.now if kind == "meeting" else view.now + WEEK
        elif since is None and until is not None:
            since = until - WEEK
        elif until is None and since is not None:
            until = since + WEEK
        if since is None or until is None or since > until:
            raise Refusal(400, "'from' cannot be after 'to'.")
        return since, until


def _overlaps(start: dt.datetime, end: dt.datetime, bounds: Window | None) -> bool:
    return bounds is None or (start < bounds[1] and end > bounds[0])
