"""
### Webex upkeep

Looks after the Webex bot once a day: its webhooks, what it missed, what got stuck, questions after meetings.

* **Reads** Webex (`webex_bot`). **Writes** webhooks, questions ("did you meet?"), answers that were missed, and each
  quarter a report through `webex_bot`; meetings that all agreed to move through `webex_meetings`.
* **Settings:** Variable `interchange_webex_roulette`, else `include/config/webex_roulette.yaml`.
* **Running again is safe**, at any time and beside the bot at work: everybody is asked and told once.
* **The tasks** do not depend on each other: `webhooks` keeps one active webhook of each kind; `events` goes on with
  what tasks have given up; `messages` answers what Webex has not told of; `proposals` ends what nobody answers;
  `doubles` takes back what was made twice; `questions` asks who has met; `quarter` reports; `log_in` keeps the log-in
  for meetings alive, warns before it ends; `memory` forgets what is old.
* **If `log_in` fails:** an admin logs in again at `/interchange/webex/login`. **If `webhooks` fails** with *secret*:
  extra `webhook_secret` of `webex_bot`. Else see `docs/runbooks/webex_upkeep.md`.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task

from interchange import policies
from interchange.operators.webex_bot import CARE
from interchange.settings import parse_time_settings

SETTINGS = parse_time_settings("webex_upkeep")


@dag(
    schedule=CronDataIntervalTimetable(SETTINGS.schedule, timezone="UTC")
    if SETTINGS.schedule and SETTINGS.enabled
    else None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    # It is about now; the past has no webhooks.
    allowed_run_types=["scheduled", "manual"],
    tags=["interchange", "webex"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 3,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
)
def webex_upkeep() -> None:
    @task
    def care(part: str) -> Any:
        """One part of it. The result is numbers."""
        from interchange.operators.webex_bot import care_for

        return care_for(part, get_current_context())

    for part in CARE:
        care.override(task_id=part)(part)


webex_upkeep()
