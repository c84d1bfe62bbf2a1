"""
docker-compose.yaml, Dockerfile and .env.example agree with each other and with what the package needs.

Where a ``docker compose`` answers, it resolves the file; else this module's own few lines do, by the same
rules for ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}``. Either way the assertions below are made
on the result. No container is started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yaml"
ENV_EXAMPLE = ROOT / ".env.example"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")
SECRETS = (
    "POSTGRES_PASSWORD",
    "LEDGER_PASSWORD",
    "REDIS_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_API_SECRET_KEY",
)
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
ONCE = {"airflow-init", "sandbox-connections"}
OUR_IMAGE = AIRFLOW | ONCE | {"sandbox"}
SERVERS = {"postgres", "ledger", "redis"}


def example_env() -> dict[str, str]:
    """The variables of .env.example with their values."""
    lines = (line for line in ENV_EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def filled_env() -> dict[str, str]:
    """What a person's .env holds: the example with its empty secrets filled in."""
    return {**example_env(), **{name: f"filled-{name.lower()}" for name in SECRETS}}


def compose_answers() -> bool:
    command = ["docker", "compose", "version"]
    return (
        shutil.which("docker") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def interpolate(text: str, env: dict[str, str]) -> str:
    """Compose's rules for variables; a missing required one is an error."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if env.get(name):
            return env[name]
        if operator == ":?":
            raise ValueError(f"required variable {name} is missing a value: {rest}")
        return rest or ""

    return VARIABLE.sub(value, text).replace("$$", "$")


def resolve(env: dict[str, str], folder: Path) -> dict[str, Any]:
    """
    The compose file with all variables filled in and all profiles on.

    :raises ValueError: as Compose refuses, for a required variable without value.
    """
    if not compose_answers():
        loaded: dict[str, Any] = yaml.safe_load(interpolate(COMPOSE_FILE.read_text(), env))
        return loaded
    env_file = folder / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    command = ["docker", "compose", "--file", COMPOSE_FILE, "--env-file", env_file, "--profile", "*"]
    clean = {name: value for name, value in os.environ.items() if name not in example_env()}
    done = subprocess.run(
        [*command, "config", "--format", "json"], capture_output=True, text=True, check=False, env=clean
    )
    if done.returncode:
        raise ValueError(done.stderr)
    resolved: dict[str, Any] = json.loads(done.stdout)
    return resolved


@pytest.fixture
def compose(tmp_path: Path, record_property: Any) -> dict[str, Any]:
    record_property("resolved by", "docker compose" if compose_answers() else "this module")
    return resolve(filled_env(), tmp_path)


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in (service.get("environment") or {}).items()}


def waits_for(service: dict[str, Any]) -> dict[str, str]:
    return {name: facts["condition"] for name, facts in (service.get("depends_on") or {}).items()}


def test_every_component_is_there(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == OUR_IMAGE | SERVERS


def test_all_airflow_components_and_workers_run_the_one_image_with_this_package(
    compose: dict[str, Any],
) -> None:
    images = {compose["services"][name]["image"] for name in OUR_IMAGE}
    assert images == {f"interchange:{example_env()['INTERCHANGE_VERSION']}"}
    assert all("build" in compose["services"][name] for name in OUR_IMAGE)


def test_the_ledger_is_a_postgresql_of_its_own_for_every_component(compose: dict[str, Any]) -> None:
    assert compose["services"]["ledger"]["image"].startswith("postgres:")
    for name in AIRFLOW | {"airflow-init"}:
        env = environment(compose["services"][name])
        assert env["AIRFLOW_CONN_INTERCHANGE_DB"] == (
            "postgresql://interchange:filled-ledger_password@ledger:5432/interchange"
        )
        assert "@postgres:5432/airflow" in env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_components_share_one_configuration(compose: dict[str, Any]) -> None:
    environments = {name: environment(compose["services"][name]) for name in AIRFLOW | {"airflow-init"}}
    # Keeps signals from a worker's children; means nothing to the others.
    environments["worker"].pop("DUMB_INIT_SETSID")
    assert all(env == environments["scheduler"] for env in environments.values())


def test_workers_are_celery_workers_that_find_api_server_and_broker(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    env = environment(worker)
    assert env["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert env["AIRFLOW__CELERY__BROKER_URL"] == "redis://:filled-redis_password@redis:6379/0"
    assert "celery" in worker["command"]
    assert int(worker["deploy"]["replicas"]) == 2


def test_components_start_after_the_tables_are_there(compose: dict[str, Any]) -> None:
    for name in AIRFLOW | {"sandbox-connections"}:
        assert waits_for(compose["services"][name])["airflow-init"] == "service_completed_successfully"
    init = compose["services"]["airflow-init"]
    assert waits_for(init) == {"postgres": "service_healthy", "ledger": "service_healthy"}
    command = " ".join(init["command"])
    assert "airflow db migrate" in command
    assert "interchange migrate" in command


def test_everything_that_stays_up_is_watched_and_restarted(compose: dict[str, Any]) -> None:
    for name in (AIRFLOW | SERVERS | {"sandbox"}) - ONCE:
        service = compose["services"][name]
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name


def test_what_must_survive_a_restart_lies_in_volumes(compose: dict[str, Any]) -> None:
    assert {"postgres", "ledger", "logs", "auth"} <= set(compose["volumes"])
    mounted = {name: json.dumps(service.get("volumes")) for name, service in compose["services"].items()}
    for name in ("postgres", "ledger"):
        assert "/var/lib/postgresql/data" in mounted[name]
    for name in AIRFLOW:
        assert "/opt/airflow/logs" in mounted[name]
        assert "/opt/airflow/include/config" in mounted[name]


def test_nothing_of_ours_runs_as_root(compose: dict[str, Any]) -> None:
    users = {compose["services"][name]["user"] for name in OUR_IMAGE}
    assert users == {"50000:0"}
    assert not re.search(r"^USER\s+root", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_only_the_web_page_is_reachable_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    published = {name: s["ports"] for name, s in compose["services"].items() if s.get("ports")}
    assert set(published) == {"api-server"}
    assert "127.0.0.1" in json.dumps(published)


def test_the_sandbox_runs_only_on_request_and_its_connections_follow_it(compose: dict[str, Any]) -> None:
    profiles = {name for name, service in compose["services"].items() if service.get("profiles")}
    assert profiles == {"sandbox", "sandbox-connections"}
    command = compose["services"]["sandbox"]["command"]
    assert command[:3] == ["python", "-m", "include.sandbox"]
    written = next(o.partition("=")[2] for o in command if o.startswith("--write-connections"))
    assert written in compose["services"]["sandbox-connections"]["command"]
    assert waits_for(compose["services"]["sandbox-connections"])["sandbox"] == "service_healthy"


@pytest.mark.parametrize("name", SECRETS)
def test_without_a_secret_nothing_starts(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=name):
        resolve({**filled_env(), name: ""}, tmp_path)


def test_no_secret_stands_in_the_files() -> None:
    assert {name: example_env()[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")
    text = COMPOSE_FILE.read_text()
    for name in SECRETS:
        # Required wherever it appears: neither a default nor a silent empty value.
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", text)) == {":?see .env.example"}
    for line in text.splitlines():
        key, _, value = line.strip().partition(": ")
        if re.search(r"(?i)password|secret|_key$", key) and not key.startswith("#"):
            assert value.startswith(("${", "/opt/")), line


def test_each_variable_is_explained_in_the_example_and_used() -> None:
    used = {match.group(1) for match in VARIABLE.finditer(COMPOSE_FILE.read_text())}
    assert used == set(example_env())
    lines = ENV_EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\w+=", line):
            above = lines[number - 1]
            assert above.startswith("#") or re.match(r"\w+=", above), f"{line} is not explained"


def test_defaults_are_the_same_in_both_files() -> None:
    defaults = {
        m.group(1): m.group(3) for m in VARIABLE.finditer(COMPOSE_FILE.read_text()) if m.group(2) == ":-"
    }
    assert {name: example_env()[name] for name in defaults} == defaults


# The image


def dockerfile() -> list[list[str]]:
    """The Dockerfile's instructions, split into words."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def copied() -> list[tuple[str, str]]:
    """What the Dockerfile copies: source below the root, target in the image."""
    found = []
    for words in dockerfile():
        if words[0] == "COPY":
            *sources, target = [word for word in words[1:] if not word.startswith("--")]
            found += [(source, target) for source in sources]
    return found


def pinned(package: str, file: str = "requirements.txt") -> str:
    match = re.search(rf"^{package}(?:\[.*\])?==(\S+)", (ROOT / file).read_text(), re.MULTILINE)
    assert match, f"{package} is not pinned in {file}"
    return match.group(1)


def test_the_base_image_is_the_pinned_airflow() -> None:
    assert dockerfile()[0] == ["FROM", f"apache/airflow:{pinned('apache-airflow')}-python3.11"]


def test_the_image_installs_the_locked_libraries() -> None:
    runs = [" ".join(words) for words in dockerfile() if words[0] == "RUN"]
    assert any("requirements.txt" in run and "--constraint" in run for run in runs)


def test_celery_stays_below_the_version_that_breaks_airflow() -> None:
    for file in ("requirements.txt", "constraints.txt"):
        assert tuple(map(int, pinned("celery", file).split("."))) < (5, 7)


def test_what_is_copied_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {source for source, _ in copied()} == kept


def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    image = tmp_path / "opt" / "airflow"
    for source, target in copied():
        place = tmp_path / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    env = {**os.environ, "PYTHONPATH": f"{image}{os.pathsep}{image / 'plugins'}"}
    for module in ("interchange", "include.sandbox"):
        command = [sys.executable, "-m", module, "--help"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "usage" in done.stdout
