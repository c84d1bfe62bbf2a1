"""What a run of ``knack_to_esb`` is to work on: entries of a mapped task, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from interchange.settings import load_settings
from interchange.settings.knack_to_esb import App, Settings
from interchange.settings.named import as_planned, chosen, digest

DAG_ID = "knack_to_esb"


@dataclass(frozen=True, kw_only=True)
class PlannedApp:
    """
    One app's part of a run.

    :param limit: at most so many messages; None: all.
    :param settings_digest: of the app's settings: what runs is what was planned, or nothing.
    """

    name: str
    limit: int | None
    dry_run: bool
    settings_digest: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_apps(params: Mapping[str, Any]) -> list[PlannedApp]:
    """
    The apps a run works on.

    :raises SettingsError: settings or form are wrong; names key, value and what is allowed.
    """
    settings: Settings = load_settings(DAG_ID)
    limit = params.get("limit")
    return [
        PlannedApp(
            name=app.name, limit=limit, dry_run=bool(params.get("dry_run")), settings_digest=digest(app)
        )
        for app in chosen(settings.apps, params.get("apps"), key="apps")
    ]


def app_of(planned: PlannedApp) -> App:
    """
    The settings behind a plan entry.

    :raises SettingsError: they have changed since the plan was made.
    """
    settings: Settings = load_settings(DAG_ID)
    return as_planned(settings.apps, planned.name, planned.settings_digest, kind="app")
