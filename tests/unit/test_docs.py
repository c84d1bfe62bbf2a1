"""What the documents say is so: links lead somewhere, commands exist, lists and examples fit the code."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.secrets.local_filesystem import load_connections_dict, load_variables

from include.sandbox.control import Control
from include.sandbox.core import Sandbox
from interchange.cli import GROUPS
from interchange.ledger.connection import ledger_url
from interchange.provider_info import get_provider_info
from interchange.settings import load_settings
from interchange.settings.workflows import WORKFLOWS
from tools import readme

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DAGS = sorted((ROOT / "dags").glob("*.py"))
CONNECTIONS = ROOT / "include" / "config" / "connections.example.yaml"
VARIABLES = ROOT / "include" / "config" / "variables.example.json"
TYPES: dict[str, dict[str, Any]] = {
    entry["connection-type"]: entry for entry in get_provider_info()["connection-types"]
}
OF_OTHERS = {"postgres", "aws", "google_cloud_platform", "wasb"}
STANDARD_FIELDS = {"host", "schema", "port", "login", "password"}


def told(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What a heading is linked by, as on GitHub."""
    headings = re.findall(r"^#+ (.+)$", told(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    yield from re.findall(r"\]\(([^)\s]+)\)", told(page))


def test_there_is_a_page_for_every_need() -> None:
    names = {name_of(page) for page in PAGES}
    wanted = {"README.md", "CHANGELOG.md", "docs/README.md", "docs/guarantees.md", "docs/runbooks/ledger.md"}
    assert wanted <= names
    assert {f"docs/runbooks/{dag.stem}.md" for dag in DAGS} <= names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        whole = target.exists() and (target.is_file() or any(target.glob("**/*.*")))
        if not whole or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    reached = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert [name_of(page) for page in PAGES if page.parent != ROOT and page not in reached | {index}] == []


@pytest.mark.parametrize("page", [*PAGES, *DAGS], ids=name_of)
def test_commands_exist(page: Path) -> None:
    text = told(page)
    targets = set(re.findall(r"^([a-z-]+):", told(ROOT / "Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE))
    assert named <= targets

    commands = argparse.ArgumentParser().add_subparsers()
    for group in GROUPS:
        importlib.import_module(group).register(commands)
    for module, command in re.findall(r"python -m (interchange|tools\.\w+)(?: ([a-z]+))?", text):
        if module == "interchange":
            assert not command or command in commands.choices
        else:
            assert (ROOT / f"{module.replace('.', '/')}.py").exists()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_environment_variables_are_read_somewhere(page: Path) -> None:
    name = re.compile(r"\bINTERCHANGE_[A-Z_]*[A-Z]\b")
    code = [file for folder in ("plugins", "include", "tools") for file in ROOT.glob(f"{folder}/**/*.py")]
    known = {found for file in [*code, ROOT / "docker-compose.yaml"] for found in name.findall(told(file))}
    # Each workflow's own: INTERCHANGE_<DAG_ID>_SCHEDULE.
    known |= {
        f"INTERCHANGE_{dag_id}_{key}".upper()
        for dag_id, workflow in WORKFLOWS.items()
        for key in workflow.parse_time_keys
    }
    assert set(name.findall(told(page))) - known == set()


@pytest.mark.parametrize("dag", DAGS, ids=name_of)
def test_pages_that_a_dag_names_exist(dag: Path) -> None:
    assert [path for path in re.findall(r"`(docs/[\w/.]+)`", told(dag)) if not (ROOT / path).exists()] == []


def test_the_readme_lists_the_dags_as_they_describe_themselves() -> None:
    text = told(readme.README)
    assert readme.renewed(text, readme.block(ROOT / "dags")) == text, "call: python -m tools.readme"
    assert re.findall(r"^\| \[`(\w+)`\]", text, re.MULTILINE) == [dag.stem for dag in DAGS]


def test_a_dag_without_a_page_is_told(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text('"""Says nothing."""\n')
    with pytest.raises(ValueError, match=r"silent\.py"):
        readme.block(tmp_path)


def test_the_readmes_first_screen_is_short() -> None:
    assert len(told(readme.README).splitlines()) < 120


def documented_fields(conn_type: str) -> dict[str, str]:
    """Field → the form's label, as the table of one connection type has them; extras as ``extra.name``."""
    section = told(ROOT / "docs" / "connections.md").split(f"\n## {conn_type}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|`]+?) \| (extra )?`(\w+)` \|", section, re.MULTILINE)
    return {f"extra.{name}" if extra else name: label for label, extra, name in rows}


@pytest.mark.parametrize("conn_type", TYPES)
def test_every_field_of_a_connection_is_described_and_no_other(conn_type: str) -> None:
    """Defects A16 and D10: certificates, and secrets, were looked for elsewhere than the README said."""
    form = TYPES[conn_type]
    behaviour = form["ui-field-behaviour"]
    shown = STANDARD_FIELDS - set(behaviour["hidden-fields"])
    fields = {name: behaviour["relabeling"][name] for name in shown}
    fields |= {f"extra.{name}": field["label"] for name, field in form["conn-fields"].items()}
    assert documented_fields(conn_type) == fields


def test_connections_md_describes_all_types() -> None:
    headings = re.findall(r"^## ([a-z]+)$", told(ROOT / "docs" / "connections.md"), re.MULTILINE)
    assert headings == list(TYPES)


def test_the_example_connections_are_what_airflow_imports() -> None:
    # The function that `airflow connections import` reads its file with.
    read = load_connections_dict(str(CONNECTIONS))
    ids = {"qualtrics_default", "onedrive_default", "modo_default", "interchange_db"}
    assert ids <= set(read)
    assert {connection.conn_type for connection in read.values()} == set(TYPES) | OF_OTHERS
    used: dict[str, set[str]] = {conn_type: set() for conn_type in TYPES}
    for connection in read.values():
        if connection.conn_type in OF_OTHERS:
            continue
        form = TYPES[connection.conn_type]
        used[connection.conn_type] |= set(connection.extra_dejson)
        for hidden in form["ui-field-behaviour"]["hidden-fields"]:
            assert getattr(connection, hidden) is None, f"{connection.conn_id}: the form has no {hidden}"
    # Every extra stands in the example, and no other.
    assert used == {conn_type: set(form["conn-fields"]) for conn_type, form in TYPES.items()}


def test_the_example_connections_hold_no_secret() -> None:
    for connection in load_connections_dict(str(CONNECTIONS)).values():
        values = {"password": connection.password, **connection.extra_dejson}
        for name, value in values.items():
            if re.search(r"password|secret|token|passphrase|key", name) and value:
                assert len(value) >= 5, f"{connection.conn_id}.{name}: Airflow would mask it everywhere"
            if re.search(r"password|secret|token|passphrase|api_key$", name) and value:
                assert value.startswith("EXAMPLE-"), f"{connection.conn_id}.{name}"


def test_the_example_leads_the_ledger_to_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = load_connections_dict(str(CONNECTIONS))["interchange_db"]
    monkeypatch.setenv("AIRFLOW_CONN_INTERCHANGE_DB", connection.as_json())
    url = ledger_url()
    assert url.render_as_string().startswith(
        "postgresql+psycopg2://interchange:***@ledger.example:5432/interchange"
    )
    assert url.query["sslmode"] == "verify-full"


def test_the_example_variables_are_valid_settings() -> None:
    read = load_variables(str(VARIABLES))
    assert read
    for key, value in read.items():
        # `airflow variables import` stores what is no text as JSON.
        settings = load_settings(key.removeprefix("interchange_"), variable={key: json.dumps(value)}.get)
        assert [entry for _, entries in settings for entry in entries]


def curl_commands() -> list[tuple[str, str, str | None]]:
    """Method, path and body of each call that docs/sandbox.md shows."""
    text = told(ROOT / "docs" / "sandbox.md")
    found = re.findall(
        r"curl (?:-X (\w+) )?\"?(?:\$C|http://localhost:8600)(/[^\s\"`]*)\"?(?: +-d '([^']*)')?", text
    )
    return [(method or ("POST" if body else "GET"), path, body or None) for method, path, body in found]


@pytest.mark.parametrize(
    "command", curl_commands(), ids=lambda command: f"{command[0]} {command[1]} {command[2]}"
)
def test_the_sandbox_takes_the_calls_that_its_page_shows(
    sandbox: Sandbox, command: tuple[str, str, str | None]
) -> None:
    method, path, body = command
    control = Control(sandbox)
    control.start()
    try:
        answer = httpx.request(method, f"{control.url}{path}", content=body, trust_env=False)
    finally:
        control.stop()
        sandbox.clear_faults()
    if body and '"?"' in body:
        assert answer.status_code == 400
        assert "it has [" in answer.json()["error"]
    else:
        assert answer.is_success, answer.text


def test_each_defect_of_the_predecessors_is_named_by_a_test_that_shows_it() -> None:
    """Where to look: ``grep -rnw "Defect.*A7" tests``."""
    rows = re.findall(r"^\| ((?:[A-E]\d+(?:, )?)+) \|", told(ROOT / "docs" / "migration.md"), re.MULTILINE)
    listed = {number for row in rows for number in row.split(", ")}
    assert len(listed) == 16 + 16 + 18 + 11 + 35
    named = {
        number
        for file in (ROOT / "tests").rglob("test_*.py")
        for line in re.findall(r"^ *(?:\"\"\")?Defects? .*", told(file), re.MULTILINE)
        for number in re.findall(r"\b[A-E]\d+\b", line)
    }
    assert listed - named == set()
    assert named - listed == set()


def test_nothing_names_the_place_where_it_was_written() -> None:
    # Put together from pieces: this file is looked through as well.
    words = [
        r"(?<![\w.])/" + r"work\b", "/tmp/" + "w/", r"/opt/" + r"pypi", r"/(?:home|Users)/" + r"\w",
        r"pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.(?:org|com)",
    ]  # fmt: skip
    pattern = re.compile("|".join(words))
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert len(files) > 100
    found = []
    for file in files:
        try:
            text = told(file)
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(file)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []
