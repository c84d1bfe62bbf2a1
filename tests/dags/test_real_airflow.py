"""The workflow in a real Airflow, started in every way there is, against the vendors in a box."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from tests.deployment import (
    DAG_ID,
    DAILY,
    DAY,
    Deployment,
    export,
    file_name,
    text,
    wait_until,
)
from tools.airflow_client import AirflowError

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
HOUR = timedelta(hours=1)
ONLY_DAILY = {"exports": ["daily"]}


class Started:
    """Runs under way: ways of starting one, all at once, and a backfill."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.today = deployment.today
        self.began = datetime.now(UTC)
        client, today, conf = deployment.client, self.today, json.dumps(ONLY_DAILY)
        self._pool = ThreadPoolExecutor(3)
        cli = deployment.stack.cli
        self.backfill_from, self.backfill_to = today - 8 * DAY, today - 6 * DAY
        self.commands: dict[str, Future[str]] = {
            "cli": self._pool.submit(cli, "dags", "trigger", DAG_ID, "--conf", conf, "--run-id", "cli"),
            "cli, logical date": self._pool.submit(
                cli, "dags", "trigger", DAG_ID, "--conf", conf, "--run-id", "cli-dated",
                "--logical-date", text(today - 3 * DAY + 10 * HOUR),
            ),
            "backfill": self._pool.submit(
                cli, "backfill", "create", "--dag-id", DAG_ID, "--from-date", text(self.backfill_from),
                "--to-date", text(self.backfill_to), "--dag-run-conf", conf, "--max-active-runs", "3",
            ),
        }  # fmt: skip
        self.run_ids = {
            "scheduled": deployment.scheduled["dag_run_id"],
            "rest": client.trigger(DAG_ID, ONLY_DAILY),
            "rest, logical date": client.trigger(
                DAG_ID, ONLY_DAILY, logical_date=today - 4 * DAY + 10 * HOUR
            ),
            "rest, interval": client.trigger(
                DAG_ID,
                ONLY_DAILY,
                logical_date=today - 10 * DAY,
                interval=(today - 10 * DAY, today - 10 * DAY + 6 * HOUR),
            ),
            "form": client.trigger(
                DAG_ID,
                # As typed by a person in another zone, and as the form's picker sends it.
                {
                    **ONLY_DAILY,
                    "window_start": (today - 12 * DAY).strftime("%Y-%m-%dT02:00:00+02:00"),
                    "window_end": (today - 12 * DAY).strftime("%Y-%m-%dT18:00:00.000Z"),
                },
            ),
            "cli": "cli",
            "cli, logical date": "cli-dated",
        }

    def run(self, way: str) -> dict[str, Any]:
        """The finished run of one way of starting."""
        if way in self.commands:
            self.commands[way].result()
        return self.deployment.finished(self.run_ids[way])

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture(scope="module")
def started(deployment: Deployment) -> Iterator[Started]:
    deployment.calm_vendors()
    runs = Started(deployment)
    yield runs
    runs.close()


def a_day_before(run: dict[str, Any]) -> tuple[datetime, datetime]:
    due = datetime.fromisoformat(run["run_after"]).replace(microsecond=0)
    return due - DAY, due


