"""The project as it is deployed: a running Airflow, the vendors behind it, and what tests do and see with both."""

from __future__ import annotations

import csv
import io
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from include.sandbox.connections import connections
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from tools.airflow_client import FINISHED, AirflowClient, name_of
from tools.stack import AirflowStack

Json = dict[str, Any]
DAG_ID = "qualtrics_to_onedrive"
DAGS = (
    DAG_ID,
    "knack_to_esb",
    "ticket_closure",
    "spinoco_sync",
    "webex_roulette",
    "webex_bot",
    "webex_upkeep",
    "modo_directory",
    "interchange_doctor",
)
USER = "reports@contoso.example"
SURVEY = "SV_0days"
FOLDER = "Days"
# Others may be using the machine; a wait that is met ends at once.
PATIENCE_S = 240.0
POLL_S = 0.2
DAY = timedelta(days=1)


def export(name: str, **settings: Any) -> Json:
    """One export of the settings file, by default one file for each window in a folder of OneDrive."""
    destination = {"user": USER, "folder": FOLDER, "file_name": name, "unique": True, "fragment_mib": 1}
    return {
        "name": name,
        "survey_id": SURVEY,
        "settle_minutes": 0,
        **settings,
        "destination": settings.get("destination", destination),
    }


DAILY = export("daily")


def text(moment: datetime) -> str:
    """As plans and receipts write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def file_name(start: datetime, end: datetime, name: str = "daily") -> str:
    """What the export's file of this window is called."""
    return f"{name}_{start.astimezone(UTC):%Y%m%dT%H%M%SZ}-{end.astimezone(UTC):%Y%m%dT%H%M%SZ}.zip"


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """
    Wait for a condition to hold, and return what it gave.

    :raises AssertionError: it never did.
    """
    give_up_at = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"after {timeout_s:g} s: {what}"
        time.sleep(POLL_S)
    return found


def write_settings(config: Path, *exports: Json) -> None:
    """The workflow's settings file, replaced in one step."""
    draft = config / "draft"
    draft.write_text(yaml.safe_dump({"exports": list(exports)}))
    draft.replace(config / f"{DAG_ID}.yaml")


