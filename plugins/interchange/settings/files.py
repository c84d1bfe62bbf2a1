"""Finding and reading a workflow's YAML file."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from interchange.errors import SettingsError

CONFIG_DIR_VARIABLE = "INTERCHANGE_CONFIG_DIR"
TEMPLATES_DIR_VARIABLE = "INTERCHANGE_TEMPLATES_DIR"
_FOLDER = Path("include", "config")
_TEMPLATES = Path("include", "templates")

# The parser in C reads a file ten times faster; it is missing in some builds of PyYAML.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the base is chosen above
    """Refuses a key written twice: YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} is there twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def config_dir() -> Path:
    """
    The folder with the settings files.

    The environment variable ``INTERCHANGE_CONFIG_DIR`` if it is set; else ``include/config`` next to the
    ``plugins`` folder this package is in, in ``AIRFLOW_HOME``, or in the working directory: the first that
    exists.
    """
    return _folder(CONFIG_DIR_VARIABLE, _FOLDER)


def templates_dir() -> Path:
    """The folder with the templates of messages: ``INTERCHANGE_TEMPLATES_DIR``, else ``include/templates`` likewise."""
    return _folder(TEMPLATES_DIR_VARIABLE, _TEMPLATES)


def _folder(variable: str, usual: Path) -> Path:
    if named := os.environ.get(variable):
        return Path(named)
    candidates = [Path(__file__).resolve().parents[3] / usual]
    if home := os.environ.get("AIRFLOW_HOME"):
        candidates.append(Path(home) / usual)
    candidates.append(Path.cwd() / usual)
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def settings_file(dag_id: str) -> Path:
    """Where a workflow's file is, or would be."""
    return config_dir() / f"{dag_id}.yaml"


def read_yaml(path: Path) -> dict[str, Any]:
    """
    A settings file as a mapping.

    :raises SettingsError: missing, unreadable, no YAML, a key there twice, or no mapping. Never quotes the
        file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: cannot be read ({type(exc).__name__})") from None
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, made stricter
    except yaml.MarkedYAMLError as exc:
        # The exception's own text quotes the lines around the mistake.
        mark = exc.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{path}{where}: {exc.problem}") from None
    except yaml.YAMLError:
        raise SettingsError(f"{path}: is no YAML") from None
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: must be a mapping of settings, not {type(data).__name__}")
    return data
