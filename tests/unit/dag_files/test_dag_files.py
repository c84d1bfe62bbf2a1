"""The DAG files keep our rules: cheap to parse, documented, scheduled over real intervals, guarded against errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from interchange import policies
from interchange.core.windows import parse_moment
from interchange.provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[3]
DAGS = ROOT / "dags"
FILES = sorted(DAGS.glob("*.py"))
# The forms of the design: what a person finds on each DAG's trigger form, in this order.
FORMS = {
    "qualtrics_to_onedrive": ["exports", "window_start", "window_end", "format", "dry_run"],
    "knack_to_esb": ["apps", "limit", "dry_run"],
    "ticket_closure": ["since", "dry_run"],
    "spinoco_sync": ["syncs", "max_pages", "dry_run", "delete_waiting"],
    "modo_directory": ["file", "name", "min_entries", "max_mib", "dry_run"],
    "webex_roulette": ["round_start", "dry_run"],
    "webex_bot": ["event"],
    "webex_upkeep": [],
    "interchange_doctor": [],
}
SCHEDULED = {
    "qualtrics_to_onedrive": "0 * * * *",
    "knack_to_esb": "1-59/5 * * * *",
    "ticket_closure": "0 7 * * 1",
    "spinoco_sync": "*/5 * * * *",
    "webex_roulette": "0 6 * * 1",
    "webex_upkeep": "45 8 * * *",
    "interchange_doctor": "30 5 * * *",
}
HEAVY = (
    "airflow.models", "airflow.providers.amazon", "airflow.providers.google", "airflow.providers.microsoft",
    "alembic", "azure", "boto3", "botocore", "cryptography", "google", "httpx", "interchange.delivery",
    "interchange.hooks", "interchange.ledger", "interchange.storages", "jinja2", "lxml", "msal", "numpy", "pandas",
    "pydantic", "requests", "sqlalchemy",
)  # fmt: skip


def probe(module: str, folder: Path, home: Path, **settings: str) -> dict[str, Any]:
    """Run one of the probes beside this file in an Airflow of its own."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "INTERCHANGE_"))
    }
    env |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "no-plugins"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        **settings,
    }
    command = [sys.executable, "-m", f"tests.unit.dag_files.{module}", str(folder)]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def parsed(folder: Path, home: Path) -> dict[str, Any]:
    watcher = "tests.unit.dag_files.secrets_watcher.Watcher"
    return probe(
        "parse_probe", folder, home, AIRFLOW__SECRETS__BACKEND=watcher, AIRFLOW__WORKERS__SECRETS_BACKEND=watcher
    )  # fmt: skip


def heavy(modules: list[str]) -> list[str]:
    return [
        name for name in modules if name.startswith(tuple(f"{prefix}." for prefix in HEAVY)) or name in HEAVY
    ]


class TestParsing:
    def test_costs_no_connection_no_lookup_and_no_heavy_module(self, tmp_path: Path) -> None:
        found = parsed(DAGS, tmp_path)
        assert found["errors"] == {}
        assert found["dags"] == sorted(FORMS)
        assert found["events"] == []
        assert found["lookups"] == []
        assert heavy(found["modules"]) == []
        # It has looked at what our files load.
        assert "interchange.operators.qualtrics" in found["modules"]

    def test_the_probe_notices_what_it_is_for(self, tmp_path: Path) -> None:
        folder = tmp_path / "dags"
        folder.mkdir()
        (folder / "costly.py").write_text(
            "import contextlib, sqlite3, socket\n"
            "import lxml.etree, interchange.ledger\n"
            "from airflow.sdk import DAG, BaseHook, Variable\n"
            "sqlite3.connect(':memory:')\n"
            "with contextlib.suppress(OSError):\n    socket.create_connection(('127.0.0.1', 1), timeout=1)\n"
            "Variable.get('settings', default=None)\n"
            "with contextlib.suppress(Exception):\n    BaseHook.get_connection('somewhere')\n"
            "DAG('costly')\n"
        )
        found = parsed(folder, tmp_path)
        assert found["errors"] == {}
        assert {event.split()[0] for event in found["events"]} >= {"sqlite3.connect", "socket.connect"}
        assert {"variable settings", "connection somewhere"} <= set(found["lookups"])
        assert {"lxml.etree", "interchange.ledger"} <= set(heavy(found["modules"]))