class Deployment:
    """
    :param config: the folder of the settings files.
    """

    def __init__(self, stack: AirflowStack, vendors: Sandbox, *, config: Path) -> None:
        self.stack = stack
        self.vendors = vendors
        self._config = config
        self._recorded: dict[str, datetime] = {}
        self.scheduled: Json = {}

    @property
    def client(self) -> AirflowClient:
        return self.stack.client

    @property
    def today(self) -> datetime:
        """Midnight before the first scheduled run: the end of its window."""
        return datetime.fromisoformat(self.scheduled["data_interval_end"])

    def switch_on(self) -> None:
        """Fill the vendors, connect Airflow to them, unpause the DAGs; the schedule then starts its first run."""
        self.calm_vendors()
        self._fill()
        self.set_exports(DAILY)
        self.restore_connections()
        self.client.wait_for_dags(DAGS, timeout_s=PATIENCE_S)
        for dag_id in DAGS:
            self.client.unpause(dag_id)
        first = wait_until(
            lambda: [run for run in self.client.runs(DAG_ID) if run["run_type"] == "scheduled"],
            "the schedule has started no run",
        )[0]
        self.scheduled = self.finished(first["dag_run_id"])

    def _fill(self) -> None:
        """A survey with a response at each border of a day and in between, and hourly around now."""
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        midnight = now.replace(hour=0)
        moments = {now + timedelta(hours=n) for n in range(-60, 24)}
        for day in range(-20, 2):
            moments |= {midnight + day * DAY + timedelta(seconds=s) for s in (-1, 0, 1, 6 * 3600, 18 * 3600)}
        self._recorded = {f"R_{moment:%Y%m%dT%H%M%S}": moment for moment in moments}
        questions = [{"id": "QID1", "tag": "Q1", "text": "Well?", "choices": {"1": "Yes", "2": "No"}}]
        self.seed(
            surveys=[{"id": SURVEY, "name": "Days", "questions": questions, "embedded": ["NetID"]}],
            responses=[
                {
                    "survey_id": SURVEY,
                    "id": name,
                    "recordedDate": text(moment),
                    "values": {"Q1": 2, "NetID": f"net-{name}"},
                }
                for name, moment in self._recorded.items()
            ],
        )

    def seed(self, **data: Any) -> None:
        """Put things into Qualtrics that its API cannot create."""
        qualtrics = self.vendors.vendor("qualtrics")
        with qualtrics.lock:
            qualtrics.seed(data)

    def respond(self, name: str, moment: datetime, **values: Any) -> None:
        """Somebody's answer comes in, maybe late."""
        self._recorded[name] = moment
        self.seed(
            responses=[{"survey_id": SURVEY, "id": name, "recordedDate": text(moment), "values": values}]
        )

    def responses(self, start: datetime, end: datetime) -> set[str]:
        """The ids of the responses recorded from ``start`` on, before ``end``."""
        return {name for name, moment in self._recorded.items() if start <= moment < end}

    # Settings and connections

    def set_exports(self, *exports: Json) -> None:
        """Write the settings file; the next plan reads it."""
        write_settings(self._config, *exports)

    def offer_exports(self, *exports: Json) -> None:
        """Write the settings file, and wait until the trigger form offers what is in it, since Airflow has read it."""
        self.set_exports(*exports)
        names = [entry["name"] for entry in exports]

        def offered() -> bool:
            params = self.client.request("GET", f"/dags/{DAG_ID}/details")["params"]
            return bool(params["exports"]["schema"]["examples"] == names)

        wait_until(offered, f"the form does not offer {names}")

    def restore_connections(self) -> None:
        """All connections as they lead to the vendors."""
        self.client.import_connections(connections(self.vendors))

    def change_connection(self, conn_id: str, **fields: Any) -> None:
        """Set fields of a connection."""
        changed = {**connections(self.vendors)[conn_id], **fields}
        self.client.import_connections({conn_id: changed})

    @contextmanager
    def variable(self, key: str, value: Any) -> Iterator[None]:
        """An Airflow Variable for a while."""
        self.client.import_variables({key: value})
        try:
            yield
        finally:
            self.client.request("DELETE", f"/variables/{key}")

    @contextmanager
    def settings_file(self, dag_id: str, **settings: Any) -> Iterator[None]:
        """A workflow's settings file with some of its settings changed, for a while."""
        path = self._config / f"{dag_id}.yaml"
        before = path.read_text()
        draft = path.with_suffix(".draft")
        draft.write_text(yaml.safe_dump({**yaml.safe_load(before), **settings}))
        draft.replace(path)
        try:
            yield
        finally:
            draft.write_text(before)
            draft.replace(path)

    # Runs

    def start(
        self, *, dag_id: str = DAG_ID, window: tuple[datetime, datetime] | None = None, **conf: Any
    ) -> str:
        """Trigger a run as the form does; its id."""
        if window:
            conf |= {"window_start": text(window[0]), "window_end": text(window[1])}
        return self.client.trigger(dag_id, conf)

    def finished(self, run_id: str, *, state: str = "success", dag_id: str = DAG_ID) -> Json:
        """
        Wait for a run's end.

        :raises AssertionError: it ended otherwise; with the last lines of its tasks' logs.
        """
        run = self.client.wait_run(dag_id, run_id, timeout_s=PATIENCE_S)
        assert run["state"] == state, self.story(run_id, dag_id=dag_id)
        return run

    def run(self, *, state: str = "success", dag_id: str = DAG_ID, **how: Any) -> str:
        """Trigger a run and wait for its end."""
        run_id = self.start(dag_id=dag_id, **how)
        self.finished(run_id, state=state, dag_id=dag_id)
        return run_id

    def story(self, run_id: str, *, dag_id: str = DAG_ID) -> str:
        """What became of each task, for a failed test's message."""
        parts = [f"{dag_id} {run_id}: {self.client.run(dag_id, run_id)['state']}"]
        for task in self.client.task_instances(dag_id, run_id):
            parts.append(f"--- {name_of(task)}: {task['state']}, try {task['try_number']}")
            if task["state"] not in ("success", "skipped", None):
                parts += self.log(run_id, name_of(task), dag_id=dag_id).splitlines()[-15:]
        return "\n".join(parts)

    def tasks(self, run_id: str, *, dag_id: str = DAG_ID) -> dict[str, Json]:
        """The run's task instances by name: ``plan``, ``move.export[0]``."""
        return {name_of(task): task for task in self.client.task_instances(dag_id, run_id)}

    def states(self, run_id: str, *, dag_id: str = DAG_ID) -> dict[str, str]:
        return {name: task["state"] for name, task in self.tasks(run_id, dag_id=dag_id).items()}

    def log(self, run_id: str, name: str, *, dag_id: str = DAG_ID, try_number: int | None = None) -> str:
        task = self.tasks(run_id, dag_id=dag_id)[name]
        number = task["try_number"] if try_number is None else try_number
        return self.client.task_log(
            dag_id, run_id, task["task_id"], try_number=number, map_index=task["map_index"]
        )

    def result(self, run_id: str, task_id: str, map_index: int = -1, *, dag_id: str = DAG_ID) -> Any:
        """What a task returned."""
        return self.client.xcom(dag_id, run_id, task_id, map_index=map_index)

    def clear(self, run_id: str, *task_ids: str, dag_id: str = DAG_ID) -> None:
        """Clear tasks of a finished run and wait until the run has ended again."""
        before = self.client.run(dag_id, run_id)["end_date"]
        self.client.clear(dag_id, run_id, task_ids=task_ids)

        def again() -> bool:
            run = self.client.run(dag_id, run_id)
            return run["state"] in FINISHED and run["end_date"] != before

        wait_until(again, f"{run_id} does not end after its tasks were cleared")

    # The vendors

    def fault(self, vendor: str, kind: str, **facts: Any) -> None:
        """Let the next such call go wrong."""
        self.vendors.arm(Fault(vendor=vendor, kind=FaultKind(kind), **facts))

    def options(self, vendor: str, **options: Any) -> None:
        self.vendors.vendor(vendor).set_options(options)

    def calm_vendors(self) -> None:
        """No faults, no waiting, journals from the start; what the vendors hold stays."""
        self.vendors.clear_faults()
        self.vendors.requests.clear()
        self.vendors.effects.clear()
        for vendor in self.vendors.vendors.values():
            vendor.options = vendor.Options()
        self.options("qualtrics", polls_until_complete=0)

    def fresh_webex(self) -> None:
        """Webex as after its first start; tokens of before are unknown to it, so they are forgotten here, too."""
        self.vendors.vendor("webex").clear()
        with (
            closing(sqlite3.connect(self.stack.home.folder / "interchange.db", timeout=30)) as ledger,
            ledger,
        ):
            if ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'tokens'").fetchone():
                ledger.execute("DELETE FROM tokens")

    def files(self, folder: str = FOLDER) -> dict[str, Json]:
        """The files of a folder in the user's drive: item id, size, hashes, number of versions."""
        drive = self.vendors.vendor("graph").snapshot()["users"][USER]["files"]
        prefix = f"/{folder}/"
        return {path.removeprefix(prefix): facts for path, facts in drive.items() if path.startswith(prefix)}

    def content(self, name: str, folder: str = FOLDER) -> bytes:
        """A file's bytes."""
        library = self.vendors.vendor("graph").documents
        drive = library.state.drives[library.state.users[USER]]
        item = library.walk(drive, drive.root, (*folder.split("/"), name)).item
        assert item is not None, f"there is no {folder}/{name}"
        content: bytes = item.blob.read_bytes()
        return content

    def delivered(self, name: str, folder: str = FOLDER) -> set[str]:
        """The ids of the responses in a delivered CSV; each stands there once."""
        found = [row["ResponseId"] for row in rows_of(self.content(name, folder))]
        assert len(found) == len(set(found))
        return set(found)

    def effects(self, kind: str) -> list[Json]:
        return self.vendors.effects.entries(kind=kind)

    def calls(self, operation: str) -> list[Json]:
        return self.vendors.requests.entries(operation=operation)


def rows_of(packed: bytes) -> list[Mapping[str, str]]:
    """The responses in a zipped CSV export; two rows below the header describe the columns."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        (name,) = archive.namelist()
        return list(csv.DictReader(io.StringIO(archive.read(name).decode())))[2:]
