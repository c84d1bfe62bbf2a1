"""The daily care for the bot: what it works with stands in the settings of `webex_roulette`."""

from __future__ import annotations

from interchange.settings.model import SettingsModel


class Settings(SettingsModel):
    """Nothing of its own but `schedule` and `enabled`."""
