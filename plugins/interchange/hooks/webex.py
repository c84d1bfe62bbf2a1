"""
Webex: meetings, messages, cards, webhooks and people, by its REST API v1.

Sources: developer.webex.com (REST API Basics, Meetings, Messages, Buttons and Cards, Webhooks) and Webex's published
OpenAPI descriptions of 2026-05. Two credentials are needed: a bot's token talks, an integration's or service app's
books meetings; neither can do the other's work. There is no idempotency header: a meeting is found again by its
``integrationTags``, a message by looking into the direct space. Lists may lag behind for minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from requests.utils import parse_header_links

from interchange.core.slots import Slot
from interchange.errors import Conflict, NotFound, OutcomeUnknown, Refused, SettingsError, Unavailable
from interchange.hooks.http import Limit, VendorHook
from interchange.hooks.webex_tokens import TokenKeeper, Tokens, Vault, seed_of
from interchange.hooks.webex_values import (
    Invitee,
    Meeting,
    Message,
    Person,
    Submission,
    Webhook,
    read_activity,
    read_id,
    read_meeting,
    read_message,
    read_person,
    read_submission,
    read_webhook,
)

LONGEST_TITLE, LONGEST_AGENDA = 128, 1300
"""Characters of a meeting's title and agenda."""
LONGEST_TEXT = 7439
"""Bytes in UTF-8 of a message's text."""
CARD_TYPE = "application/vnd.microsoft.card.adaptive"
REQUESTS_PER_MINUTE = 300
"""Of one user, on most of the API."""
SCOPES = "meeting:schedules_read meeting:schedules_write spark:people_read"
"""What an integration asks of the person who logs in: their meetings, and to be told who they are."""
T = TypeVar("T")


