"""
The parts of Webex's official descriptions that this package uses, for ``tests/specs/webex``.

``python -m tools.cut_webex_specs FOLDER`` reads ``webex-meeting.json``, ``webex-messaging.json``,
``webex-admin.json`` and ``LICENSE`` from a checkout of webex/webex-openapi-specs (its folder ``public-spec``,
and its root for the licence) and writes what is kept: the operations below, the schemas they reach, examples.
Descriptions and extensions are left out. What the copy may be used for, and from which commit it is, stands in
``tests/specs/webex/PROVENANCE.md``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "specs" / "webex"
KEPT: dict[str, dict[str, tuple[str, ...]]] = {
    "webex-meeting.json": {
        "/meetings": ("get", "post"),
        "/meetings/{meetingId}": ("get", "patch", "put", "delete"),
        "/meetingInvitees": ("get", "post"),
        "/meetingInvitees/bulkInsert": ("post",),
        "/meetingInvitees/{meetingInviteeId}": ("get", "put", "delete"),
    },
    "webex-messaging.json": {
        "/attachment/actions": ("post",),
        "/attachment/actions/{id}": ("get",),
        "/memberships": ("get", "post"),
        "/memberships/{membershipId}": ("get", "delete"),
        "/messages": ("get", "post"),
        "/messages/direct": ("get",),
        "/messages/{messageId}": ("get", "put", "delete"),
        "/people": ("get",),
        "/people/me": ("get",),
        "/people/{personId}": ("get",),
        "/rooms": ("get", "post"),
        "/rooms/{roomId}": ("get", "delete"),
        "/webhooks": ("get", "post"),
        "/webhooks/{webhookId}": ("get", "put", "delete"),
    },
    "webex-admin.json": {"/applications/{applicationId}/token": ("post",)},
}
LEFT_OUT = frozenset({"description", "summary", "tags", "security", "externalDocs", "operationId"})
COMPONENT = "#/components/"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.cut_webex_specs", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the official files are")
    folder: Path = parser.parse_args(arguments).folder
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, paths in KEPT.items():
        text = json.dumps(cut(json.loads((folder / name).read_text()), paths), indent=1, ensure_ascii=False)
        (TARGET / name).write_text(text + "\n")
        print(f"{name}: {sum(len(methods) for methods in paths.values())} operations, {len(text)} bytes")
    shutil.copyfile(folder / "LICENSE", TARGET / "LICENSE")
    return 0


def cut(document: dict[str, Any], paths: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """
    A description of some operations only, with the components that these reach.

    :raises KeyError: the document does not have an operation or component.
    """
    kept: dict[str, Any] = {
        "openapi": document["openapi"],
        "info": {"title": document["info"]["title"], "version": document["info"]["version"]},
        "paths": {},
        "components": {},
    }
    for path, methods in paths.items():
        item = document["paths"][path]
        kept["paths"][path] = {method: _bare(item[method]) for method in methods}
        if "parameters" in item:
            kept["paths"][path]["parameters"] = _bare(item["parameters"])
    waiting = sorted(_references(kept["paths"]))
    while waiting:
        kind, name = waiting.pop().removeprefix(COMPONENT).split("/", 1)
        group = kept["components"].setdefault(kind, {})
        if name not in group:
            group[name] = _bare(document["components"][kind][name])
            waiting += sorted(_references(group[name]))
    for group in kept["components"].values():
        for name in sorted(group):
            group[name] = group.pop(name)
    return kept


def _bare(value: Any, *, names: bool = False) -> Any:
    """
    Without descriptions and extensions.

    :param names: the keys are names of properties or of statuses, not words of OpenAPI.
    """
    if isinstance(value, list):
        return [_bare(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, entry in value.items():
        if names:
            kept[key] = _bare(entry)
        elif key in ("example", "default", "enum"):
            kept[key] = entry
        elif key == "responses":
            kept[key] = {status: _bare(answer) for status, answer in entry.items()}
        elif key in ("headers", "content", "parameters") and not entry:
            continue
        elif key not in LEFT_OUT and not key.startswith("x-"):
            kept[key] = _bare(entry, names=key in ("properties", "examples", "content"))
    return kept


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {found for entry in value for found in _references(entry)}
    if not isinstance(value, dict):
        return set()
    here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return here | {found for entry in value.values() for found in _references(entry)}


if __name__ == "__main__":
    sys.exit(main())