def its_interval(run: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(run["data_interval_start"]), datetime.fromisoformat(
        run["data_interval_end"]
    )


# How a run was started, whether Airflow gives it an interval, the window it has to work on.
WAYS: list[tuple[str, bool, Callable[[dict[str, Any], datetime], tuple[datetime, datetime]]]] = [
    ("scheduled", True, lambda run, today: (today - DAY, today)),
    ("rest", False, lambda run, today: a_day_before(run)),
    ("rest, logical date", True, lambda run, today: (today - 5 * DAY, today - 4 * DAY)),
    ("rest, interval", True, lambda run, today: (today - 10 * DAY, today - 10 * DAY + 6 * HOUR)),
    ("form", False, lambda run, today: (today - 12 * DAY, today - 12 * DAY + 18 * HOUR)),
    ("cli", False, lambda run, today: a_day_before(run)),
    # Airflow infers the interval from now, not from the date that was given: the last whole day.
    ("cli, logical date", True, lambda run, today: its_interval(run)),
]


class TestStarting:
    @pytest.mark.parametrize(("way", "has_interval", "expected"), WAYS, ids=[way[0] for way in WAYS])
    def test_exports_the_window_of_the_run(
        self, started: Started, way: str, has_interval: bool, expected: Callable[..., Any]
    ) -> None:
        deployment = started.deployment
        run = started.run(way)
        assert (run["data_interval_end"] is not None) is has_interval
        start, end = expected(run, started.today)
        assert end <= started.today or end - start == DAY
        (planned,) = deployment.result(run["dag_run_id"], "plan")
        assert (planned["window_start"], planned["window_end"]) == (text(start), text(end))
        name = file_name(start, end)
        assert name in deployment.files()
        wanted = deployment.responses(start, end)
        assert deployment.delivered(name) == wanted
        assert wanted, "the window must hold something, or nothing is shown"
        made = deployment.result(run["dag_run_id"], "move.export", 0)
        assert made["rows"] == len(wanted)
        assert made["item_id"] == deployment.files()[name]["item_id"]

    def test_a_run_without_a_date_looks_back_from_when_it_was_asked_for(self, started: Started) -> None:
        for way in ("rest", "cli"):
            run = started.run(way)
            assert run["logical_date"] is None
            assert started.began - HOUR < datetime.fromisoformat(run["run_after"]) < datetime.now(UTC)


class TestBackfill:
    def windows(self, started: Started) -> list[tuple[datetime, datetime]]:
        return [(started.backfill_from + n * DAY, started.backfill_from + (n + 1) * DAY) for n in range(3)]

    def stored(self, started: Started) -> dict[str, dict[str, Any]]:
        """The files of these days."""
        borders = {text(end) for window in self.windows(started) for end in window}
        stamps = {border.replace("-", "").replace(":", "") for border in borders}
        files = started.deployment.files()
        return {
            name: facts for name, facts in files.items() if set(re.findall(r"\d{8}T\d{6}Z", name)) <= stamps
        }

    def test_over_three_days_makes_exactly_their_files(self, started: Started) -> None:
        deployment = started.deployment
        started.commands["backfill"].result()
        # One that SQLite's lock kept from beginning may stand before it.
        backfill = deployment.client.backfills(DAG_ID)[-1]
        deployment.client.wait_backfill(backfill["id"], timeout_s=300)
        assert sorted(self.stored(started)) == [file_name(*window) for window in self.windows(started)]
        for start, end in self.windows(started):
            assert deployment.delivered(file_name(start, end)) == deployment.responses(start, end)
        assert {facts["versions"] for facts in self.stored(started).values()} == {1}
        assert {run["run_type"] for run in self.runs(started)} == {"backfill"}

    def runs(self, started: Started) -> list[dict[str, Any]]:
        return [run for run in started.deployment.client.runs(DAG_ID) if run["run_type"] == "backfill"]

    def test_again_replaces_the_same_files(self, started: Started) -> None:
        deployment = started.deployment
        before = self.stored(started)
        assert len(before) == 3
        late = self.windows(started)[1][0] + HOUR
        deployment.respond("R_late_backfill", late, Q1=2)
        again = deployment.client.create_backfill(
            DAG_ID,
            started.backfill_from,
            started.backfill_to,
            reprocess_behavior="completed",
            max_active_runs=3,
        )
        deployment.client.wait_backfill(again, timeout_s=300)
        assert [run["state"] for run in self.runs(started)] == ["success"] * 3
        after = self.stored(started)
        assert sorted(after) == sorted(before)
        for (start, end), (name, facts) in zip(self.windows(started), sorted(after.items()), strict=True):
            assert facts["item_id"] == before[name]["item_id"]
            assert facts["versions"] == 2
            assert deployment.delivered(name) == deployment.responses(start, end)
        assert "R_late_backfill" in deployment.delivered(file_name(*self.windows(started)[1]))

    def test_of_the_doctor_is_refused(self, deployment: Deployment) -> None:
        today = deployment.today
        with pytest.raises(AirflowError, match=r"(?i)backfill") as refused:
            deployment.client.create_backfill("interchange_doctor", today - 3 * DAY, today - 2 * DAY)
        assert re.search(r"HTTP 4\d\d", str(refused.value))
        assert all(run["run_type"] != "backfill" for run in deployment.client.runs("interchange_doctor"))


class TestRepeating:
    def test_a_cleared_task_makes_a_new_version_with_what_came_late(self, calm: Deployment) -> None:
        start, end = calm.today - 14 * DAY, calm.today - 13 * DAY
        run_id = calm.run(window=(start, end), **ONLY_DAILY)
        name = file_name(start, end)
        before = calm.files()[name]
        calm.respond("R_late", start + HOUR, Q1=2)

        calm.clear(run_id, "move.export")

        after = calm.files()[name]
        assert after["item_id"] == before["item_id"]
        assert (before["versions"], after["versions"]) == (1, 2)
        assert "R_late" in calm.delivered(name) == calm.responses(start, end)
        assert calm.result(run_id, "move.export", 0)["rows"] == len(calm.responses(start, end))
        assert len(calm.effects("export_started")) == 2

    def test_a_run_deleted_and_made_again_exports_again(self, calm: Deployment) -> None:
        start, end = calm.today - 13 * DAY, calm.today - 12 * DAY
        conf = {**ONLY_DAILY, "window_start": text(start), "window_end": text(end)}
        calm.finished(calm.client.trigger(DAG_ID, conf, run_id="made-twice"))
        before = calm.files()[file_name(start, end)]
        calm.respond("R_late_again", start + HOUR, Q1=2)
        calm.client.request("DELETE", f"/dags/{DAG_ID}/dagRuns/made-twice")

        calm.finished(calm.client.trigger(DAG_ID, conf, run_id="made-twice"))

        after = calm.files()[file_name(start, end)]
        assert (after["item_id"], after["versions"]) == (before["item_id"], 2)
        assert "R_late_again" in calm.delivered(file_name(start, end))

    def test_a_retry_goes_on_with_the_same_job(self, calm: Deployment) -> None:
        start, end = calm.today - 15 * DAY, calm.today - 14 * DAY
        calm.fault("graph", "status", operation="put_content", status=503)

        run_id = calm.run(window=(start, end), **ONLY_DAILY)

        assert calm.tasks(run_id)["move.export[0]"]["try_number"] == 2
        assert "onedrive.put_small: HTTP 503" in calm.log(run_id, "move.export[0]", try_number=1)
        assert len(calm.effects("export_started")) == 1
        assert calm.files()[file_name(start, end)]["versions"] == 1
        assert calm.delivered(file_name(start, end)) == calm.responses(start, end)

    def test_a_dry_run_changes_nothing_and_the_next_run_does_its_plan(self, calm: Deployment) -> None:
        window = (calm.today - 16 * DAY, calm.today - 15 * DAY)
        before = calm.files()

        dry = calm.run(window=window, dry_run=True, **ONLY_DAILY)

        assert calm.files() == before
        assert calm.vendors.effects.entries() == []
        assert calm.vendors.requests.entries() == []
        assert set(calm.states(dry).values()) == {"success", "skipped"}
        plan = calm.result(dry, "plan")
        assert file_name(*window) in calm.log(dry, "plan")

        real = calm.run(window=window, **ONLY_DAILY)

        assert calm.result(real, "plan") == plan
        (entry,) = plan
        assert set(calm.files()) - set(before) == {entry["file_name"]}
        assert calm.result(real, "move.export", 0)["destination"] == entry["destination"]

    def test_one_failing_export_does_not_stop_the_others(self, calm: Deployment) -> None:
        window = (calm.today - 17 * DAY, calm.today - 16 * DAY)
        calm.set_exports(export("gone", survey_id="SV_0isnotthere"), DAILY)

        run_id = calm.run(state="failed", window=window)

        tasks = calm.tasks(run_id)
        names = {tasks[f"move.export[{n}]"]["rendered_map_index"]: tasks[f"move.export[{n}]"] for n in (0, 1)}
        assert (names["gone"]["state"], names["daily"]["state"]) == ("failed", "success")
        # Asking again for what is not there would not help.
        assert names["gone"]["try_number"] == 1
        assert calm.delivered(file_name(*window)) == calm.responses(*window)
        assert file_name(*window, name="gone") not in calm.files()
        assert tasks["move.notify[0]"]["state"] == "upstream_failed"


class TestWaiting:
    def test_for_a_running_job_holds_no_worker(self, calm: Deployment) -> None:
        window = (calm.today - 18 * DAY, calm.today - 17 * DAY)
        calm.options("qualtrics", job_seconds=3600)
        run_id = calm.start(window=window, **ONLY_DAILY)

        def waits() -> dict[str, Any] | None:
            task = calm.tasks(run_id).get("move.export[0]")
            return task if task and task["state"] == "deferred" and task["trigger"] else None

        task = wait_until(waits, "the task does not defer")
        assert task["trigger"]["classpath"].endswith("ExportJobTrigger")
        worker = task["pid"]
        assert worker
        wait_until(lambda: not _is_running(worker), "the worker's process goes on")
        # The triggerer asks meanwhile.
        asked = len(calm.calls("export_progress"))
        wait_until(lambda: len(calm.calls("export_progress")) > asked, "nobody asks for the job")
        calm.options("qualtrics", job_seconds=0)
        calm.finished(run_id)
        assert len(calm.effects("export_started")) == 1
        assert calm.delivered(file_name(*window)) == calm.responses(*window)


class TestDying:
    def test_a_killed_workers_upload_is_gone_on_with(self, calm: Deployment) -> None:
        calm.seed(large={"survey_id": "SV_0large", "bytes": 7_000_000})
        calm.set_exports(DAILY, export("large", survey_id="SV_0large"))
        # The third fragment arrives; before its sender learns of it, it is gone.
        calm.fault("upload", "slow", operation="fragment", call=3, seconds=60)
        window = (calm.today - 2 * DAY, calm.today - DAY)
        run_id = calm.start(window=window, exports=["large"])
        wait_until(lambda: len(calm.calls("fragment")) >= 3, "no third fragment")
        worker = calm.tasks(run_id)["move.export[0]"]["pid"]
        psutil.Process(worker).kill()

        calm.finished(run_id)

        assert calm.tasks(run_id)["move.export[0]"]["try_number"] > 1
        sent = [call["headers"]["Content-Range"] for call in calm.calls("fragment")]
        assert len(sent) == len(set(sent)) >= 5, "each fragment once"
        assert len(calm.calls("create_session")) == 1
        assert len(calm.effects("export_started")) == 1
        (facts,) = (f for name, f in calm.files().items() if name.startswith("large_"))
        assert facts["versions"] == 1
        assert facts["sha256"] == calm.result(run_id, "move.export", 0)["sha256"]


class TestSeeing:
    def test_the_grid_the_asset_and_the_links(self, calm: Deployment) -> None:
        window = (calm.today - 19 * DAY, calm.today - 18 * DAY)
        run_id = calm.run(window=window, **ONLY_DAILY)
        name = file_name(*window)
        assert calm.tasks(run_id)["move.export[0]"]["rendered_map_index"] == "daily"

        query = {"source_dag_id": DAG_ID, "source_run_id": run_id}
        (event,) = calm.client.request("GET", "/assets/events", query=query)["asset_events"]
        assert event["name"] == "survey-export-daily"
        assert event["extra"]["window_start"] == text(window[0])
        assert event["extra"]["sha256"] == calm.files()[name]["sha256"]
        assert event["extra"]["bytes"] == calm.files()[name]["size"]
        assert event["extra"]["destination"].endswith(f"/{name}")

        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/move.export/links"
        links = calm.client.request("GET", path, query={"map_index": 0})["extra_links"]
        assert links["File in OneDrive"].startswith("/interchange/ledger/file?ref=")
        assert "contoso" not in links["File in OneDrive"]
        assert links["Survey in Qualtrics"].startswith(calm.vendors.url("qualtrics"))
        assert "SV_0days" in links["Survey in Qualtrics"]

    def test_a_wrong_variable_fails_the_run_at_once_and_says_which_key(self, calm: Deployment) -> None:
        wrong = {"exports": [{**DAILY, "format": "xlsx"}, {**export("other"), "survey_idd": "SV_1"}]}
        with calm.variable(f"interchange_{DAG_ID}", wrong):
            run_id = calm.run(state="failed", **ONLY_DAILY)
        assert calm.tasks(run_id)["plan"]["try_number"] == 1
        log = calm.log(run_id, "plan")
        assert f"Variable interchange_{DAG_ID}" in log
        assert "format" in log
        assert "xlsx" in log
        assert "ndjson" in log, "the allowed values"
        assert "survey_idd" in log
        assert calm.vendors.requests.entries() == []

    def test_a_window_with_one_border_fails_the_run_at_once(self, calm: Deployment) -> None:
        run_id = calm.run(state="failed", window_start=text(calm.today), **ONLY_DAILY)
        assert calm.tasks(run_id)["plan"]["try_number"] == 1
        assert "window_start is given without window_end" in calm.log(run_id, "plan")

    @pytest.mark.parametrize(
        "wrong", [{"window_start": "yesterday"}, {"format": "xlsx"}, {"exports": "daily"}, {"dry_run": "no"}]
    )
    def test_a_wrong_form_starts_no_run(self, calm: Deployment, wrong: dict[str, Any]) -> None:
        (key,) = wrong
        with pytest.raises(AirflowError, match=rf"HTTP 400: .*{key}"):
            calm.start(**wrong)


class TestDoctor:
    def test_is_content_with_a_sound_deployment(self, calm: Deployment) -> None:
        calm.set_exports(DAILY)
        run_id = calm.run(dag_id="interchange_doctor")
        found = calm.result(run_id, "examine", dag_id="interchange_doctor")
        assert found["wrong"] == 0
        assert found["ok"] >= 4
        assert calm.vendors.effects.entries() == []

    def test_names_the_connection_that_is_wrong(self, calm: Deployment) -> None:
        calm.set_exports(DAILY)
        calm.change_connection("qualtrics_default", password="not-the-client-secret")
        try:
            run_id = calm.run(dag_id="interchange_doctor", state="failed")
        finally:
            calm.restore_connections()
        task = calm.tasks(run_id, dag_id="interchange_doctor")["examine"]
        assert task["try_number"] == 1
        log = calm.log(run_id, "examine", dag_id="interchange_doctor")
        assert re.search(r"connection qualtrics_default: wrong: qualtrics\.token: .*", log)
        assert "connection onedrive_default: ok" in log
        assert "not-the-client-secret" not in log


class TestDirectory:
    def test_a_dry_run_uploads_nothing_then_the_file_goes_once(self, calm: Deployment, tmp_path: Any) -> None:
        file = tmp_path / "people.xml"
        file.write_text("<people><person>Å</person><person>B</person></people>")
        conf = {"dag_id": "modo_directory", "file": str(file), "name": "autumn", "min_entries": 2}

        dry = calm.run(**conf)
        assert calm.vendors.effects.entries() == []
        assert calm.states(dry, dag_id="modo_directory")["upload"] == "skipped"
        assert calm.result(dry, "check", dag_id="modo_directory")["entries"] == 2

        for _ in range(2):
            calm.run(dry_run=False, **conf)
        (revision,) = calm.effects("directory_revision")
        assert revision["name"] == "autumn"
        assert revision["size"] == file.stat().st_size


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
