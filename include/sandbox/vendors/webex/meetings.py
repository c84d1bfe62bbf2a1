"""
Meetings: create, read, change, cancel, and the mails that go with it.

Sources: the official description of ``/meetings``, developer.webex.com/docs/meetings. There is no idempotency
key: a second ``POST`` makes a second meeting. Not certain and simulated so: refusals have 400; an unknown
``hostEmail`` is 400; a quota that is used up is 429.
"""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
import zoneinfo
from typing import Any

from include.sandbox.vendors.webex import meeting_rules as rules
from include.sandbox.vendors.webex import meeting_shapes as shapes
from include.sandbox.vendors.webex.answers import Refusal, answered, invalid, not_allowed, not_found
from include.sandbox.vendors.webex.base import Call, api
from include.sandbox.vendors.webex.meeting_shapes import Occurrence, View
from include.sandbox.vendors.webex.model import Change, Instance, Invitee, Meeting, Person
from include.sandbox.vendors.webex.rooms import Rooms
from include.sandbox.wire import Response

READ = ("meeting:schedules_read", "meeting:admin_schedule_read")
WRITE = ("meeting:schedules_write", "meeting:admin_schedule_write")
DAY = dt.timedelta(hours=24)


class Meetings(Rooms):
    # Who acts, on which meeting

    def acting(self, call: Call, host_email: object, admin_scope: str) -> Person:
        """
        The person as whom a call acts: the caller, or whom an administrator names.

        :raises Refusal: 403: named without admin scope; 400: nobody has that address.
        """
        if host_email is None:
            return call.person
        if admin_scope not in call.scopes:
            raise not_allowed(f"'hostEmail' needs the scope {admin_scope}.")
        person = self.person_at(str(host_email))
        if person is None or person.kind != "person":
            raise invalid("'hostEmail' is not a user of this organization.")
        return person

    def view(self, call: Call, zone: str | None = None) -> View:
        chosen = zone or call.request.headers.get("timezone") or "UTC"
        return View(
            client_id=call.client_id,
            now=self.now(),
            zone=rules.zone_named(chosen).key,
            site=self.options.site,
            everybody_comes=self.options.attendance == "everybody",
        )

    def concerns(self, meeting: Meeting, person: Person) -> bool:
        known = {address.casefold() for address in person.emails}
        return meeting.host_id == person.id or any(i.email.casefold() in known for i in meeting.invitees)

    def kept(self, meeting: Meeting) -> bool:
        return not meeting.cancelled and not shapes.over(meeting, self.now())

    def found(
        self, unique: str, person: Person, view: View, *, write: bool = False
    ) -> tuple[Meeting, Occurrence | None, Instance | None]:
        """
        The meeting of an id, and which occurrence or instance of it is meant, if not the series.

        :param write: only its host may, and no instance.
        :raises Refusal: 404, 403 or 400.
        """
        meeting = self.world.meetings.get(unique.partition("_")[0])
        if meeting is None or not self.kept(meeting) or not self.concerns(meeting, person):
            raise not_found()
        if write and meeting.host_id != person.id:
            raise not_allowed("Only the host of a meeting can change it.")
        if unique == meeting.id:
            return meeting, None, None
        if "_I_" in unique:
            if write:
                raise Refusal(400, f"Meeting ID '{unique}' is not allowed for this API.")
            instance = next((i for i in shapes.instances(meeting, view) if i.id == unique), None)
            if instance is not None:
                return meeting, None, instance
        for occurrence in shapes.occurrences(meeting):
            if occurrence.id == unique:
                return meeting, occurrence, None
        raise not_found()

    def host_of(self, meeting: Meeting) -> Person:
        return self.world.people[meeting.host_id]

    # Create

    @api("POST", "/meetings", operation="create_meeting", scopes=WRITE)
    def create_meeting(self, call: Call) -> Response:
        body = call.body
        room_id = body.get("roomId")
        named = None if room_id is not None else body.get("hostEmail")
        host = self.acting(call, named, WRITE[1])
        self._spend(call, host)
        if host.kind != "person" and named is None and call.person.kind == "appuser":
            raise invalid("A service app must name a 'hostEmail'.")
        if room_id is not None:
            self.room_of(call.person, str(room_id))
        if body.get("adhoc"):
            raise invalid("Ad-hoc meetings are not available.")
        rules.texts(body, creating=True)
        zone, start, end = self._times(body, "UTC", None)
        settings = rules.settings(body, rules.DEFAULTS)
        self._check_tracking_codes(settings)
        policy = self._policy()
        password = body.get("password")
        if password is not None and (problem := policy.refusal(str(password))):
            raise invalid(problem)
        tags = rules.tags(body.get("integrationTags"))
        asked = rules.invitees(body.get("invitees"), most=rules.MOST_INVITEES)
        send = self.sends(body)
        meeting = Meeting(
            id=uuid.uuid4().hex,
            number=f"2550{secrets.randbelow(10**7):07d}",
            host_id=host.id,
            client_id=call.client_id,
            title=body["title"],
            agenda=body.get("agenda"),
            password=str(password) if password is not None else policy.make(),
            start=start,
            end=end,
            zone=zone,
            created=self.now(),
            recurrence=shapes.check_recurrence(body.get("recurrence")),
            room_id=room_id,
            tags={call.client_id: tags} if tags else {},
            settings=settings,
        )
        for entry in asked:
            meeting.invitees.append(self.new_invitee(meeting, entry))
        self.world.meetings[meeting.id] = meeting
        self.note(call, "meeting_created", meeting)
        if send:
            self.mail_all("invitation", meeting)
        self._tell_meeting("created", call, meeting)
        return answered(200, shapes.shown_series(meeting, host, self.view(call, zone)))

    def _spend(self, call: Call, host: Person) -> None:
        """
        Count an attempt; refused ones count as well.

        :raises Refusal: 429: none is left in these 24 hours.
        """
        now, admin = self.now(), WRITE[1] in call.scopes
        recent = [entry for entry in self.world.creations if now - entry[0] < DAY]
        self.world.creations = recent
        mine = [entry for entry in recent if entry[1] == call.person.id]
        for_host = [entry for entry in mine if entry[2] == host.id]
        used_up = (
            len(mine) >= self.options.admin_meetings_per_day
            or len(for_host) >= self.options.admin_meetings_per_host
            if admin
            else len(mine) >= self.options.meetings_per_day
        )
        self.world.creations.append((now, call.person.id, host.id, admin))
        if used_up:
            wait = DAY - (now - mine[0][0])
            raise Refusal(
                429,
                "The number of meetings in 24 hours is used up.",
                retry_after=int(wait.total_seconds()) + 1,
            )

    def _times(
        self, body: dict[str, Any], zone_before: str, before: tuple[dt.datetime, dt.datetime] | None
    ) -> tuple[str, dt.datetime, dt.datetime]:
        """
        Zone, start and end after a request.

        :param before: what they were; None: both must be given.
        """
        given = body.get("timezone")
        zone = rules.zone_named(given if given is not None else zone_before)
        found = []
        for place, name in enumerate(("start", "end")):
            if body.get(name) is not None:
                found.append(self._moment(body[name], zone, strict=given is not None))
            elif before is None:
                raise invalid(f"'{name}' is required.")
            else:
                found.append(before[place])
        start, end = rules.window(found[0], found[1], self.now())
        return zone.key, start, end

    def _moment(self, text: object, zone: zoneinfo.ZoneInfo, *, strict: bool) -> dt.datetime:
        return rules.moment_in(text, zone, strict=strict, mismatch_status=self.options.zone_mismatch_status)

    def _policy(self) -> rules.Policy:
        return rules.Policy(
            length=self.options.password_length, needs=tuple(self.options.password_needs.split())
        )

    def _check_tracking_codes(self, settings: dict[str, Any]) -> None:
        wanted = self.options.required_tracking_code
        if wanted and not any(c.get("name") == wanted and c.get("value") for c in settings["trackingCodes"]):
            raise invalid(f"The tracking code '{wanted}' is required.")

    def sends(self, body: dict[str, Any]) -> bool:
        """Whether mails go out: yes unless it is said that they do not."""
        value = body.get("sendEmail", True)
        if not isinstance(value, bool):
            raise invalid("'sendEmail' has the wrong type.")
        return value

    def new_invitee(self, meeting: Meeting, entry: dict[str, Any], occurrence: str | None = None) -> Invitee:
        co_host = entry.get("coHost", False)
        if co_host and self.options.cohosts == "refused":
            raise invalid("The invitee cannot be an alternate host of this site.")
        person = self.person_at(entry["email"])
        return Invitee(
            id=f"{occurrence or meeting.id}_{2_000_000 + secrets.randbelow(7_000_000)}",
            email=entry["email"],
            display_name=entry.get("displayName") or (person.display_name if person else entry["email"]),
            co_host=co_host and self.options.cohosts == "allowed",
            panelist=entry.get("panelist", False),
            occurrence=occurrence,
        )

    # Read

    @api("GET", "/meetings/{id}", operation="get_meeting", scopes=READ)
    def get_meeting(self, call: Call) -> Response:
        view = self.view(call)
        person = self.acting(call, call.arg("hostEmail"), READ[1])
        meeting, occurrence, instance = self.found(call.request.params["id"], person, view)
        host = self.host_of(meeting)
        if instance is not None:
            return answered(200, shapes.shown_instance(meeting, instance, host, view))
        if occurrence is None and call.arg("current") == "true":
            occurrence = shapes.current(meeting, view.now)
        if occurrence is not None:
            return answered(200, shapes.shown_occurrence(meeting, occurrence, host, view))
        return answered(200, shapes.shown_series(meeting, host, view))

    # Change

    @api("PATCH", "/meetings/{id}", operation="patch_meeting", scopes=WRITE)
    def patch_meeting(self, call: Call) -> Response:
        return self._changed(call)

    @api("PUT", "/meetings/{id}", operation="put_meeting", scopes=WRITE)
    def put_meeting(self, call: Call) -> Response:
        """As ``PATCH``: no field is needed."""
        return self._changed(call)

    def _changed(self, call: Call) -> Response:
        body = call.body
        person = self.acting(call, body.get("hostEmail"), WRITE[1])
        meeting, occurrence, _ = self.found(call.request.params["id"], person, self.view(call), write=True)
        self._check_not_running(meeting)
        rules.texts(body, creating=False)
        send = self.sends(body)
        if occurrence is not None:
            self._change_occurrence(meeting, occurrence, body)
            unique: str | None = occurrence.id
        else:
            self._change_series(call, meeting, body)
            unique = None
        self.note(call, "meeting_updated", meeting, occurrence=unique)
        if send:
            self.mail_all("update", meeting)
        self._tell_meeting("updated", call, meeting)
        view, host = self.view(call, meeting.zone), self.host_of(meeting)
        for changed in shapes.occurrences(meeting) if unique else ():
            if changed.id == unique:
                return answered(200, shapes.shown_occurrence(meeting, changed, host, view))
        return answered(200, shapes.shown_series(meeting, host, view))

    def _check_not_running(self, meeting: Meeting) -> None:
        if any(instance.end is None for instance in meeting.instances):
            raise Refusal(400, "Meeting is in progress")

    def _change_series(self, call: Call, meeting: Meeting, body: dict[str, Any]) -> None:
        zone, start, end = meeting.zone, meeting.start, meeting.end
        if {"start", "end", "timezone"} & set(body):
            zone, start, end = self._times(body, meeting.zone, (meeting.start, meeting.end))
        elif end < self.now() and meeting.recurrence is None:
            raise Refusal(400, rules.BEFORE_NOW)
        settings = rules.settings(body, meeting.settings)
        self._check_tracking_codes(settings)
        if body.get("password") is not None and (problem := self._policy().refusal(str(body["password"]))):
            raise invalid(problem)
        recurrence = (
            shapes.check_recurrence(body["recurrence"]) if "recurrence" in body else meeting.recurrence
        )
        tags = rules.tags(body["integrationTags"]) if "integrationTags" in body else None
        if (start, end, recurrence) != (meeting.start, meeting.end, meeting.recurrence):
            # Occurrences are named by their times; what was said of the old ones is gone.
            meeting.changes.clear()
            meeting.absent.clear()
        meeting.zone, meeting.start, meeting.end = zone, start, end
        meeting.settings, meeting.recurrence = settings, recurrence
        meeting.title = body.get("title", meeting.title)
        meeting.password = str(body.get("password") or meeting.password)
        if "agenda" in body:
            meeting.agenda = body["agenda"]
        if tags is not None:
            meeting.tags[call.client_id] = tags

    def _change_occurrence(self, meeting: Meeting, occurrence: Occurrence, body: dict[str, Any]) -> None:
        if "integrationTags" in body or "recurrence" in body:
            raise invalid("'integrationTags' and 'recurrence' can only be changed on a meeting series.")
        _, start, end = self._times(body, meeting.zone, (occurrence.start, occurrence.end))
        known = shapes.occurrences(meeting)
        place = known.index(occurrence)
        if (place and start <= known[place - 1].start) or (
            place + 1 < len(known) and start >= known[place + 1].start
        ):
            raise Refusal(400, "meeting.err.two_meeting_schedule_at_same_day")
        meeting.changes[occurrence.id] = Change(
            start=start, end=end, title=body.get("title", occurrence.title)
        )

    @api("DELETE", "/meetings/{id}", operation="delete_meeting", scopes=WRITE)
    def delete_meeting(self, call: Call) -> Response:
        person = self.acting(call, call.arg("hostEmail"), WRITE[1])
        meeting, occurrence, _ = self.found(call.request.params["id"], person, self.view(call), write=True)
        self._check_not_running(meeting)
        send = call.arg("sendEmail")
        if send not in (None, "true", "false"):
            raise invalid("'sendEmail' has the wrong type.")
        known = shapes.occurrences(meeting)
        if occurrence is None or known == [occurrence]:
            occurrence, meeting.cancelled = None, True
        else:
            meeting.changes[occurrence.id] = Change(cancelled=True)
        self.note(call, "meeting_cancelled", meeting, occurrence=occurrence.id if occurrence else None)
        if send != "false":
            self.mail_all("cancellation", meeting)
        self._tell_meeting("deleted", call, meeting)
        return answered(204)

    # What the world sees of it

    def facts(self, meeting: Meeting) -> dict[str, Any]:
        return {
            "meeting_id": meeting.id,
            "host": self.host_of(meeting).email,
            "title": meeting.title,
            "start": shapes.time_text(meeting.start, "UTC"),
            "end": shapes.time_text(meeting.end, "UTC"),
            "zone": meeting.zone,
            "invitees": sorted(invitee.email for invitee in meeting.invitees),
            "tags": sorted(tag for tags in meeting.tags.values() for tag in tags),
        }

    def note(self, call: Call, kind: str, meeting: Meeting, **more: Any) -> None:
        self.effect(kind, client_id=call.client_id, **self.facts(meeting), **more)

    def mail(self, about: str, to: str, meeting: Meeting) -> None:
        """:param about: ``invitation``, ``update`` or ``cancellation``."""
        self.world.mails.append({"about": about, "to": to, **self.facts(meeting)})
        self.effect("mail", about=about, to=to, meeting_id=meeting.id, title=meeting.title)

    def mail_all(self, about: str, meeting: Meeting) -> None:
        for to in (self.host_of(meeting).email, *(invitee.email for invitee in meeting.invitees)):
            self.mail(about, to, meeting)

    def _tell_meeting(self, event: str, call: Call, meeting: Meeting) -> None:
        self.tell_meeting(event, meeting, call.person, self.view(call, "UTC"))

    def tell_meeting(self, event: str, meeting: Meeting, actor: Person, view: View) -> None:
        shown = shapes.shown_series(meeting, self.host_of(meeting), view)
        names = (
            "id", "title", "meetingType", "state", "timezone", "start", "end", "hostUserId", "hostDisplayName",
            "hostEmail", "meetingNumber", "webLink",
        )  # fmt: skip
        data = {name: shown[name] for name in names}
        tags = [tag for tags in meeting.tags.values() for tag in tags]
        self.notify("meetings", event, data, actor, [meeting.host_id], {"integrationTag": tags})
