"""
Webhooks as objects: create, list, change, delete.

Sources: the official description of ``/webhooks`` and the webhooks guide. Several webhooks may have the same
resource, event and address; each fires. The text about filters is what tests of public clients quote.
"""

from __future__ import annotations

import urllib.parse

from include.sandbox.vendors.webex.answers import (
    Refusal,
    answered,
    new_id,
    not_allowed,
    not_found,
    page,
    tracking_id,
)
from include.sandbox.vendors.webex.base import Call, api, text_of
from include.sandbox.vendors.webex.model import Webhook
from include.sandbox.vendors.webex.notices import FIREHOSE, Notices
from include.sandbox.wire import Response

EVENTS = {
    "messages": {"created", "updated", "deleted"},
    "attachmentActions": {"created"},
    "memberships": {"created", "updated", "deleted"},
    "rooms": {"created", "updated"},
    "meetings": {"created", "updated", "deleted", "started", "ended"},
    "meetingParticipants": {"joined", "left"},
}
FILTERS = {
    "messages": {
        "roomId",
        "roomType",
        "personId",
        "personEmail",
        "mentionedPeople",
        "hasFiles",
        "hasAttachments",
    },
    "attachmentActions": {"roomId"},
    "memberships": {"roomId", "personId", "personEmail", "isModerator"},
    "rooms": {"type", "isLocked"},
    "meetings": {"hostEmail", "hostUserId", "meetingNumber", "integrationTag"},
    "meetingParticipants": {"hostEmail", "hostUserId", "meetingId"},
    "all": set[str](),
}
READ_SCOPES = {
    "messages": ("spark:messages_read",),
    "attachmentActions": ("spark:messages_read",),
    "memberships": ("spark:memberships_read",),
    "rooms": ("spark:rooms_read",),
    "meetings": ("meeting:schedules_read", "meeting:admin_schedule_read"),
    "meetingParticipants": ("meeting:participants_read", "meeting:admin_participants_read"),
    "all": ("spark:all", "spark:messages_read"),
}


class Webhooks(Notices):
    @api("POST", "/webhooks", operation="create_webhook")
    def create_webhook(self, call: Call) -> Response:
        name, target = text_of(call, "name", needed=True), text_of(call, "targetUrl", needed=True)
        resource, event = text_of(call, "resource", needed=True), text_of(call, "event", needed=True)
        if urllib.parse.urlsplit(target or "").scheme not in ("http", "https"):
            raise Refusal(400, "targetUrl must be an http or https URL.")
        if resource == "all":
            possible = {"all"} if event == "all" else set[str]()
        else:
            possible = EVENTS.get(resource or "", set()) | ({"all"} if resource in FIREHOSE else set())
        if event not in possible:
            raise Refusal(400, "Invalid combination of resource and event.")
        if not self._may(call.client_id, call.scopes, READ_SCOPES[resource or ""]):
            raise not_allowed(f"Missing the read scope of {resource}.")
        owned_by = text_of(call, "ownedBy") or "creator"
        if owned_by != "creator":
            raise not_allowed("Only an administrator can create webhooks of an organization.")
        given = text_of(call, "filter") or None
        self._check_filter(call, resource or "", given)
        webhook = Webhook(
            id=new_id("WEBHOOK"),
            name=name or "",
            target_url=target or "",
            resource=resource or "",
            event=event or "",
            filter=given,
            secret=text_of(call, "secret") or None,
            owner_id=call.person.id,
            client_id=call.client_id,
            created=self.now(),
            owned_by=owned_by,
        )
        if self.options.duplicate_webhook_conflict and any(
            (w.resource, w.event, w.filter, w.target_url)
            == (webhook.resource, webhook.event, webhook.filter, webhook.target_url)
            for w in self._mine(call)
        ):
            raise Refusal(409, "A webhook with these attributes exists already.")
        self.world.webhooks[webhook.id] = webhook
        self.effect(
            "webhook_created", webhook_id=webhook.id, resource=resource, event=event, target_url=target
        )
        return answered(200, self.shown_webhook(webhook))

    def _check_filter(self, call: Call, resource: str, given: str | None) -> None:
        for name, value in urllib.parse.parse_qsl(given or "", keep_blank_values=True):
            known = name in FILTERS[resource] and bool(value)
            if known and name == "roomId":
                known = any(
                    m.room_id == value and m.person_id == call.person.id
                    for m in self.world.memberships.values()
                )
            if not known:
                raise Refusal(
                    400,
                    "POST failed: HTTP/1.1 400 Bad Request (url = https://webhook-engine.sandbox/webhook-engine/api/v1/"
                    f"webhooks, request/response TrackingId = {tracking_id('ROUTER')}, "
                    f"error = 'Invalid value for filter: {name}')",
                )

    def _mine(self, call: Call) -> list[Webhook]:
        return [
            webhook
            for webhook in self.world.webhooks.values()
            if (webhook.owner_id, webhook.client_id) == (call.person.id, call.client_id)
        ]

    def _webhook(self, call: Call) -> Webhook:
        for webhook in self._mine(call):
            if webhook.id == call.request.params["id"]:
                return webhook
        raise not_found()

    @api("GET", "/webhooks", operation="list_webhooks")
    def list_webhooks(self, call: Call) -> Response:
        mine = [self.shown_webhook(webhook) for webhook in self._mine(call)]
        return page(call.request, mine, default=100, most=100)

    @api("GET", "/webhooks/{id}", operation="get_webhook")
    def get_webhook(self, call: Call) -> Response:
        return answered(200, self.shown_webhook(self._webhook(call)))

    @api("PUT", "/webhooks/{id}", operation="update_webhook")
    def update_webhook(self, call: Call) -> Response:
        """Name and address are needed; resource, event and filter stay what they are."""
        webhook = self._webhook(call)
        name, target = text_of(call, "name", needed=True), text_of(call, "targetUrl", needed=True)
        secret, status = text_of(call, "secret"), text_of(call, "status")
        if status not in (None, "active"):
            raise Refusal(400, "A webhook's status can only be set to active.")
        webhook.name, webhook.target_url = name or "", target or ""
        if secret is not None:
            webhook.secret = secret or None
        if status == "active" and not webhook.active:
            webhook.active, webhook.revived, webhook.failures = True, self.now(), []
        self.effect("webhook_updated", webhook_id=webhook.id, active=webhook.active, target_url=target)
        return answered(200, self.shown_webhook(webhook))

    @api("DELETE", "/webhooks/{id}", operation="delete_webhook")
    def delete_webhook(self, call: Call) -> Response:
        webhook = self._webhook(call)
        del self.world.webhooks[webhook.id]
        self.effect("webhook_deleted", webhook_id=webhook.id)
        return answered(204)
