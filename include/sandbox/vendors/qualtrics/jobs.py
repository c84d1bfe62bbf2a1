"""Export jobs: what becomes of one, poll by poll."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from include.sandbox.core import new_id
from include.sandbox.vendors.qualtrics.data import Mark, Query, Survey
from include.sandbox.vendors.qualtrics.start import Start
from include.sandbox.vendors.qualtrics.switches import Options, due


class Fate(StrEnum):
    """Decided when the job starts."""

    COMPLETE = "complete"
    FAIL = "fail"
    FAIL_WITH_ERROR = "fail_with_error"
    ENDLESS = "endless"
    VANISH = "vanish"


class Status(StrEnum):
    IN_PROGRESS = "inProgress"
    COMPLETE = "complete"
    FAILED = "failed"


def fate(options: Options) -> Fate:
    if due(options, "fail_jobs"):
        return Fate.FAIL_WITH_ERROR if options.failed_with_error else Fate.FAIL
    if due(options, "endless_jobs"):
        return Fate.ENDLESS
    return Fate.VANISH if due(options, "vanish_jobs") else Fate.COMPLETE


@dataclass(kw_only=True)
class Job:
    """
    :param since: where the export goes on, if it was started with a continuation token.
    :param mark: as of when it was completed: fixes the content of its file.
    """

    survey: Survey
    start: Start
    started: dt.datetime
    fate: Fate
    since: Mark | None = None
    progress_id: str = field(default_factory=lambda: new_id("ES_")[:18])
    file_id: str = field(default_factory=lambda: f"{uuid.uuid4()}-def")
    status: Status = Status.IN_PROGRESS
    polls: int = 0
    mark: Mark | None = None
    completed: dt.datetime | None = None
    continuation_token: str | None = None

    def ends_at_this_poll(self, options: Options, now: dt.datetime) -> bool:
        """Whether the poll just counted finds the job at its end."""
        patience = options.polls_until_complete + options.full_percent_polls
        ready = self.polls > patience and (now - self.started).total_seconds() >= options.job_seconds
        return ready and self.fate is not Fate.ENDLESS

    def progress(self, options: Options) -> dict[str, Any]:
        """The ``result`` of a poll. Only ``status`` tells whether the job has ended, and how."""
        if self.status is Status.COMPLETE:
            result: dict[str, Any] = {"fileId": self.file_id, "percentComplete": 100.0, "status": "complete"}
            if self.continuation_token:
                result["continuationToken"] = self.continuation_token
            return result
        if self.status is Status.FAILED:
            failed: dict[str, Any] = {"fileId": None, "percentComplete": 100, "status": "failed"}
            if self.fate is Fate.FAIL_WITH_ERROR:
                failed["error"] = {
                    "errorCode": "SANDBOX_EXPORT",
                    "errorMessage": "The export could not be completed.",
                }
            return failed
        first_full = options.polls_until_complete
        full = first_full < self.polls <= first_full + options.full_percent_polls
        running: dict[str, Any] = {
            "percentComplete": 100.0 if full else options.percent_while_running,
            "status": "inProgress",
        }
        return {"fileId": None, **running} if options.file_id_null else running

    def query(self, mark: Mark) -> Query:
        """What the export selects, as of ``mark``."""
        start = self.start
        return Query(
            survey=self.survey,
            moment=mark.moment,
            revision=mark.revision,
            delay=mark.delay,
            start=start.start,
            end=start.end,
            by_modified=start.sort_by_last_modified,
            finished=not start.in_progress,
            filter=next((f for f in self.survey.filters if f.id == start.filter_id), None),
            limit=start.limit,
            since=self.since,
        )
