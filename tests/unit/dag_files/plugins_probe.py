"""
Let Airflow load a plugins folder as each of its components does, and print what it loaded, as one JSON object.

``python -m tests.unit.dag_files.plugins_probe FOLDER``; ``AIRFLOW__CORE__PLUGINS_FOLDER`` names the same folder.
"""

from __future__ import annotations

import http
import json
import sys
from pathlib import Path

from airflow import plugins_manager


def main(folder: str) -> None:
    plugins_manager.ensure_plugins_loaded()
    within = Path(folder).resolve()
    loaded = {
        name: str(file)
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and within in Path(file).resolve().parents
    }
    found = {
        "plugins": sorted(str(plugin["name"]) for plugin in plugins_manager.get_plugin_info(["name"])),
        "errors": plugins_manager.get_import_errors(),
        "loaded": loaded,
        "http": [http.__file__, sys.modules["http"].__file__],
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