@pytest.fixture(scope="module")
def dags() -> dict[str, Any]:
    """The DAGs by file name without its ending."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(DAGS))
    assert bag.import_errors == {}
    return {Path(dag.fileloc).stem: dag for dag in bag.dags.values()}


@pytest.mark.parametrize("name", [file.stem for file in FILES])
class TestEachDag:
    def test_is_named_after_its_file(self, dags: dict[str, Any], name: str) -> None:
        assert dags[name].dag_id == name

    def test_documents_itself_with_the_files_own_page(self, dags: dict[str, Any], name: str) -> None:
        page = dags[name].doc_md
        source = (DAGS / f"{name}.py").read_text()
        assert page.strip().startswith("### ")
        assert source.startswith(f'"""{page}"""')
        assert "ail" in page, "the page says what to do when it fails"

    def test_has_an_owner_and_tags(self, dags: dict[str, Any], name: str) -> None:
        assert "interchange" in dags[name].tags
        assert {task.owner for task in dags[name].tasks} == {"operations"}

    def test_does_not_catch_up(self, dags: dict[str, Any], name: str) -> None:
        assert dags[name].catchup is False

    def test_works_on_intervals_that_have_a_length(self, dags: dict[str, Any], name: str) -> None:
        from airflow.sdk import CronDataIntervalTimetable

        timetable = dags[name].timetable
        if name in SCHEDULED:
            assert type(timetable) is CronDataIntervalTimetable
            assert timetable.expression == SCHEDULED[name]
        else:
            assert dags[name].schedule is None

    def test_retries_by_class_of_error_wherever_it_talks_to_others(
        self, dags: dict[str, Any], name: str
    ) -> None:
        # The policy stands in default_args: nobody forgets it, and a task that never fails is none the worse.
        tasks = dags[name].tasks
        assert tasks
        for task in tasks:
            arguments = getattr(task, "partial_kwargs", None)
            policy = arguments["retry_policy"] if arguments is not None else task.retry_policy
            retries = arguments["retries"] if arguments is not None else task.retries
            assert policy is policies.OUTBOUND, task.task_id
            assert retries >= 2, task.task_id

    def test_has_the_form_of_the_design(self, dags: dict[str, Any], name: str) -> None:
        params = dags[name].params
        assert list(params) == FORMS[name]
        for key in params:
            param = params.get_param(key)
            assert param.schema.get("title"), key
            assert param.description, key
            param.resolve()  # its default is valid
        # One event is answered, or it is not.
        if FORMS[name] and name != "webex_bot":
            assert params.get_param("dry_run").schema["type"] == "boolean"

    def test_airflow_can_store_it_with_its_policies(self, dags: dict[str, Any], name: str) -> None:
        from airflow.serialization.serialized_objects import DagSerialization

        stored = json.loads(json.dumps(DagSerialization.to_dict(dags[name])))
        again = DagSerialization.from_dict(stored)
        assert {task.task_id for task in again.tasks} == {task.task_id for task in dags[name].tasks}
        assert all(task.has_retry_policy for task in again.tasks)


class TestExports:
    def test_offers_the_names_of_the_settings_and_takes_any(self, dags: dict[str, Any]) -> None:
        param = dags["qualtrics_to_onedrive"].params.get_param("exports")
        assert param.schema["examples"] == ["symptom-tracker", "course-feedback", "visitor-log"]
        assert param.resolve(["added-in-a-variable"]) == ["added-in-a-variable"]

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("exports", "symptom-tracker"),
            ("exports", [1]),
            ("format", "xlsx"),
            ("dry_run", "yes"),
            ("window_start", 5),
        ],
    )
    def test_airflow_itself_refuses_values_of_another_kind(
        self, dags: dict[str, Any], key: str, value: object
    ) -> None:
        from airflow.sdk.exceptions import ParamValidationError

        with pytest.raises(ParamValidationError):
            dags["qualtrics_to_onedrive"].params.get_param(key).resolve(value)

    def test_a_long_vendor_outage_does_not_use_up_the_tries(self, dags: dict[str, Any]) -> None:
        retries = dags["qualtrics_to_onedrive"].default_args["retries"]
        waits = [min(30 * 2**n, policies.LONGEST_BACKOFF_S) for n in range(retries)]
        assert timedelta(seconds=sum(waits)) > timedelta(minutes=45)

    def test_the_plan_is_mapped_over_exports_not_over_records(self, dags: dict[str, Any]) -> None:
        dag = dags["qualtrics_to_onedrive"]
        assert [task.task_id for task in dag.tasks if task.task_id.startswith("move.")] == [
            "move.export",
            "move.notify",
        ]

    def test_links_lead_to_the_file_and_to_the_survey(self, dags: dict[str, Any]) -> None:
        task = dags["qualtrics_to_onedrive"].get_task("move.export")
        assert sorted(link.name for link in task.operator_extra_links) == [
            "File in OneDrive",
            "Ledger",
            "Survey in Qualtrics",
        ]


class TestActivities:
    def test_one_run_at_a_time_mapped_over_applications(self, dags: dict[str, Any]) -> None:
        dag = dags["knack_to_esb"]
        assert dag.max_active_runs == 1
        task = dag.get_task("deliver")
        assert task.is_mapped
        assert [link.name for link in task.operator_extra_links] == ["Ledger"]


@pytest.mark.parametrize("name", ["interchange_doctor", "knack_to_esb", "webex_upkeep"])
def test_where_the_past_has_no_meaning_backfills_are_forbidden(dags: dict[str, Any], name: str) -> None:
    from airflow.utils.types import DagRunType

    assert set(dags[name].allowed_run_types) == {DagRunType.SCHEDULED, DagRunType.MANUAL}


def test_what_somebody_said_belongs_to_no_interval(dags: dict[str, Any]) -> None:
    from airflow.utils.types import DagRunType

    assert set(dags["webex_bot"].allowed_run_types) == {DagRunType.MANUAL}
    waits = [
        min(30 * 2**n, policies.LONGEST_BACKOFF_S) for n in range(dags["webex_bot"].default_args["retries"])
    ]
    # What Webex tells of may take ten minutes to be readable.
    assert timedelta(seconds=sum(waits)) > timedelta(minutes=30)


class TestPluginLoader:
    def test_runs_one_file_and_replaces_nothing(self, tmp_path: Path) -> None:
        folder = ROOT / "plugins"
        found = probe("plugins_probe", folder, tmp_path, AIRFLOW__CORE__PLUGINS_FOLDER=str(folder))
        assert found["errors"] == {}
        assert "interchange" in found["plugins"]
        strangers = {
            name
            for name in found["loaded"]
            if name.split(".")[0] not in ("interchange", "interchange_plugin")
        }
        assert strangers == set()
        assert "interchange_plugin" in found["loaded"]
        library = Path(os.__file__).parent / "http" / "__init__.py"
        assert [Path(file) for file in found["http"]] == [library, library]

    def test_without_the_ignore_file_it_would(self, tmp_path: Path) -> None:
        # What the file is for; and that the check above would notice.
        folder = tmp_path / "plugins"
        (folder / "interchange").mkdir(parents=True)
        for name in ("errors", "http"):
            (folder / "interchange" / f"{name}.py").write_text(
                "from airflow.plugins_manager import AirflowPlugin\n"
            )
        loaded = probe("plugins_probe", folder, tmp_path, AIRFLOW__CORE__PLUGINS_FOLDER=str(folder))
        assert {"errors", "http"} <= set(loaded["loaded"])
        assert loaded["http"][1] == str(folder / "interchange" / "http.py")
        shutil.copy(ROOT / "plugins" / ".airflowignore", folder)
        ignoring = probe("plugins_probe", folder, tmp_path, AIRFLOW__CORE__PLUGINS_FOLDER=str(folder))
        assert ignoring["loaded"] == {}


class TestConnectionTypes:
    def test_are_described_as_airflow_wants_it(self) -> None:
        import airflow

        schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
        assert [error.message for error in Draft7Validator(schema).iter_errors(get_provider_info())] == []

    def test_airflow_finds_them_with_their_forms(self) -> None:
        from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

        forms = {form.connection_type: form for form in HookMetaService.hook_meta_data()}
        secret = {
            "qualtrics": {"api_token"},
            "onedrive": {"private_key", "client_secret"},
            "modo": {"directory_token", "channel_token"},
        }
        for kind, hidden in secret.items():
            form = forms[kind]
            fields = form.extra_fields or {}
            assert {
                name for name, field in fields.items() if field["schema"].get("format") == "password"
            } == hidden
            assert "ca_bundle" in fields
            assert form.standard_fields is not None
            assert form.standard_fields.url_schema is not None
            assert form.standard_fields.url_schema.hidden is True

    def test_each_has_a_hook_whose_test_button_works(self) -> None:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

        hooks = ProvidersManagerTaskRuntime().hooks
        for described in get_provider_info()["connection-types"]:
            info = hooks[described["connection-type"]]
            assert info is not None
            assert info.connection_testable, described["connection-type"]


def test_a_forms_moment_is_read_as_the_picker_sends_it() -> None:
    assert parse_moment("window_start", "2026-11-20T00:00:00.000Z").isoformat() == "2026-11-20T00:00:00+00:00"
