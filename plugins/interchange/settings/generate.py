"""
Writes the JSON schemas in ``include/config/schemas`` and ``docs/settings.md`` from the models.

``python -m interchange.settings.generate`` writes them; with ``--check`` it only says, by its exit code,
whether they are up to date. An editor that knows YAML schemas then completes and checks settings files while
they are written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interchange.core.qualtrics_options import OPTIONS
from interchange.settings.loading import settings_model
from interchange.settings.workflows import WORKFLOWS, Workflow

ROOT = Path(__file__).resolve().parents[3]

_INTRODUCTION = """# Settings

<!-- Written by `python -m interchange.settings.generate` from the models: change those. -->

A workflow's settings are the Airflow Variable `interchange_<dag_id>` (JSON) if it exists, else the file
`include/config/<dag_id>.yaml` (another folder: environment variable `INTERCHANGE_CONFIG_DIR`). They are
checked at the start of a run: all mistakes are reported at once, each with its key, value and what is
allowed. Nothing is converted: `"5"` is no number and `1` is not `true`. Secrets belong into connections,
never here.

`schedule` (cron, or empty for none), `enabled` and, where a workflow has it, `events` are read when Airflow parses
the DAG: from the environment variables `INTERCHANGE_<DAG_ID>_SCHEDULE`, `…_ENABLED` and `…_EVENTS` (DAG id in
capitals; the last is a queue's URL) or the file, never from the Variable.

Texts of messages are templates in `include/templates` (another folder: `INTERCHANGE_TEMPLATES_DIR`); each says
what it may hold, and is checked when it is used.
"""

_EVENTS: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["queue_url"],
            "properties": {
                "queue_url": {"type": "string", "pattern": "^https?://"},
                "conn_id": {"type": "string", "minLength": 1, "default": "aws_default"},
            },
        },
        {"type": "null"},
    ],
    "default": None,
    "description": "`queue_url` of an SQS queue with S3's events, and `conn_id` (`aws_default`): a run starts when the "
    "report has come, beside the schedule. Not in a Variable.",
}


def schema(dag_id: str) -> dict[str, Any]:
    """The JSON schema of a workflow's file, with the settings that are read at parse time."""
    made = settings_model(dag_id).model_json_schema(by_alias=True)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = f"Settings of {dag_id}"
    made["properties"] = {
        "schedule": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "default": WORKFLOWS[dag_id].schedule,
            "description": "Cron expression; empty: no schedule. Not in a Variable.",
        },
        "enabled": {
            "type": "boolean",
            "default": True,
            "description": "false: nothing starts the DAG by itself. Not in a Variable.",
        },
        **({"events": _EVENTS} if WORKFLOWS[dag_id].events else {}),
        **made["properties"],
    }
    return made


def files() -> dict[Path, str]:
    """Every generated file's path, relative to the project, and its text."""
    made = {
        Path("include", "config", "schemas", f"{dag_id}.json"): json.dumps(
            schema(dag_id), indent=2, ensure_ascii=False
        )
        + "\n"
        for dag_id in WORKFLOWS
    }
    made[Path("docs", "settings.md")] = "\n".join(_page()) + "\n"
    return made


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    for dag_id, workflow in WORKFLOWS.items():
        yield from _workflow(dag_id, workflow)
    yield "## Export options of Qualtrics"
    yield ""
    yield "Allowed under `options`, in this spelling; their meaning is the vendor's. `compress` is `true`"
    yield "if not set. `format`, `startDate`, `endDate` have their own settings; continuation tokens do not"
    yield "go with windows. `exportResponsesInProgress: true` exports *only* unfinished responses."
    yield ""
    yield ", ".join(f"`{name}`" for name in OPTIONS)


def _workflow(dag_id: str, workflow: Workflow) -> Iterator[str]:
    made = schema(dag_id)
    yield f"## {dag_id}"
    yield ""
    yield f"Default schedule: `{workflow.schedule}`." if workflow.schedule else "No default schedule."
    yield ""
    yield from _table(made)
    for name, part in made.get("$defs", {}).items():
        yield f"### {name}"
        yield ""
        if "description" in part:
            yield part["description"]
            yield ""
        yield from _table(part)


def _table(part: dict[str, Any]) -> Iterator[str]:
    required = part.get("required", [])
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in part["properties"].items():
        default = "required" if key in required else f"`{json.dumps(field.get('default'))}`"
        if "default" not in field and key not in required:
            default = "empty"
        yield f"| `{key}` | {_type(field)} | {default} | {field.get('description', '')} |"
    yield ""


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(_type(choice) for choice in field[key] if choice.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    names = {"string": "text", "object": "mapping", "boolean": "true/false", "integer": "whole number"}
    kind = str(field.get("type", "any"))
    return names.get(kind, kind)


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them; 1 if a comparison finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m interchange.settings.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a file is not up to date"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="the project's folder")
    options = parser.parse_args(arguments)
    outdated = 0
    for relative, text in files().items():
        path = options.root / relative
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        outdated += 1
        if options.check:
            sys.stdout.write(f"{relative} is not up to date\n")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{relative} written\n")
    return 1 if options.check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
