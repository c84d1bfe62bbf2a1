"""
Whom a change is told: the webhooks it matches, the envelope, its signature, and what failures do to a webhook.

Source: developer.webex.com/docs/api/guides/webhooks. The signature is the lower-case hexadecimal HMAC-SHA1 of
the raw body under the webhook's secret; without a secret there is none.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import urllib.parse
from collections.abc import Iterable
from typing import Any

from include.sandbox.vendors.webex.answers import moment, public_id
from include.sandbox.vendors.webex.base import WebexBase
from include.sandbox.vendors.webex.courier import Courier, Parcel
from include.sandbox.vendors.webex.model import ORG_ID, Person, Webhook

FIREHOSE = frozenset({"memberships", "messages", "rooms"})
MOST_FAILURES = 100
WINDOW = dt.timedelta(minutes=5)


class Notices(WebexBase):
    courier: Courier
    generation: int

    def notify(
        self,
        resource: str,
        event: str,
        data: dict[str, Any],
        actor: Person,
        audience: Iterable[str],
        facts: dict[str, Any] | None = None,
    ) -> None:
        """
        Tell every webhook that a change concerns; delivery happens in other threads.

        :param data: what the envelope holds.
        :param audience: ids of the people who may know of it.
        :param facts: what filters may ask for besides ``data``.
        """
        known = {**data, **(facts or {})}
        people = set(audience)
        for webhook in self.world.webhooks.values():
            if webhook.active and webhook.owner_id in people and _matches(webhook, resource, event, known):
                self._send(webhook, resource, event, data, actor)

    def _send(self, webhook: Webhook, resource: str, event: str, data: dict[str, Any], actor: Person) -> None:
        facts = {"webhook_id": webhook.id, "resource": resource, "event": event, "data_id": data["id"]}
        if self.options.webhook_drop:
            self.options.webhook_drop -= self.options.webhook_drop > 0
            self.effect("webhook_dropped", **facts)
            return
        envelope = {
            **self.shown_webhook(webhook),
            "resource": resource,
            "event": event,
            "orgId": ORG_ID,
            "createdBy": webhook.owner_id,
            "appId": public_id("APPLICATION", webhook.client_id),
            "actorId": actor.id,
            "data": data,
        }
        # What is signed must not hold the key.
        envelope.pop("secret", None)
        body = json.dumps(envelope, ensure_ascii=False).encode()
        parcel = Parcel(
            url=webhook.target_url,
            body=body,
            signature=signature(webhook.secret, body) if webhook.secret else None,
            generation=self.generation,
            **facts,
        )
        self.courier.put([parcel] * self.options.webhook_copies)

    def shown_webhook(self, webhook: Webhook) -> dict[str, Any]:
        shown = {
            "id": webhook.id,
            "name": webhook.name,
            "targetUrl": webhook.target_url,
            "resource": webhook.resource,
            "event": webhook.event,
            "filter": webhook.filter,
            "secret": webhook.secret,
            "status": "active" if webhook.active else "inactive",
            "created": moment(webhook.created),
            "ownedBy": webhook.owned_by,
        }
        return {name: value for name, value in shown.items() if value is not None}

    # What the courier asks and tells

    def parcel_wanted(self, parcel: Parcel) -> bool:
        with self.lock:
            webhook = self.world.webhooks.get(parcel.webhook_id)
            return parcel.generation == self.generation and webhook is not None and webhook.active

    def delivered(self, parcel: Parcel, status: int | None) -> None:
        """:param status: of the receiver's answer; None: it gave none."""
        with self.lock:
            if parcel.generation != self.generation:
                return
            self.effect(
                "webhook_delivery",
                webhook_id=parcel.webhook_id,
                resource=parcel.resource,
                event=parcel.event,
                data_id=parcel.data_id,
                status=status,
            )
            webhook = self.world.webhooks.get(parcel.webhook_id)
            if webhook is None or (status is not None and 200 <= status < 300):
                return
            now = self.now()
            webhook.failures = [at for at in webhook.failures if now - at < WINDOW] + [now]
            hair_trigger = webhook.revived is not None and now - webhook.revived < WINDOW
            if webhook.active and (hair_trigger or len(webhook.failures) >= MOST_FAILURES):
                webhook.active = False
                self.effect("webhook_inactive", webhook_id=webhook.id)


def signature(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def _matches(webhook: Webhook, resource: str, event: str, facts: dict[str, Any]) -> bool:
    if webhook.resource != resource and not (webhook.resource == "all" and resource in FIREHOSE):
        return False
    if webhook.event not in (event, "all"):
        return False
    for name, wanted in urllib.parse.parse_qsl(webhook.filter or ""):
        value = facts.get(name)
        if wanted == "me":
            wanted = webhook.owner_id
        values = value if isinstance(value, list) else [value]
        if wanted.casefold() not in (str(one).casefold() for one in values):
            return False
    return True
