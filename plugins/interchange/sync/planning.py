"""What a run of ``spinoco_sync`` is to work on: entries of a mapped task, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from interchange.settings import load_settings
from interchange.settings.named import as_planned, chosen, digest
from interchange.settings.spinoco_sync import Settings, Sync

DAG_ID = "spinoco_sync"


@dataclass(frozen=True, kw_only=True)
class PlannedSync:
    """
    One synchronisation's part of a run.

    :param max_pages: at most so many; None: all.
    :param delete_waiting: a person has agreed to more than ``max_deletions``.
    :param settings_digest: what runs is what was planned, or nothing.
    """

    name: str
    max_pages: int | None
    dry_run: bool
    delete_waiting: bool
    settings_digest: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_syncs(params: Mapping[str, Any]) -> list[PlannedSync]:
    """
    The synchronisations a run works on.

    :raises SettingsError: settings or form are wrong; names key, value and what is allowed.
    """
    settings: Settings = load_settings(DAG_ID)
    return [
        PlannedSync(
            name=sync.name,
            max_pages=params.get("max_pages"),
            dry_run=bool(params.get("dry_run")),
            delete_waiting=bool(params.get("delete_waiting")),
            settings_digest=digest(sync),
        )
        for sync in chosen(settings.syncs, params.get("syncs"), key="syncs")
    ]


def sync_of(planned: PlannedSync) -> Sync:
    """
    The settings behind a plan entry.

    :raises SettingsError: they have changed since the plan was made.
    """
    settings: Settings = load_settings(DAG_ID)
    return as_planned(settings.syncs, planned.name, planned.settings_digest, kind="sync")
