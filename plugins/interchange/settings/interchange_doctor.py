"""Settings of the daily look at the deployment."""

from __future__ import annotations

from pydantic import Field

from interchange.settings.model import SettingsModel


class Settings(SettingsModel):
    """What `interchange_doctor` does besides looking."""

    personal_data_days: float | None = Field(
        180,
        gt=0,
        le=36_500,
        description="Receipts of effects that were done so many days ago lose what is personal in them, such as the "
        "address of a file, which names a mailbox; null: never.",
    )
