"""
Who is invited. Source: the official description of ``/meetingInvitees``.

Not certain and simulated so: where one of a list is invited already, none of the list is added.
"""

from __future__ import annotations

from typing import Any

from include.sandbox.vendors.webex import meeting_rules as rules
from include.sandbox.vendors.webex.answers import Refusal, answered, invalid, not_allowed, not_found, page
from include.sandbox.vendors.webex.base import Call, api
from include.sandbox.vendors.webex.meetings import READ, WRITE, Meetings
from include.sandbox.vendors.webex.model import Invitee, Meeting
from include.sandbox.wire import Response

MOST_AT_ONCE = 100
TWICE = "User is already a meeting invitee."
SOME_TWICE = "Some users in the list have been invited."


class Invitees(Meetings):
    @api("POST", "/meetingInvitees", operation="create_invitee", scopes=WRITE)
    def create_invitee(self, call: Call) -> Response:
        meeting, occurrence = self._invited_to(call, call.body)
        rules.invitee(call.body)
        if self._invited(meeting, call.body["email"], occurrence):
            raise Refusal(409, TWICE)
        invitee = self._invite(call, meeting, call.body, occurrence)
        return answered(200, _shown(meeting, invitee))

    @api("POST", "/meetingInvitees/bulkInsert", operation="create_invitees", scopes=WRITE)
    def create_invitees(self, call: Call) -> Response:
        meeting, occurrence = self._invited_to(call, call.body)
        entries = rules.invitees(call.body.get("items"), most=MOST_AT_ONCE)
        if any(self._invited(meeting, entry["email"], occurrence) for entry in entries):
            raise Refusal(409, SOME_TWICE, bare=True)
        added = [self._invite(call, meeting, entry, occurrence) for entry in entries]
        return answered(200, {"items": [_shown(meeting, invitee) for invitee in added]})

    def _invited_to(self, call: Call, body: dict[str, Any]) -> tuple[Meeting, str | None]:
        unique = body.get("meetingId")
        if not isinstance(unique, str) or not unique:
            raise invalid("'meetingId' is required.")
        person = self.acting(call, body.get("hostEmail"), WRITE[1])
        meeting, occurrence, _ = self.found(unique, person, self.view(call), write=True)
        return meeting, occurrence.id if occurrence else None

    def _invited(self, meeting: Meeting, email: str, occurrence: str | None) -> Invitee | None:
        return next(
            (
                invitee
                for invitee in meeting.invitees
                if invitee.email.casefold() == email.casefold() and invitee.occurrence in (None, occurrence)
            ),
            None,
        )

    def _invite(self, call: Call, meeting: Meeting, entry: dict[str, Any], occurrence: str | None) -> Invitee:
        send = self.sends(entry)
        invitee = self.new_invitee(meeting, entry, occurrence)
        meeting.invitees.append(invitee)
        self.effect("invitee_added", meeting_id=meeting.id, email=invitee.email, client_id=call.client_id)
        if send:
            self.mail("invitation", invitee.email, meeting)
        return invitee

    @api("GET", "/meetingInvitees", operation="list_invitees", scopes=READ)
    def list_invitees(self, call: Call) -> Response:
        person = self.acting(call, call.arg("hostEmail"), READ[1])
        if call.arg("meetingId") is None:
            raise invalid("'meetingId' is required.")
        meeting, occurrence, instance = self.found(call.arg("meetingId") or "", person, self.view(call))
        chosen = occurrence.id if occurrence else instance.occurrence if instance else None
        found = sorted(
            (i for i in meeting.invitees if i.occurrence in (None, chosen)), key=lambda invitee: invitee.email
        )
        return page(call.request, [_shown(meeting, i) for i in found], default=10, most=100)

    @api("GET", "/meetingInvitees/{id}", operation="get_invitee", scopes=READ)
    def get_invitee(self, call: Call) -> Response:
        person = self.acting(call, call.arg("hostEmail"), READ[1])
        meeting, invitee = self._found(call)
        if not self.concerns(meeting, person):
            raise not_found()
        return answered(200, _shown(meeting, invitee))

    @api("PUT", "/meetingInvitees/{id}", operation="update_invitee", scopes=WRITE)
    def update_invitee(self, call: Call) -> Response:
        meeting, invitee = self._own(call, call.body.get("hostEmail"))
        rules.invitee(call.body)
        other = self._invited(meeting, call.body["email"], invitee.occurrence)
        if other is not None and other is not invitee:
            raise Refusal(409, TWICE)
        send = self.sends(call.body)
        invitee.email = call.body["email"]
        invitee.display_name = call.body.get("displayName") or invitee.display_name
        invitee.co_host = call.body.get("coHost", invitee.co_host) and self.options.cohosts == "allowed"
        invitee.panelist = call.body.get("panelist", invitee.panelist)
        self.effect("invitee_updated", meeting_id=meeting.id, email=invitee.email, client_id=call.client_id)
        if send:
            self.mail("update", invitee.email, meeting)
        return answered(200, _shown(meeting, invitee))

    @api("DELETE", "/meetingInvitees/{id}", operation="delete_invitee", scopes=WRITE)
    def delete_invitee(self, call: Call) -> Response:
        meeting, invitee = self._own(call, call.arg("hostEmail"))
        meeting.invitees.remove(invitee)
        self.effect("invitee_removed", meeting_id=meeting.id, email=invitee.email, client_id=call.client_id)
        if call.arg("sendEmail") != "false":
            self.mail("cancellation", invitee.email, meeting)
        return answered(204)

    def _own(self, call: Call, host_email: object) -> tuple[Meeting, Invitee]:
        person = self.acting(call, host_email, WRITE[1])
        meeting, invitee = self._found(call)
        if not self.concerns(meeting, person):
            raise not_found()
        if meeting.host_id != person.id:
            raise not_allowed("Only the host of a meeting can change its invitees.")
        return meeting, invitee

    def _found(self, call: Call) -> tuple[Meeting, Invitee]:
        for meeting in self.world.meetings.values():
            for invitee in meeting.invitees if self.kept(meeting) else ():
                if invitee.id == call.request.params["id"]:
                    return meeting, invitee
        raise not_found()


def _shown(meeting: Meeting, invitee: Invitee) -> dict[str, Any]:
    return {
        "id": invitee.id,
        "email": invitee.email,
        "displayName": invitee.display_name,
        "coHost": invitee.co_host,
        "panelist": invitee.panelist,
        "meetingId": invitee.occurrence or meeting.id,
    }
