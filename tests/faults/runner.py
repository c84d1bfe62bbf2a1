"""
Runs DAGs for the fault harness in processes that may be killed: ``python -m tests.faults.runner``.

Airflow and the DAGs are loaded once; each job then runs in a fork, with Airflow's own SQLite database, scheduling
rules and Execution API, so that a kill ends a real process and the next job starts from what it left behind. JSON
lines come in on standard input and go out on standard output; the log goes to standard error.

    in   {"dag_id", "run_id", "action": "start" | "clear" | "recover", "logical_date", "interval": [start, end],
          "conf", "environment", "ledger": path, "stop": null | {"where", "number", "side", "how"}}
    out  {"event": "ready"}                        once, when the DAGs are loaded
         {"event": "waiting", "seconds", "real"}   a retry is due so much later; any line in means: that time has
                                                   passed, or, if it is real: go on waiting
         {"event": "paused"}                       any line in means: go on
         {"event": "frozen", "pid"}                the process stops now, until it is sent SIGCONT
         {"event": "ended", "state", "tasks", "steps"}    or {"event": "died", "signal"}
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

_spent: list[object] = []


class Lines:
    """JSON lines both ways."""

    def __init__(self, incoming: IO[str], outgoing: IO[str]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def read(self) -> dict[str, Any] | None:
        line = self._incoming.readline()
        return json.loads(line) if line else None

    def write(self, **message: Any) -> None:
        self._outgoing.write(json.dumps(message) + "\n")
        self._outgoing.flush()

    def ask(self, **message: Any) -> None:
        """Write, and wait for any line."""
        self.write(**message)
        self.read()


def load_dags() -> dict[str, Any]:
    """Every DAG of the repository, registered with Airflow."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.utils.session import create_session

    manager = DagBundlesManager()
    with create_session() as session:
        manager.sync_bundles_to_db(session=session)
    (bundle,) = manager.get_all_dag_bundles()
    bundle.initialize()
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    if bag.import_errors:
        raise ImportError(f"DAG files that cannot be imported: {bag.import_errors}")
    sync_bag_to_db(bag, bundle.name, bundle.version)
    return dict(bag.dags)


def _import_what_tasks_import() -> None:
    """Only for speed: a fork then has it already."""
    import importlib
    import pkgutil

    import interchange

    for name in ("msal", "a2wsgi", "alembic.command", "airflow.providers.standard.triggers.temporal"):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(interchange.__path__, "interchange."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)


def _warm_up(dag: Any) -> None:
    """
    Only for speed: a dry run fills what Airflow makes at first use, most of all its Execution API.

    :raises RuntimeError: a thread is left, so that this process cannot be forked safely.
    """
    from airflow import settings
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    from tests.faults.airflow_run import AirflowRun

    moment = datetime.now(UTC).isoformat()
    run = AirflowRun(dag, f"warm-up-{moment}", waiting=lambda _seconds, _real: None)
    run.start({"logical_date": moment, "interval": [moment, moment], "conf": {"dry_run": True}})
    run.finish()
    # Without its transport the API has no thread, and the application that is now warm stays. The transport itself is
    # kept, because its end would wait for the loop.
    api = in_process_api_server()
    _spent.append(api.transport)
    loop = api.transport.app.loop
    loop.call_soon_threadsafe(loop.stop)
    del api.transport
    settings.dispose_orm(do_log=False)
    deadline = time.monotonic() + 20
    while threading.active_count() > 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"threads are left: {threading.enumerate()}")
        time.sleep(0.05)


def serve(lines: Lines) -> None:
    from airflow import settings

    _import_what_tasks_import()
    _warm_up(load_dags()["qualtrics_to_onedrive"])
    # Anew: a run leaves its form's values in the DAG object it worked with.
    settings.configure_orm()
    dags = load_dags()
    settings.dispose_orm(do_log=False)
    lines.write(event="ready")
    while (job := lines.read()) is not None:
        child = os.fork()
        if child == 0:
            os._exit(_carry_out(job, dags, lines))
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            lines.write(event="died", signal=os.WTERMSIG(status))
        elif os.WEXITSTATUS(status):
            lines.write(event="died", signal=0)


def _carry_out(job: dict[str, Any], dags: dict[str, Any], lines: Lines) -> int:
    signal.alarm(int(job.get("limit_s", 120)))
    try:
        from airflow import settings

        from tests.faults.airflow_run import AirflowRun
        from tests.faults.steps import Steps

        os.environ.update(job["environment"])
        settings.configure_orm()
        steps = Steps(
            Path(job["ledger"]),
            stop=job["stop"],
            pause=lambda: lines.ask(event="paused"),
            freeze=lambda pid: lines.write(event="frozen", pid=pid),
        )
        run = AirflowRun(
            dags[job["dag_id"]],
            job["run_id"],
            waiting=lambda seconds, real: lines.ask(event="waiting", seconds=seconds, real=real),
        )
        getattr(run, job["action"])(job)
        state = run.finish()
        lines.write(event="ended", state=state, tasks=run.tasks(), steps=steps.seen)
        return 0
    except BaseException:  # noqa: BLE001  # the fork's end: whatever it was goes to the log
        traceback.print_exc()
        return 1
    finally:
        sys.stderr.flush()


def main() -> None:
    # Nothing else may write among the lines.
    outgoing = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(Lines(sys.stdin, outgoing))
    # Without Airflow's own farewells, which wait for the thread that has been stopped.
    os._exit(0)


if __name__ == "__main__":
    main()
