"""What of Webex varies, is not documented, or goes wrong in its own way."""

from __future__ import annotations

import dataclasses

from include.sandbox.core import Vendor

BOT_TOKEN = "sandbox-webex-bot-token-0001"


@dataclasses.dataclass(kw_only=True)
class Switches(Vendor.Options):
    # Sign-in
    bot_token: str = BOT_TOKEN
    """Another value is what a regenerated token is: the old one ends at once."""
    logs_in: str = "roulette@example.test"
    """The address of the person who logs in at ``/authorize`` and agrees; empty: nobody agrees."""
    code_life_s: int = 300
    """Not documented, "short"."""
    access_life_s: int = 1_209_600
    refresh_life_s: int = 7_776_000
    rotate: bool = False
    """A refresh gives another refresh token, and the one presented is dead."""
    slide: bool = True
    """A refresh gives the refresh token its whole life again."""
    refresh_in_answer: bool = True
    """A refresh's answer holds the refresh token and its life."""
    scope_in_answer: bool = True
    token_errors: str = "envelope"
    """``envelope`` (message, errors, trackingId) or ``oauth`` (error, error_description): which one is not certain."""
    admin_scopes: bool = False
    """Every token of an integration also has ``meeting:admin_schedule_read`` and ``…_write``."""
    withdrawn_scopes: str = ""
    """Scopes, separated by spaces, that no token has any more."""
    bot_at_meetings_status: int = 403
    """What a bot is told at the meetings' routes: 401 or 403."""

    # All answers
    requests_per_minute: int = 300
    """Of one user, messages and people not counted; 0: any number."""
    errors_array: bool = True
    """Error answers have ``errors``."""
    extra_fields: bool = False
    """Objects have fields that no description knows."""
    html_429: bool = True
    """An injected 429 has the body that the documentation's example has: HTML."""
    failure_body: str = "envelope"
    """Of other injected statuses: ``envelope``, ``html`` or ``empty``."""
    lag_reads: int = 0
    """So many reads of a new message or action find nothing: the REST side lags behind the webhook."""
    sparse_people: bool = False
    """No department, manager or time zone is shown."""
    string_booleans: bool = True
    """``invitePending`` and ``loginEnabled`` are text, as described; else booleans. Admins see them only."""

    # Messages
    strict_cards: bool = True
    """Cards above version 1.3, with more than five buttons or ``card_limit_bytes`` are refused; else accepted."""
    card_limit_bytes: int = 20_480
    """Not documented."""
    card_needs_text: bool = True

    # Webhooks
    webhook_timeout_s: float = 10
    webhook_hold: bool = False
    """Nothing is delivered until this is switched off."""
    webhook_reorder: int = 0
    """Notifications wait until there are so many, and come last one first; 0 lets go of those that wait."""
    webhook_copies: int = 1
    """Each notification is delivered so often."""
    webhook_delay_s: float = 0
    webhook_drop: int = 0
    """The next so many notifications are lost; -1: all."""
    duplicate_webhook_conflict: bool = False
    """A second webhook with the same resource, event, filter and address is refused with 409."""

    # Meetings
    site: str = "sandbox.webex.com"
    password_length: int = 8
    password_needs: str = "upper lower digit"
    """Kinds of characters a meeting's password needs: any of ``upper``, ``lower``, ``digit``, ``special``."""
    required_tracking_code: str = ""
    """The name of a tracking code that each meeting needs."""
    meetings_per_day: int = 100
    """Creations in 24 hours by a user, refused ones included."""
    admin_meetings_per_day: int = 3000
    admin_meetings_per_host: int = 800
    zone_mismatch_status: int = 400
    """One reporter says 404."""
    cohosts: str = "allowed"
    """``coHost: true`` is ``allowed``, set to false (``downgraded``) or ``refused``."""
    listing_lag_s: float = 0
    """A new meeting is listed so much later."""
    attendance: str = "nobody"
    """Who comes to meetings that nobody has marked: ``nobody`` (they are missed) or ``everybody`` (they end)."""
