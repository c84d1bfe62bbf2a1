"""
One DAG run, taken through Airflow's own scheduling rules in this process.

What ``dag.test()`` does, except for time: it sleeps until a retry is due, we ask for that time to have passed; and it
begins every run anew, we also go on with one whose process died.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import timezone
from airflow.sdk.definitions.dag import _run_task
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session

# Up to here a wait is spent for real: it is for a claim in the ledger, which goes by the database's clock.
LONGEST_REAL_WAIT_S = 3.5
MOST_ROUNDS = 400


class AirflowRun:
    """
    :param dag: as parsed from its file.
    :param waiting: told how long Airflow waits now, and whether we do so too; returns when that time counts as passed,
        or is to be waited for.
    """

    def __init__(self, dag: Any, run_id: str, *, waiting: Callable[[float, bool], None]) -> None:
        self._dag = dag
        self._run_id = run_id
        self._waiting = waiting
        self._scheduled: SerializedDAG = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))

    def start(self, job: dict[str, Any]) -> None:
        """Create the run."""
        interval = job.get("interval")
        logical_date = datetime.fromisoformat(job["logical_date"])
        with create_session() as session:
            self._scheduled.create_dagrun(
                run_id=self._run_id,
                logical_date=logical_date,
                data_interval=(datetime.fromisoformat(interval[0]), datetime.fromisoformat(interval[1])),
                run_after=timezone.utcnow(),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                triggering_user_name="faults",
                state=DagRunState.RUNNING,
                start_date=timezone.utcnow(),
                conf=job.get("conf"),
                session=session,
            )

    def clear(self, _job: dict[str, Any]) -> None:
        """What an operator does with a failed run: clear its failed tasks and what follows them."""
        self._scheduled.clear(run_id=self._run_id, only_failed=True, dag_run_state=DagRunState.RUNNING)

    def clear_all(self, _job: dict[str, Any]) -> None:
        """What an operator does after the settings were corrected: have everything planned anew."""
        self._scheduled.clear(run_id=self._run_id, dag_run_state=DagRunState.RUNNING)

    def recover(self, _job: dict[str, Any]) -> None:
        """What the scheduler does when a worker has died: its running tasks fail, and may be retried."""
        with create_session() as session:
            for instance in self._instances(session):
                if instance.state == TaskInstanceState.RUNNING:
                    instance.task = self._scheduled.get_task(instance.task_id)
                    instance.handle_failure("the process was killed", session=session)
                elif instance.state == TaskInstanceState.QUEUED:
                    instance.state = TaskInstanceState.SCHEDULED

    def finish(self) -> str:
        """Schedule and run tasks until the run has ended; its state."""
        with create_session(scoped=False) as session:
            run = session.scalars(
                select(DagRun).where(DagRun.dag_id == self._dag.dag_id, DagRun.run_id == self._run_id)
            ).one()
            run.dag = self._scheduled
            idle = 0
            for _ in range(MOST_ROUNDS):
                session.expire_all()
                ready, _ = run.update_state(session=session)
                if run.state not in (DagRunState.RUNNING, DagRunState.QUEUED):
                    return str(run.state.value)
                for instance in ready:
                    instance.try_number += 1
                    instance.state = TaskInstanceState.SCHEDULED
                    instance.scheduled_dttm = timezone.utcnow()
                session.commit()
                due = [i for i in self._instances(session) if i.state == TaskInstanceState.SCHEDULED]
                for instance in due:
                    _run_task(ti=instance, task=self._dag.task_dict[instance.task_id], run_triggerer=True)
                # One round may only skip tasks, which the next one builds on.
                idle = 0 if due else idle + 1
                if idle > 2:
                    self._pass_time(session)
            raise RuntimeError(f"the run does not end: {self.tasks()}")

    def tasks(self) -> list[dict[str, Any]]:
        with create_session() as session:
            return [
                {"task": i.task_id, "map_index": i.map_index, "state": i.state, "tries": i.try_number}
                for i in self._instances(session)
            ]

    def _pass_time(self, session: Session) -> None:
        retries = [i for i in self._instances(session) if i.state == TaskInstanceState.UP_FOR_RETRY]
        if not retries:
            raise RuntimeError(f"nothing to run and nothing to wait for: {self.tasks()}")
        for instance in retries:
            instance.task = self._scheduled.get_task(instance.task_id)
        first = min(retries, key=lambda i: i.next_retry_datetime())
        seconds = (first.next_retry_datetime() - timezone.utcnow()).total_seconds()
        real = seconds <= LONGEST_REAL_WAIT_S
        self._waiting(seconds, real)
        if not real:
            for instance in retries:
                instance.end_date = first.end_date - (first.next_retry_datetime() - timezone.utcnow())
            session.commit()
        else:
            time.sleep(max(seconds, 0) + 0.01)

    def _instances(self, session: Session) -> list[TaskInstance]:
        found = session.scalars(
            select(TaskInstance)
            .where(TaskInstance.dag_id == self._dag.dag_id, TaskInstance.run_id == self._run_id)
            .order_by(TaskInstance.task_id, TaskInstance.map_index)
        )
        return list(found)
