"""The bot's webhooks: Webex tells the receiver of messages and submissions, once each, signed with our secret."""

from __future__ import annotations

import logging

from interchange.errors import SettingsError
from interchange.hooks.webex_values import Webhook
from interchange.ledger.keys import keyed_hash
from interchange.roulette.desk import Desk
from interchange.roulette.events import ACTIONS, MESSAGES

log = logging.getLogger(__name__)

PATH = "/interchange/webex/webhook"
WANTED = ((MESSAGES, "created"), (ACTIONS, "created"))
SECRET = "webhook_secret"  # noqa: S105 - a kind of effect


def target_of(desk: Desk) -> str:
    """
    Where Webex is to send: extra ``receiver_url`` of the bot's connection, else Airflow's own address.

    :raises SettingsError: neither is given.
    """
    if desk.bot.receiver_url is not None:
        return desk.bot.receiver_url
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    if not base:
        raise SettingsError(
            "Webex cannot be told where to send: give [api] base_url, Airflow's address as Webex reaches it, or extra "
            f"'receiver_url' of connection {desk.bot.http_conn_id}"
        )
    return base + PATH


def reconcile(desk: Desk) -> dict[str, int]:
    """
    Let there be one active webhook of each kind that leads to our receiver. Others are not touched.

    :return: how many were ``created``, ``revived`` since Webex had switched them off, ``deleted`` as doubles, given our
        ``secret``.
    :raises OutcomeUnknown: one may have been created; done again, it is found.
    """
    secret, target = desk.bot.webhook_secret, target_of(desk)
    done = dict.fromkeys(("created", "revived", "deleted", "secret"), 0)
    ours = [hook for hook in desk.bot.webhooks() if hook.target == target]
    for resource, event in WANTED:
        # An active one is kept rather than one that was switched off.
        mine = sorted(
            (hook for hook in ours if (hook.resource, hook.event) == (resource, event)),
            key=lambda hook: (not hook.active, hook.id),
        )
        for double in mine[1:]:
            desk.bot.delete_webhook(double.id)
            done["deleted"] += 1
        if not mine:
            made = desk.bot.create_webhook(
                name=f"Interchange: {resource}", target=target, resource=resource, event=event, secret=secret
            )
            desk.ledger.record(
                {desk.ref(SECRET, _key(made, secret)): {"webhook": made.id}},
                lease_s=desk.lease_s,
                run=desk.run,
            )
            done["created"] += 1
        elif not mine[0].active:
            log.warning(
                "Webex had switched off the webhook for %s: 100 notifications were not answered in five minutes",
                resource,
            )
            desk.bot.renew_webhook(mine[0], secret=secret)
            done["revived"] += 1
        else:
            done["secret"] += _give_secret(desk, mine[0], secret)
    return done


def _give_secret(desk: Desk, hook: Webhook, secret: str) -> bool:
    """
    Webex does not tell a webhook's secret: each one that we have not given ours is given it.

    :return: whether this was needed.
    """
    given = False

    def send() -> dict[str, str]:
        nonlocal given
        given = True
        desk.bot.renew_webhook(hook, secret=secret)
        return {"webhook": hook.id}

    desk.ledger.perform(
        desk.ref(SECRET, _key(hook, secret)),
        send=send,
        find=None,
        lease_s=desk.lease_s,
        run=desk.run,
        resend=True,
    )
    return given


def _key(hook: Webhook, secret: str) -> str:
    return f"{hook.id}/{keyed_hash(f'webhook secret/{secret}')}"
