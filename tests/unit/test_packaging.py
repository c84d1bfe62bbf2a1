"""The package is installed so that Airflow finds it, and its pins agree with each other."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DIRECT = ("requirements.txt", "requirements-dev.txt")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirements(file: str) -> dict[str, Requirement]:
    """Name to requirement of one file; -r lines and comments left out."""
    lines = (line.partition(" #")[0].strip() for line in (ROOT / file).read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {requirement.name.lower(): requirement for requirement in found}


@pytest.mark.parametrize("file", DIRECT)
def test_direct_requirements_are_exact_and_the_lock_agrees(file: str) -> None:
    locked = requirements("constraints.txt")
    direct = requirements(file)
    assert len(direct) > 5
    for name, requirement in direct.items():
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert requirement.specifier == locked[name].specifier, f"{name}: call make lock"


def test_the_lock_is_exact_throughout() -> None:
    locked = requirements("constraints.txt")
    assert len(locked) > 300
    assert [str(r) for r in locked.values() if not re.fullmatch(r"==[^*,]+", str(r.specifier))] == []


def test_what_runs_here_was_installed_from_the_lock() -> None:
    """Defect C18: two of the locked versions could not be installed."""
    locked = requirements("constraints.txt")
    installed = {
        canonicalize_name(distribution.name): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    direct = {canonicalize_name(name) for file in DIRECT for name in requirements(file)}
    assert direct - set(installed) == set()
    others = {
        name: (installed[canonicalize_name(name)], str(requirement.specifier))
        for name, requirement in locked.items()
        if canonicalize_name(name) in installed
        and installed[canonicalize_name(name)] not in requirement.specifier
    }
    assert others == {}


@pytest.mark.parametrize("file", ["constraints.txt", "requirements.txt", "requirements-dev.txt"])
def test_pin_files_name_no_index_and_no_path(file: str) -> None:
    assert not re.search(r"://|--index|--find-links|@ file|/home/|/tmp/|/root/", (ROOT / file).read_text())


def test_azurites_lock_names_no_registry() -> None:
    lock = json.loads((ROOT / "tests" / "emulators" / "package-lock.json").read_text())
    packages = {name: facts for name, facts in lock["packages"].items() if name}
    assert len(packages) > 100
    assert [name for name, facts in packages.items() if "resolved" in facts] == []
    # Without an address the hash alone says what must be installed.
    assert [name for name, facts in packages.items() if "integrity" not in facts] == []


def test_the_build_tool_is_the_locked_one() -> None:
    # `make setup` builds the package without fetching anything.
    (build,) = map(Requirement, PROJECT["build-system"]["requires"])
    assert build.specifier == requirements("constraints.txt")[build.name].specifier


def test_airflow_finds_the_installed_provider() -> None:
    entry_points = importlib.metadata.entry_points(group="apache_airflow_provider")
    (ours,) = {point for point in entry_points if point.module.startswith("interchange")}
    info = ours.load()()
    # Airflow refuses to start any component where the two names differ.
    assert info["package-name"] == PROJECT["project"]["name"]
    assert info["versions"][0] == PROJECT["project"]["version"]
    assert importlib.metadata.version(PROJECT["project"]["name"]) == PROJECT["project"]["version"]


def test_the_command_is_the_module() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="interchange")
    assert script.value == PROJECT["project"]["scripts"]["interchange"]
    assert callable(script.load())


def test_files_beside_the_code_belong_to_the_package() -> None:
    package = ROOT / "plugins" / "interchange"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["interchange"]
    included = {path for pattern in patterns for path in package.glob(pattern)}
    beside = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert beside - included == set()


def test_the_plugin_loader_sees_one_file() -> None:
    # It would execute each module of the package once more, under its bare name: http, errors, ...
    assert (ROOT / "plugins" / ".airflowignore").read_text().split() == ["interchange/"]
    from airflow._shared.module_loading import find_path_from_directory

    found = find_path_from_directory(str(ROOT / "plugins"), ".airflowignore", "glob")
    assert [Path(path).name for path in found if path.endswith(".py")] == ["interchange_plugin.py"]


def test_as_a_bundle_root_the_repository_shows_only_dags() -> None:
    from airflow._shared.module_loading import find_path_from_directory

    found = find_path_from_directory(str(ROOT), ".airflowignore", "glob")
    folders = {Path(path).relative_to(ROOT).parts[0] for path in found if path.endswith(".py")}
    assert folders <= {"dags"}


def test_make_help_lists_each_target_once() -> None:
    text = (ROOT / "Makefile").read_text()
    documented = re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)
    assert documented == re.findall(r"^\.PHONY: ([a-z-]+)$", text, re.MULTILINE)
    wanted = {"setup", "demo", "test", "lint", "types", "faults", "bench", "doctor", "help"}
    assert wanted <= set(documented)


def test_ci_runs_what_a_person_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in script if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[-1] == "make test"
