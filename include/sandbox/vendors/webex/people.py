"""
People: who one is, and who somebody is. Source: the official description of ``/people``.

Not certain and simulated so: an unknown address gives an empty list; a malformed id gives 404.
"""

from __future__ import annotations

import json
from typing import Any

from include.sandbox.vendors.webex.answers import Refusal, answered, moment, not_found, page
from include.sandbox.vendors.webex.base import Call, WebexBase, api
from include.sandbox.vendors.webex.model import ORG_ID, Person
from include.sandbox.wire import Response

READ = ("spark:people_read", "spark-admin:people_read")
MOST_IDS = 85


class People(WebexBase):
    @api("GET", "/people/me", operation="person_me", scopes=READ)
    def person_me(self, call: Call) -> Response:
        return answered(200, self.shown_person(call, call.person))

    @api("GET", "/people/{id}", operation="get_person", scopes=READ)
    def get_person(self, call: Call) -> Response:
        person = self.world.people.get(call.request.params["id"])
        if person is None or person.gone:
            raise not_found()
        return answered(200, self.shown_person(call, person))

    @api("GET", "/people", operation="list_people", scopes=READ)
    def list_people(self, call: Call) -> Response:
        email, name, ids = call.arg("email"), call.arg("displayName"), call.arg("id")
        everybody = [person for person in self.world.people.values() if not person.gone]
        missing: list[str] = []
        if ids is not None:
            wanted = [unique for unique in ids.split(",") if unique]
            if len(wanted) > MOST_IDS:
                raise Refusal(400, f"At most {MOST_IDS} ids can be given.")
            found = [person for person in everybody if person.id in wanted]
            missing = [unique for unique in wanted if unique not in {person.id for person in found}]
        elif email is not None:
            one = self.person_at(email)
            found = [one] if one else []
        elif name is not None:
            found = [p for p in everybody if p.display_name.casefold().startswith(name.casefold())]
        elif _admin(call):
            found = everybody
        else:
            raise Refusal(400, "Email, displayName, or id list should be specified.")
        answer = page(
            call.request, [self.shown_person(call, person) for person in found], default=100, most=1000
        )
        return _with_missing(answer, missing)

    def shown_person(self, call: Call, person: Person) -> dict[str, Any]:
        first, _, last = person.display_name.rpartition(" ")
        shown: dict[str, Any] = {
            "id": person.id,
            "emails": list(person.emails),
            "displayName": person.display_name,
            "nickName": first or last,
            "firstName": first or last,
            "lastName": last if first else "",
            "orgId": ORG_ID,
            "created": moment(person.created),
            "lastModified": moment(person.created),
            "status": person.status,
            "type": person.kind,
        }
        if not self.options.sparse_people:
            given = {
                "department": person.department,
                "title": person.title,
                "managerId": person.manager_id,
                "timezone": person.timezone,
            }
            shown.update({name: value for name, value in given.items() if value is not None})
        if _admin(call):
            pending, enabled = ("false", "true") if self.options.string_booleans else (False, True)
            shown.update(invitePending=pending, loginEnabled=enabled)
        return shown


def _admin(call: Call) -> bool:
    return "spark-admin:people_read" in call.scopes


def _with_missing(answer: Response, missing: list[str]) -> Response:
    payload = json.loads(answer.body if isinstance(answer.body, bytes) else b"{}")
    answer.body = json.dumps({"notFoundIds": missing, **payload}, ensure_ascii=False).encode()
    return answer
