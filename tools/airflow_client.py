"""The parts of Airflow's REST API that demo and tests use, with waits that say what they were waiting for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import httpx
import yaml

Json = dict[str, Any]
POLL_S = 0.2
REQUEST_TIMEOUT_S = 120.0
FINISHED = frozenset({"success", "failed"})
PAGE_SIZE = 1000
# SQLite has one writer; Airflow answers 500 when its turn does not come in time.
LOCKED = "database is locked"
LOCKED_TRIES = 6
HELD_UP = "There is already a running backfill"


class AirflowError(Exception):
    """Airflow refused a request, or did not get somewhere in time."""


class AirflowClient:
    """
    One user's session with the API server.

    :param url: such as ``http://127.0.0.1:8080``.
    :param check: raises if there is nothing to wait for any more; asked while waiting.
    """

    def __init__(
        self, url: str, *, user: str, password: str, check: Callable[[], None] = lambda: None
    ) -> None:
        self.url = url
        self._check = check
        self._login = {"username": user, "password": password}
        # Not the user's proxies: the server runs on this machine.
        self._http = httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """End the HTTP connections."""
        self._http.close()

    def request(
        self, method: str, path: str, *, body: object = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """
        Call ``/api/v2/…`` and return the decoded answer, None for an empty one.

        :param path: below ``/api/v2``, with its leading slash.
        :raises AirflowError: for any status from 400 on, with Airflow's explanation.
        """
        for left in reversed(range(LOCKED_TRIES)):
            response = self._send(method, path, body, query)
            if not (response.is_server_error and LOCKED in response.text.lower() and left):
                break
            time.sleep(POLL_S)
        if response.is_error:
            raise AirflowError(f"{method} {path}: HTTP {response.status_code}: {response.text[:2000]}")
        return response.json() if response.content else None

    def _send(self, method: str, path: str, body: object, query: Mapping[str, Any] | None) -> httpx.Response:
        for is_last in (False, True):
            if "Authorization" not in self._http.headers:
                self._log_in()
            response = self._http.request(method, f"/api/v2{path}", json=body, params=query)
            if response.status_code != HTTPStatus.UNAUTHORIZED or is_last:
                break
            # The token has run out: a demo may stay up for days.
            del self._http.headers["Authorization"]
        return response

    def _log_in(self) -> None:
        answer = self._http.post("/auth/token", json=self._login)
        if answer.is_error:
            raise AirflowError(f"log-in as {self._login['username']}: HTTP {answer.status_code}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    # Connections and variables

    def import_connections(self, source: Path | Mapping[str, Mapping[str, Any]]) -> list[str]:
        """
        Create connections, or replace those of the same id.

        :param source: what ``airflow connections import`` takes: id to fields, as a mapping or a YAML or JSON
            file.
        :return: the ids.
        """
        connections = yaml.safe_load(source.read_text()) if isinstance(source, Path) else source
        entities = []
        for connection_id, fields in connections.items():
            extra = fields.get("extra")
            text = extra if extra is None or isinstance(extra, str) else json.dumps(extra)
            entities.append({**fields, "connection_id": connection_id, "extra": text})
        self._replace_all("/connections", entities)
        return list(connections)

    def import_variables(self, source: Path | Mapping[str, Any]) -> list[str]:
        """Create variables, or replace those of the same name; structured values are stored as JSON."""
        variables = yaml.safe_load(source.read_text()) if isinstance(source, Path) else source
        self._replace_all("/variables", [{"key": key, "value": value} for key, value in variables.items()])
        return list(variables)

    def _replace_all(self, path: str, entities: list[Json]) -> None:
        action = {"action": "create", "action_on_existence": "overwrite", "entities": entities}
        answer = self.request("PATCH", path, body={"actions": [action]})
        if errors := (answer.get("create") or {}).get("errors"):
            raise AirflowError(f"PATCH {path}: {errors}")

    # DAGs and runs

    def import_errors(self) -> dict[str, str]:
        """File name to stack trace of the DAG files that could not be read."""
        found = self.request("GET", "/importErrors", query={"limit": PAGE_SIZE})["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in found}

    def dag_ids(self) -> list[str]:
        """All DAGs Airflow has read so far."""
        dags = self.request("GET", "/dags", query={"limit": PAGE_SIZE, "exclude_stale": True})["dags"]
        return [dag["dag_id"] for dag in dags]

    def wait_for_dags(self, dag_ids: Iterable[str], *, timeout_s: float = 120.0) -> None:
        """
        Wait until the DAG processor has read these DAGs.

        :raises AirflowError: at once if a DAG file cannot be read, else when the time is over.
        """
        wanted = set(dag_ids)

        def all_there() -> bool:
            if errors := self.import_errors():
                raise AirflowError("\n".join(f"{name}:\n{trace}" for name, trace in errors.items()))
            return wanted <= set(self.dag_ids())

        self._wait_until(
            all_there, timeout_s, lambda: f"DAGs not read: {sorted(wanted - set(self.dag_ids()))}"
        )

    def unpause(self, dag_id: str) -> None:
        """Let runs of this DAG start."""
        self.request("PATCH", f"/dags/{dag_id}", body={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Let no further run of this DAG start."""
        self.request("PATCH", f"/dags/{dag_id}", body={"is_paused": True})

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        logical_date: datetime | None = None,
        interval: tuple[datetime, datetime] | None = None,
        run_id: str | None = None,
    ) -> str:
        """
        Start a run and return its id.

        Without ``logical_date`` the run has neither that nor a data interval, as with the plain CLI command.
        """
        body: Json = {"logical_date": logical_date and logical_date.isoformat(), "conf": dict(conf or {})}
        if interval:
            body["data_interval_start"], body["data_interval_end"] = (end.isoformat() for end in interval)
        if run_id:
            body["dag_run_id"] = run_id
        return str(self.request("POST", f"/dags/{dag_id}/dagRuns", body=body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> Json:
        """One DAG run as the API describes it: ``state``, ``data_interval_start``, …"""
        return cast(Json, self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def runs(self, dag_id: str) -> list[Json]:
        """All runs of a DAG, the newest last."""
        query = {"limit": PAGE_SIZE, "order_by": "run_after"}
        return cast(list[Json], self.request("GET", f"/dags/{dag_id}/dagRuns", query=query)["dag_runs"])

    def wait_run(self, dag_id: str, run_id: str, *, timeout_s: float = 120.0) -> Json:
        """
        Wait for the run to succeed or fail, and return it.

        :raises AirflowError: when the time is over; names the state of each task.
        """
        last: Json = {}

        def finished() -> bool:
            last.update(self.run(dag_id, run_id))
            return last["state"] in FINISHED

        def unfinished() -> str:
            states = {name_of(task): task["state"] for task in self.task_instances(dag_id, run_id)}
            return f"{dag_id} {run_id} is {last['state']}, its tasks: {states}"

        self._wait_until(finished, timeout_s, unfinished)
        return last

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """All task instances of a run, one for each map index."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return cast(list[Json], self.request("GET", path, query={"limit": PAGE_SIZE})["task_instances"])

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> str:
        """The log of one try as text, a line for each event, with its error details."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.request("GET", path, query={"map_index": map_index, "full_content": True})
        return "\n".join(line if isinstance(line, str) else _log_line(line) for line in answer["content"])

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """What a task has pushed."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        query = {"map_index": map_index, "deserialize": True}
        return self.request("GET", path, query=query)["value"]

    def clear(
        self, dag_id: str, run_id: str, *, task_ids: Iterable[str] | None = None, only_failed: bool = False
    ) -> None:
        """Run tasks of a finished run again, all of them unless named."""
        body: Json = {"dry_run": False, "dag_run_id": run_id, "only_failed": only_failed}
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        self.request("POST", f"/dags/{dag_id}/clearTaskInstances", body=body)

    # Backfills

    def create_backfill(self, dag_id: str, start: datetime, end: datetime, **options: Any) -> int:
        """
        Ask for a backfill and return its id; :meth:`wait_backfill` waits for it.

        :param options: the request's further fields, such as ``max_active_runs`` or ``reprocess_behavior``.
        """
        body = {"dag_id": dag_id, "from_date": start.isoformat(), "to_date": end.isoformat(), **options}
        created: Json = {}
        trouble: list[AirflowError] = []

        def accepted() -> bool:
            try:
                created.update(self.request("POST", "/backfills", body=body))
            except AirflowError as exc:
                # On SQLite the scheduler's own writes get in the way now and then. What Airflow had begun until
                # then keeps the next try out, until Airflow has taken it away: after two minutes at worst.
                if LOCKED not in str(exc).lower() and not (trouble and HELD_UP in str(exc)):
                    raise
                trouble.append(exc)
                return False
            return True

        self._wait_until(accepted, 180.0, lambda: str(trouble[-1]))
        return int(created["id"])

    def backfills(self, dag_id: str) -> list[Json]:
        """The backfills of a DAG, whoever asked for them, the newest last."""
        found = self.request("GET", "/backfills", query={"dag_id": dag_id, "limit": PAGE_SIZE})["backfills"]
        return sorted(found, key=lambda backfill: int(backfill["id"]))

    def wait_backfill(self, backfill_id: int, *, timeout_s: float = 180.0) -> Json:
        """Wait until Airflow calls the backfill complete: some 30 s after its last run at worst."""
        last: Json = {}

        def complete() -> bool:
            last.update(self.request("GET", f"/backfills/{backfill_id}"))
            return last["completed_at"] is not None

        self._wait_until(
            complete, timeout_s, lambda: f"backfill {backfill_id} of {last['dag_id']} is not complete"
        )
        return last

    def _wait_until(
        self, condition: Callable[[], bool], timeout_s: float, describe: Callable[[], str]
    ) -> None:
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            self._check()
            if time.monotonic() > give_up_at:
                raise AirflowError(f"after {timeout_s:g} s: {describe()}")
            time.sleep(POLL_S)


def name_of(task: Mapping[str, Any]) -> str:
    """How messages call a task instance: ``export``, ``export[2]``."""
    index = int(task["map_index"])
    return f"{task['task_id']}[{index}]" if index >= 0 else str(task["task_id"])


def _log_line(entry: Mapping[str, Any]) -> str:
    details = [f"{key}={value}" for key, value in entry.items() if key not in ("event", "timestamp")]
    return " ".join([str(entry.get("timestamp") or "-"), str(entry.get("event", "")), *details])
