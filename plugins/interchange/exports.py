"""
What a run of ``qualtrics_to_onedrive`` is going to export: the plan, as data.

A plan entry travels through XCom and is shown in the UI, so it holds no address and no secret. It carries a digest of
the settings it was made from: what runs is what was planned, or nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from interchange.core.windows import Window, parse_moment
from interchange.errors import SettingsError
from interchange.runs import explicit_window, lookback_window, run_window
from interchange.settings import load_settings
from interchange.settings.named import chosen
from interchange.settings.qualtrics_to_onedrive import (
    Export,
    OneDriveDestination,
    Settings,
    shared_files,
)

log = logging.getLogger(__name__)

DAG_ID = "qualtrics_to_onedrive"
DEFAULT_LOOKBACK = timedelta(hours=24)
FURTHEST_END = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class PlannedExport:
    """
    One file that will be there afterwards.

    :param window_start: inclusive, ``YYYY-MM-DDThh:mm:ssZ``; ``window_end`` is exclusive.
    :param asked_for: a person chose the window on the form: an older one may then replace a newer file.
    :param settings_digest: of the export's settings, with the form's format in them.
    """

    name: str
    format: str
    window_start: str
    window_end: str
    asked_for: bool
    file_name: str
    destination: str
    settings_digest: str

    @property
    def window(self) -> Window:
        return Window(
            parse_moment("window_start", self.window_start), parse_moment("window_end", self.window_end)
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_exports(context: Mapping[str, Any]) -> list[PlannedExport]:
    """
    The plan of a run, from its settings, its form and its window. No side effect, no call.

    :raises SettingsError: settings or form are wrong; names key, value and what is allowed.
    """
    params = context.get("params") or {}
    settings: Settings = load_settings(DAG_ID)
    _check_is_past(context)
    wanted = {
        export.name: _with_format(export, params.get("format"))
        for export in chosen(settings.exports, params.get("exports"), key="exports")
    }
    if shared := shared_files(wanted.get(export.name, export) for export in settings.exports):
        raise SettingsError(f"format {params.get('format')!r}: with it, {'; '.join(shared)}")
    planned = [_planned(export, context) for export in wanted.values()]
    for entry in planned:
        log.info("%s: %s as %s to %s", entry.name, entry.window, entry.format, entry.destination)
    return planned


def export_of(planned: PlannedExport) -> Export:
    """
    The settings behind a plan entry.

    :raises SettingsError: they have changed since the plan was made.
    """
    settings: Settings = load_settings(DAG_ID)
    for export in settings.exports:
        if export.name == planned.name:
            as_planned = _with_format(export, planned.format)
            if _digest(as_planned) == planned.settings_digest:
                return as_planned
    raise SettingsError(
        f"export {planned.name!r}: its settings have changed since the plan was made; clear task 'plan'"
    )


def _check_is_past(context: Mapping[str, Any]) -> None:
    """A run may wait for the end of its day, not for a date with a slip of the pen."""
    window = explicit_window(context)
    if window is not None and window.end > datetime.now(UTC) + FURTHEST_END:
        raise SettingsError(
            f"window_end: {window.end_text} is more than {FURTHEST_END.days} day ahead: nothing was recorded until then"
        )


def _with_format(export: Export, form: object) -> Export:
    return export if form in (None, "", export.format) else export.with_format(str(form))


def _planned(export: Export, context: Mapping[str, Any]) -> PlannedExport:
    if export.lookback is not None:
        window = lookback_window(context, length=export.lookback)
    else:
        # A run without an interval (started by hand or over the API without a logical date) looks back instead.
        hours = export.lookback_hours
        window = run_window(context, default=timedelta(hours=hours) if hours else DEFAULT_LOOKBACK)
    name = export.file_name(window)
    return PlannedExport(
        name=export.name,
        format=export.format,
        window_start=window.start_text,
        window_end=window.end_text,
        asked_for=explicit_window(context) is not None,
        file_name=name,
        destination=_shown(export, name),
        settings_digest=_digest(export),
    )


def _shown(export: Export, name: str) -> str:
    """Where the file goes, without the mailbox it belongs to."""
    to = export.destination
    if isinstance(to, OneDriveDestination):
        return f"OneDrive ({to.conn_id}): /{to.folder.strip('/')}/{name}".replace("//", "/")
    return f"{to.url.rstrip('/')}/{name}"


def _digest(export: Export) -> str:
    content = json.dumps(export.model_dump(mode="json", by_alias=True), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
