"""Webex: sign-in, people, rooms, messages with cards, webhooks that are delivered, and meetings."""

from include.sandbox.vendors.webex.service import Webex

__all__ = ["Webex"]
