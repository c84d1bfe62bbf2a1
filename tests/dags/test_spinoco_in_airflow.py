"""Recordings in a real Airflow: form, grid, clearing, a refused token and what people are told of it."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import Deployment

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
DAG_ID = "spinoco_sync"
_numbers = itertools.count(1)


class Desk:
    """A tag of its own, a folder of its own."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self.spinoco = deployment.vendors.vendor("spinoco")
        self.folder = folder
        self.sync: dict[str, Any] = {
            "name": "archive",
            "tag": f"tag-{next(_numbers)}",
            "get": ["Recordings", "Transcriptions"],
            "delete": ["Recordings"],
            "storage": {"provider": "local", "save_to": str(folder)},
        }

    @property
    def settings(self) -> dict[str, Any]:
        return {"syncs": [self.sync], "alert_conn_id": "alerts_default"}

    def add(self, *tasks: dict[str, Any]) -> None:
        with self.spinoco.lock:
            # The ledger is that of the whole session, and knows tasks by their ids.
            self.spinoco.seed({"tasks": [{"id": str(uuid.uuid4()), **task} for task in tasks]})

    def stored(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and ".interchange" not in path.parts
        )

    def summary(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.deployment.client.xcom(
            DAG_ID, run_id, "sync", map_index=0, key="summary"
        )
        return found


@pytest.fixture
def desk(deployment: Deployment, tmp_path: Path) -> Iterator[Desk]:
    deployment.calm_vendors()
    deployment.vendors.vendor("spinoco").clear()
    deployment.vendors.vendor("alerts").clear()
    made = Desk(deployment, tmp_path / "recordings")
    with deployment.variable(f"interchange_{DAG_ID}", made.settings):
        yield made
    deployment.calm_vendors()


def test_recordings_are_stored_and_neither_clearing_nor_another_run_does_it_twice(desk: Desk) -> None:
    desk.add({"transcribed": True}, {}, {})
    run_id = desk.deployment.run(dag_id=DAG_ID)

    stored = desk.stored()
    assert len(stored) == 4
    assert len(desk.spinoco.deleted) == 3
    (name,) = [name for name in desk.deployment.states(run_id, dag_id=DAG_ID) if name.startswith("sync")]
    assert name == "sync[0]"
    assert desk.deployment.tasks(run_id, dag_id=DAG_ID)[name]["rendered_map_index"] == "archive"

    desk.deployment.clear(run_id, "plan", "sync", dag_id=DAG_ID)
    desk.deployment.run(dag_id=DAG_ID)

    assert desk.stored() == stored
    assert len(desk.deployment.calls("get_file")) == 4


def test_the_form_limits_pages_and_a_dry_run_asks_for_none(desk: Desk) -> None:
    desk.sync["page_size"] = 2
    desk.deployment.client.import_variables({f"interchange_{DAG_ID}": desk.settings})
    desk.add(*({} for _ in range(5)))

    dry = desk.deployment.run(dag_id=DAG_ID, dry_run=True)
    assert desk.deployment.calls("sync") == []
    assert desk.deployment.result(dry, "sync", 0, dag_id=DAG_ID)["open_pages"] == 0

    first = desk.deployment.run(dag_id=DAG_ID, max_pages=1)
    assert len(desk.stored()) == 2
    assert desk.deployment.result(first, "sync", 0, dag_id=DAG_ID)["more"] is True
    desk.deployment.run(dag_id=DAG_ID)
    assert len(desk.stored()) == 5


def test_more_deletions_than_allowed_wait_for_a_person_who_agrees_on_the_form(desk: Desk) -> None:
    desk.sync["max_deletions"] = 1
    desk.deployment.client.import_variables({f"interchange_{DAG_ID}": desk.settings})
    desk.add({}, {}, {})
    run_id = desk.deployment.run(dag_id=DAG_ID)
    assert len(desk.spinoco.deleted) == 1
    assert desk.deployment.result(run_id, "sync", 0, dag_id=DAG_ID)["deletions_waiting"] == 2
    desk.deployment.run(dag_id=DAG_ID, delete_waiting=True)
    assert len(desk.spinoco.deleted) == 3


def test_a_refused_token_fails_the_run_at_once_and_people_are_told_once(desk: Desk) -> None:
    """Defect C1: a 401 ended the service with success."""
    desk.add({}, {})
    desk.spinoco.set_options({"revoked": "all"})
    for _ in range(2):
        run_id = desk.deployment.run(dag_id=DAG_ID, state="failed")
        assert desk.deployment.tasks(run_id, dag_id=DAG_ID)["sync[0]"]["try_number"] == 1
    (told,) = desk.deployment.vendors.vendor("alerts").snapshot()["texts"]
    assert "Spinoco refuses the token of connection spinoco_default" in str(told)

    desk.spinoco.set_options({"revoked": ""})
    desk.deployment.clear(run_id, "sync", dag_id=DAG_ID)
    assert len(desk.stored()) == 2


def test_no_call_number_and_no_token_is_in_logs_or_xcom(desk: Desk) -> None:
    desk.sync["file_name_template"] = "{{call_from}}-{{task_id}}"
    desk.deployment.client.import_variables({f"interchange_{DAG_ID}": desk.settings})
    desk.add({"from": "420777000111"}, {"from": "420777000112"})
    path = next(iter(desk.spinoco.tasks.values())).files[0].path
    desk.spinoco.seed({"damage": {path: "cut"}})
    run_id = desk.deployment.run(dag_id=DAG_ID)

    shown = desk.deployment.log(run_id, "sync[0]", dag_id=DAG_ID)
    shown += str(desk.deployment.result(run_id, "sync", 0, dag_id=DAG_ID)) + str(desk.summary(run_id))

    assert len(desk.stored()) == 1
    assert "is cut off" in shown
    assert not [word for word in ("420777000", "sandbox-spinoco-token") if word in shown]
