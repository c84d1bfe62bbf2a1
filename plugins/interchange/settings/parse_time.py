"""
The settings a DAG needs while Airflow parses it: its schedule and whether it is on.

They come from the environment or the YAML file. A Variable would be a database call at every parse, and a
change in it would not be seen by Airflow's DAG versioning.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from interchange.errors import SettingsError
from interchange.settings.files import read_yaml, settings_file
from interchange.settings.workflows import WORKFLOWS

_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, kw_only=True)
class Events:
    """
    A queue whose events start runs.

    :param queue_url: of an SQS queue; :param conn_id: Airflow connection to AWS.
    """

    queue_url: str
    conn_id: str = "aws_default"


@dataclass(frozen=True, kw_only=True)
class ParseSettings:
    """
    What a DAG file reads.

    :param schedule: a cron expression, or None for a DAG that only people and other systems start.
    :param enabled: False: the DAG exists, but nothing starts it by itself.
    :param time_zone: of the schedule: the workflow's own ``time_zone`` in the file, UTC where there is none.
    :param names: the names of the workflow's parts in the file, for the trigger form; empty if they cannot be
        read.
    :param events: None: only schedule and people start runs.
    """

    schedule: str | None
    enabled: bool
    names: tuple[str, ...]
    time_zone: str = "UTC"
    events: Events | None = None


def parse_time_settings(dag_id: str) -> ParseSettings:
    """
    Read schedule, switch and names; quick enough for every parse.

    A file whose other parts are wrong, or that cannot be read at all, is no reason to raise: the DAG then
    still shows up, and its runs fail with what :func:`~interchange.settings.load_settings` says.

    :raises SettingsError: a wrong schedule, switch or queue, naming its origin. Airflow shows it as an import error.
    """
    workflow = WORKFLOWS[dag_id]
    path = settings_file(dag_id)
    try:
        data = read_yaml(path)
    except SettingsError:
        data = {}
    prefix = f"INTERCHANGE_{dag_id.upper()}"
    return ParseSettings(
        schedule=_schedule(data, path, f"{prefix}_SCHEDULE", workflow.schedule),
        enabled=_enabled(data, path, f"{prefix}_ENABLED"),
        time_zone=_time_zone(data),
        names=_names(data.get(workflow.names_under)) if workflow.names_under else (),
        events=_events(data, path, f"{prefix}_EVENTS") if workflow.events else None,
    )


def _schedule(data: dict[str, Any], path: Path, variable: str, default: str | None) -> str | None:
    value: Any
    if variable in os.environ:
        origin, value = f"environment variable {variable}", os.environ[variable].strip()
        if value.lower() in ("", "none"):
            return None
    elif "schedule" in data:
        origin, value = f"{path}: schedule", data["schedule"]
        if value is None:
            return None
    else:
        return default
    if not isinstance(value, str) or not _is_cron(value):
        raise SettingsError(
            f"{origin}: {value!r} is not a schedule; allowed: a cron expression of five fields such as "
            f"'0 * * * *', {', '.join(_PRESETS)}, or nothing for no schedule"
        )
    return value


def _is_cron(value: str) -> bool:
    if value in _PRESETS:
        return True
    # Airflow has loaded it already where this runs, so this costs nothing there.
    from croniter import croniter  # type: ignore[import-untyped]  # it has no stubs

    return len(value.split()) == 5 and bool(croniter.is_valid(value))


def _enabled(data: dict[str, Any], path: Path, variable: str) -> bool:
    if variable in os.environ:
        origin, word = f"environment variable {variable}", os.environ[variable]
        value: Any = _WORDS.get(word.strip().lower(), word)
    else:
        origin, value = f"{path}: enabled", data.get("enabled", True)
    if not isinstance(value, bool):
        raise SettingsError(f"{origin}: {value!r} is not allowed; allowed: true, false")
    return value


def _events(data: dict[str, Any], path: Path, variable: str) -> Events | None:
    value: Any
    if variable in os.environ:
        origin, value = f"environment variable {variable}", os.environ[variable].strip() or None
        if value:
            value = {"queue_url": value}
    else:
        origin, value = f"{path}: events", data.get("events")
    if value is None:
        return None
    names = {field.name for field in fields(Events)}
    if (
        not isinstance(value, dict)
        or not value.keys() <= names
        or not all(isinstance(entry, str) and entry for entry in value.values())
        or not str(value.get("queue_url", "")).startswith(("https://", "http://"))
    ):
        raise SettingsError(
            f"{origin}: must be queue_url, the address of an SQS queue, and, if it is not aws_default, conn_id; or "
            "nothing, if no event starts the DAG"
        )
    return Events(**value)


def _time_zone(data: dict[str, Any]) -> str:
    value = data.get("time_zone")
    # A wrong one is told by the run; the DAG must show up first.
    return value if isinstance(value, str) and value in available_timezones() else "UTC"


def _names(entries: Any) -> tuple[str, ...]:
    if not isinstance(entries, list):
        return ()
    names = (entry.get("name") for entry in entries if isinstance(entry, dict))
    return tuple(name for name in names if isinstance(name, str))
