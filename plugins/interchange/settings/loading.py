"""Reading a workflow's settings at the start of a run."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from interchange.core.suggest import did_you_mean
from interchange.errors import SettingsError
from interchange.settings.files import read_yaml, settings_file
from interchange.settings.model import SettingsModel, validate
from interchange.settings.workflows import WORKFLOWS


def airflow_variable(key: str) -> str | None:
    """The Airflow Variable of this name as it stands, or None if there is none."""
    from airflow.sdk import Variable

    value: str | None = Variable.get(key, default=None)
    return value


def settings_model(dag_id: str) -> type[SettingsModel]:
    """
    The model of a workflow's settings.

    :raises SettingsError: there is no such workflow.
    """
    workflow = WORKFLOWS.get(dag_id)
    if workflow is None:
        raise SettingsError(
            f"{dag_id!r} has no settings; workflows: {', '.join(WORKFLOWS)}.{did_you_mean(dag_id, WORKFLOWS)}"
        )
    model: type[SettingsModel] = importlib.import_module(workflow.module).Settings
    return model


def needs_no_settings(dag_id: str) -> bool:
    """Whether every setting of a workflow has a default, so that neither file nor Variable need exist."""
    return validate(settings_model(dag_id), {})[0] is not None


def load_settings(dag_id: str, *, variable: Callable[[str], str | None] = airflow_variable) -> Any:
    """
    A workflow's settings, checked.

    :param dag_id: which workflow.
    :param variable: where to look for the Variable ``interchange_<dag_id>``.
    :return: an instance of the class ``Settings`` of the workflow's module.
    :raises SettingsError: every mistake there is, each with its place, key, value and what is allowed.
    """
    model = settings_model(dag_id)
    parse_time_keys = WORKFLOWS[dag_id].parse_time_keys
    key = f"interchange_{dag_id}"
    text = variable(key)
    if text is None:
        path = settings_file(dag_id)
        origin = f"file {path}"
        data = {} if not path.exists() and needs_no_settings(dag_id) else read_yaml(path)
        settings, problems = validate(model, {k: v for k, v in data.items() if k not in parse_time_keys})
    else:
        origin = f"Airflow Variable {key}"
        data = _from_json(origin, text)
        misplaced = [k for k in parse_time_keys if k in data]
        settings, problems = validate(model, {k: v for k, v in data.items() if k not in misplaced})
        problems += [
            f"{k}: is read while Airflow parses the DAG, so it cannot stand in a Variable; set it in "
            f"{settings_file(dag_id)} or in the environment variable INTERCHANGE_{dag_id.upper()}_{k.upper()}"
            for k in misplaced
        ]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise SettingsError(f"{count} in {origin}:\n" + "\n".join(f"  - {line}" for line in problems))
    return settings


def _from_json(origin: str, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_no_twins)
    except json.JSONDecodeError as exc:
        raise SettingsError(
            f"{origin}: is no JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}"
        ) from None
    except _Twin as exc:
        raise SettingsError(f"{origin}: the key {exc.args[0]!r} is there twice") from None
    if not isinstance(data, dict):
        raise SettingsError(f"{origin}: must be a JSON object of settings, not {type(data).__name__}")
    return data


class _Twin(ValueError):
    """A key written twice in one JSON object."""


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise _Twin(key)
        data[key] = value
    return data