class WebexHook(VendorHook):
    """
    ``password`` alone is a bot's token; ``login`` and ``password`` are a client's id and secret, whose tokens come from
    a log-in or from extra ``refresh_token``; or extra ``access_token`` is used as it is.

    :param vault: keeps renewed tokens; needed for a client's.
    """

    conn_type = "webex"
    default_conn_name = "webex_bot"
    hook_name = "Webex"
    default_host = "https://webexapis.com/v1"  # type: ignore[misc]  # as in the base class
    routine = frozenset({"webex.person", "webex.message", "webex.action"})

    def __init__(self, conn_id: str = "", *, vault: Vault | None = None, **options: Any) -> None:
        super().__init__(conn_id, **options)
        self._vault = vault
        self._token: str | None = None

    # Credentials

    @property
    def client_id(self) -> str | None:
        """Of an integration or service app; None: the token does not change."""
        return None if self.extra.get("access_token") else self.connection.login or None

    @property
    def renewable(self) -> bool:
        return self.client_id is not None

    @property
    def webhook_secret(self) -> str:
        """What proves that an event comes from Webex. :raises SettingsError: it is missing."""
        return self.secret("webhook_secret")

    @property
    def receiver_url(self) -> str | None:
        """Where Webex is to send events, if that is not Airflow's own address."""
        return self.extra.get("receiver_url") or None

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        if self.client_id is not None:
            self._token = self.keeper().current(refused=self._token if renew else None).access_token
        else:
            self._token = self.extra.get("access_token") or self.connection.password
        if not self._token:
            raise SettingsError(
                f"connection {self.http_conn_id}: password is missing: a bot's token, or with login a client's secret"
            )
        return {"Authorization": f"Bearer {self._token}"}

    def keeper(self) -> TokenKeeper:
        """
        The client's tokens.

        :raises SettingsError: there is nowhere to keep them, so they must not be renewed here.
        """
        if self._vault is None:
            raise SettingsError(
                f"connection {self.http_conn_id}: its tokens are renewed, and stored, by tasks only: use the doctor "
                "(DAG interchange_doctor) to test it"
            )
        first = self.extra.get("refresh_token") or None
        return TokenKeeper(
            self._vault,
            self.http_conn_id,
            refresh=lambda token: self._grant(
                {"grant_type": "refresh_token", "refresh_token": token}, before=token
            ),
            seed=seed_of(str(self.client_id), first),
            first=first,
        )

    def log_in(self, *, code: str, redirect_uri: str) -> None:
        """
        Exchange the code of a person's log-in for tokens, and keep them.

        :raises Refused: the code is used, too old, or of another redirect address.
        """
        keeper = self.keeper()
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        keeper.keep(self._grant(grant, before=None))

    def log_in_page(self, *, redirect_uri: str, state: str) -> str:
        """Where a person logs in. :raises SettingsError: the connection has no client."""
        if self.client_id is None:
            raise SettingsError(f"connection {self.http_conn_id}: login (the client id) is missing")
        query = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "scope": self.extra.get("scopes") or SCOPES,
            "state": state,
        }
        # A space as %20: the vendor's pages show no plus signs.
        prepared = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        return f"{self.base}/authorize?{prepared}"

    def _grant(self, grant: Mapping[str, str], *, before: str | None) -> Tokens:
        client_id, secret = self.client_id, self.connection.password
        if not client_id or not secret:
            raise SettingsError(
                f"connection {self.http_conn_id}: give login and password: the client's id and secret"
            )
        asked_at = time.time()
        try:
            answer = self.call_json(
                "webex.token",
                "POST",
                "/access_token",
                # A refresh whose answer was lost is asked for again: with the old token, while that lives.
                repeatable=True,
                authorized=False,
                expected=(200,),
                data={**grant, "client_id": client_id, "client_secret": secret},
            )
        except Refused as exc:
            raise Refused(
                "webex.token",
                f"Webex does not take the {'log-in' if before is None else 'refresh token'}: an admin logs in again at "
                f"/interchange/webex/login; check login and password of connection {self.http_conn_id}",
                status=exc.status,
                request_id=exc.request_id,
            ) from exc
        seed = seed_of(client_id, self.extra.get("refresh_token") or None)
        try:
            return Tokens.of(answer, asked_at=asked_at, before=before, seed=seed)
        except (KeyError, TypeError, ValueError):
            raise Unavailable("webex.token", "the answer holds no token", status=200) from None

    # How this vendor tells things

    def limits_of(self, operation: str) -> list[Limit]:
        if operation == "webex.token":
            return []
        return [Limit(bucket=f"{self.base}/{self.http_conn_id}", limit=REQUESTS_PER_MINUTE, period_s=60)]

    def request_id_of(self, response: requests.Response) -> str | None:
        return response.headers.get("trackingid")

    def request_id_in(self, payload: Any) -> str | None:
        return payload.get("trackingId") or None

    # Meetings

    def create_meeting(
        self,
        *,
        title: str,
        agenda: str,
        slot: Slot,
        addresses: Sequence[str],
        tag: str,
        join_before_host_minutes: int,
    ) -> Meeting:
        """
        Book a meeting and let Webex invite everybody by mail. The password is left to the site's rules.

        Not idempotent: ``tag`` finds it again, see :meth:`meetings_with_tag`. Every call counts against the host's
        quota of creations in 24 hours, refused ones too.

        :raises OutcomeUnknown: it may exist.
        """
        host = self.extra.get("host_email")
        body = {
            "title": title[:LONGEST_TITLE],
            "agenda": agenda[:LONGEST_AGENDA],
            **_times(slot),
            "invitees": [{"email": address} for address in addresses],
            "integrationTags": [tag],
            "sendEmail": True,
            "enabledAutoRecordMeeting": False,
            # Many meetings begin at once under one host: nobody may have to wait for that person.
            "enabledJoinBeforeHost": True,
            "joinBeforeHostMinutes": join_before_host_minutes,
            "unlockedMeetingJoinSecurity": "allowJoin",
            **({"hostEmail": host} if host else {}),
        }
        answer = self.call_json("webex.create_meeting", "POST", "/meetings", repeatable=False, json=body)
        return self._read("webex.create_meeting", read_meeting, answer, kind=OutcomeUnknown)

    def meetings_with_tag(self, tag: str, *, since: datetime, until: datetime) -> list[Meeting]:
        """Live meetings of this client with a tag. Without both bounds Webex looks a week ahead only."""
        query = {
            "meetingType": "meetingSeries",
            "integrationTag": tag,
            "from": _moment(since),
            "to": _moment(until),
            "max": 100,
            **self._host(),
        }
        found = [
            self._read("webex.list_meetings", read_meeting, entry)
            for entry in self._pages("/meetings", query, "meetings")
        ]
        return [meeting for meeting in found if tag in meeting.tags]

    def meeting(self, meeting_id: str) -> Meeting:
        """:raises NotFound: it was cancelled."""
        answer = self.call_json(
            "webex.meeting", "GET", f"/meetings/{quote(meeting_id)}", repeatable=True, params=self._host()
        )
        return self._read("webex.meeting", read_meeting, answer)

    def move_meeting(self, meeting_id: str, slot: Slot) -> Meeting:
        """
        Change the time of the same meeting; Webex tells the invitees by mail. Its join link stays.

        :raises OutcomeUnknown: it may have been moved: :meth:`meeting` tells.
        """
        body = {**_times(slot), "sendEmail": True, **self._host()}
        answer = self.call_json(
            "webex.move_meeting", "PATCH", f"/meetings/{quote(meeting_id)}", repeatable=False, json=body
        )
        return self._read("webex.move_meeting", read_meeting, answer, kind=OutcomeUnknown)

    def cancel_meeting(self, meeting_id: str) -> bool:
        """Cancel it; Webex tells the invitees by mail. :return: False if it was gone already."""
        try:
            self.call(
                "webex.cancel_meeting",
                "DELETE",
                f"/meetings/{quote(meeting_id)}",
                repeatable=True,
                params={"sendEmail": "true", **self._host()},
            )
        except NotFound:
            return False
        return True

    def invitees(self, meeting_id: str) -> list[Invitee]:
        query = {"meetingId": meeting_id, "max": 100, **self._host()}
        return [
            Invitee(id=str(entry["id"]), address=str(entry["email"]).lower())
            for entry in self._pages("/meetingInvitees", query, "invitees")
        ]

    def invite(self, meeting_id: str, address: str) -> None:
        """Add somebody, who gets a mail; no harm if they are in it already."""
        body = {"meetingId": meeting_id, "email": address, "sendEmail": True, **self._host()}
        try:
            # A second time answers 409.
            self.call("webex.invite", "POST", "/meetingInvitees", repeatable=True, json=body)
        except Conflict:
            return

    def uninvite(self, invitee_id: str) -> None:
        """Take somebody out, who gets a mail; no harm if they are out already."""
        try:
            self.call(
                "webex.uninvite",
                "DELETE",
                f"/meetingInvitees/{quote(invitee_id)}",
                repeatable=True,
                params=self._host(),
            )
        except NotFound:
            return

    def _host(self) -> dict[str, str]:
        host = self.extra.get("host_email")
        return {"hostEmail": str(host)} if host else {}

    # Messages and cards

    def send(
        self,
        *,
        markdown: str,
        address: str | None = None,
        room_id: str | None = None,
        card: Mapping[str, Any] | None = None,
        file_url: str | None = None,
    ) -> str:
        """
        Say something to one person or in one space.

        Not idempotent: :meth:`direct_messages` finds it again where it went to a person.

        :param markdown: also what clients show that cannot show the card.
        :param file_url: of an image that Webex fetches.
        :return: the message's id.
        :raises NotFound: there is no such person, or the bot is not in the space.
        :raises OutcomeUnknown: it may have been sent.
        """
        if len(markdown.encode()) > LONGEST_TEXT:
            raise Refused("webex.send", f"the text has more than {LONGEST_TEXT} bytes")
        body: dict[str, Any] = {"markdown": markdown}
        body |= {"toPersonEmail": address} if address else {"roomId": room_id}
        if card is not None:
            body["attachments"] = [{"contentType": CARD_TYPE, "content": dict(card)}]
        if file_url is not None:
            body["files"] = [file_url]
        answer = self.call_json("webex.send", "POST", "/messages", repeatable=False, json=body)
        return self._read("webex.send", read_id, answer, kind=OutcomeUnknown)

    def message(self, message_id: str) -> Message:
        """:raises NotFound: unknown, not visible to the bot, or not yet readable."""
        answer = self.call_json("webex.message", "GET", f"/messages/{quote(message_id)}", repeatable=True)
        return self._read("webex.message", read_message, answer)

    def delete_message(self, message_id: str) -> bool:
        """Take back what the bot itself has said. :return: False if it was gone already."""
        try:
            self.call("webex.delete_message", "DELETE", f"/messages/{quote(message_id)}", repeatable=True)
        except NotFound:
            return False
        return True

    def direct_messages(self, address: str, *, since: datetime) -> list[Message]:
        """What was said between bot and person since then, the newest first; nothing if they never spoke."""
        found = []
        try:
            # Newest first, so that the rest is older.
            for entry in self._pages("/messages/direct", {"personEmail": address}, "direct"):
                message = self._read("webex.direct", read_message, entry)
                if message.sent_at < since:
                    break
                found.append(message)
        except NotFound:
            return []
        return found

    def lately_said(self, since: datetime) -> Iterator[Message]:
        """What was said in the bot's direct spaces since then: space after space, the newest first in each."""
        for room in self._pages("/rooms", {"type": "direct", "max": 1000}, "rooms"):
            if self._read("webex.rooms", read_activity, room) < since:
                continue
            query = {"roomId": room["id"], "max": 100}
            for entry in self._pages("/messages", query, "messages"):
                message = self._read("webex.messages", read_message, entry)
                if message.sent_at < since:
                    break
                yield message

    def submission(self, action_id: str) -> Submission:
        """:raises NotFound: unknown, not visible to the bot, or not yet readable."""
        answer = self.call_json(
            "webex.action", "GET", f"/attachment/actions/{quote(action_id)}", repeatable=True
        )
        return self._read("webex.action", read_submission, answer)

    # People

    def me(self) -> Person:
        """Who the credential stands for."""
        return self._read(
            "webex.me", read_person, self.call_json("webex.me", "GET", "/people/me", repeatable=True)
        )

    def person(self, person_id: str) -> Person:
        """:raises NotFound: there is no such person."""
        answer = self.call_json("webex.person", "GET", f"/people/{quote(person_id)}", repeatable=True)
        return self._read("webex.person", read_person, answer)

    def person_of(self, address: str) -> Person | None:
        """Whoever has the address, in our own organisation; None: nobody."""
        answer = self.call_json("webex.people", "GET", "/people", repeatable=True, params={"email": address})
        found = (self._read("webex.people", read_person, entry) for entry in answer.get("items") or ())
        return next((person for person in found if address in person.addresses), None)

    # Webhooks

    def webhooks(self) -> list[Webhook]:
        return [
            self._read("webex.webhooks", read_webhook, entry)
            for entry in self._pages("/webhooks", {}, "webhooks")
        ]

    def create_webhook(self, *, name: str, target: str, resource: str, event: str, secret: str) -> Webhook:
        """
        Let Webex tell us of something. The same may be registered twice, and is then told twice.

        :raises OutcomeUnknown: it may exist: :meth:`webhooks` tells.
        """
        body = {"name": name, "targetUrl": target, "resource": resource, "event": event, "secret": secret}
        answer = self.call_json("webex.create_webhook", "POST", "/webhooks", repeatable=False, json=body)
        return self._read("webex.create_webhook", read_webhook, answer, kind=OutcomeUnknown)

    def renew_webhook(self, hook: Webhook, *, secret: str) -> None:
        """Make it active again, with this secret. Webex never does so by itself."""
        body = {"name": hook.name, "targetUrl": hook.target, "secret": secret, "status": "active"}
        self.call("webex.renew_webhook", "PUT", f"/webhooks/{quote(hook.id)}", repeatable=True, json=body)

    def delete_webhook(self, hook_id: str) -> None:
        try:
            self.call("webex.delete_webhook", "DELETE", f"/webhooks/{quote(hook_id)}", repeatable=True)
        except NotFound:
            return

    # Reading

    def _pages(self, path: str, query: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
        """Every item of a list: ``Link: <…>; rel="next"`` is followed as it is."""
        operation, url, params = f"webex.{name}", path, dict(query)
        while url:
            response = self.call(operation, "GET", url, repeatable=True, params=params)
            try:
                items = response.json()["items"]
                entries = [dict(item) for item in items]
            except (ValueError, KeyError, TypeError):
                raise Unavailable(operation, "the answer is no list", status=response.status_code) from None
            yield from entries
            links = parse_header_links(response.headers.get("Link", ""))
            url, params = next((link["url"] for link in links if link.get("rel") == "next"), ""), {}

    def _read(
        self,
        operation: str,
        read: Callable[[Mapping[str, Any]], T],
        answer: Mapping[str, Any],
        kind: type[Unavailable] | type[OutcomeUnknown] = Unavailable,
    ) -> T:
        try:
            return read(answer)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise kind(operation, "the answer is not what Webex describes", status=200) from None

    def probe(self) -> str:
        if self.client_id is not None and self._vault is None:
            if not self.connection.password:
                raise SettingsError(
                    f"connection {self.http_conn_id}: password (the client's secret) is missing"
                )
            return (
                "Client id and secret are there. Tokens are only renewed where they are kept: the DAG "
                "interchange_doctor tests them"
            )
        self.me()
        return "Webex answers, and accepts the token"


def _times(slot: Slot) -> dict[str, str]:
    # Local time with the zone's name: an offset would have to agree with the zone on that very day.
    return {
        "start": slot.local.isoformat(timespec="seconds"),
        "end": slot.local_end.isoformat(timespec="seconds"),
        "timezone": slot.zone,
    }


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
