"""Waiting for an export job without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from interchange.errors import InterchangeError, RateLimited, Unavailable
from interchange.hooks.qualtrics import JobStatus, Progress, QualtricsHook

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 30.0
GROWTH = 1.5


class ExportJobTrigger(BaseTrigger):
    """
    Polls a job with growing pauses until it is no longer running, cannot be asked any more, or ``deadline`` has come.

    The event only wakes the task, which asks for the job's state itself: nothing an event says is acted upon.

    :param deadline: seconds since the epoch.
    :param first_wait_s: seconds before the first question.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        survey_id: str,
        progress_id: str,
        deadline: float,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's class has no annotations
        self.conn_id = conn_id
        self.survey_id = survey_id
        self.progress_id = progress_id
        self.deadline = deadline
        self.first_wait_s = first_wait_s
        self._hook: QualtricsHook | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conn_id": self.conn_id,
                "survey_id": self.survey_id,
                "progress_id": self.progress_id,
                "deadline": self.deadline,
                "first_wait_s": self.first_wait_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        wait_s = self.first_wait_s
        while (rest_s := self.deadline - time.time()) > 0:
            await asyncio.sleep(min(wait_s, rest_s))
            wait_s = min(wait_s * GROWTH, LONGEST_WAIT_S)
            try:
                # The hook blocks; a thread of its own keeps the triggerer's other triggers running.
                progress = await sync_to_async(self._ask, thread_sensitive=False)()
            except RateLimited as exc:
                wait_s = max(wait_s, exc.retry_after_s)
                continue
            except Unavailable as exc:
                self.log.warning("%s; asking again later", exc)
                continue
            except InterchangeError as exc:
                self.log.warning("The job cannot be asked any more: %s", exc)
                yield _event("error")
                return
            self.log.info(
                "Export job of survey %s: %s, %.0f %%", self.survey_id, progress.status, progress.percent
            )
            if progress.status is not JobStatus.IN_PROGRESS:
                yield _event(progress.status.value)
                return
        yield _event("overdue")

    def _ask(self) -> Progress:
        if self._hook is None:
            from interchange.ledger.connection import open_ledger
            from interchange.ledger.limits import RateLimiter

            ledger = open_ledger(owner="triggerer")
            self._hook = QualtricsHook(self.conn_id, limiter=RateLimiter(ledger.engine))
        return self._hook.export_progress(self.survey_id, self.progress_id)

    async def cleanup(self) -> None:
        if self._hook is not None:
            self._hook.close()


def _event(status: str) -> TriggerEvent:
    return TriggerEvent({"status": status})  # type: ignore[no-untyped-call]  # Airflow's class has no annotations
