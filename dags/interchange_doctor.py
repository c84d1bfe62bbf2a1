"""
### Interchange doctor

Looks at this deployment once a day and changes nothing outside.

* **Reads** settings, every connection they name, and the ledger. **Writes** nothing.
* **Forgets** (task `forget`) what is personal in receipts that are older than the setting `personal_data_days`.
* **Checks** that the settings of every workflow are valid, that every connection they name answers a harmless call, and
  that the ledger can be opened; lists effects of unknown outcome, quarantined records and claims that ran out.
* **Fails** if a connection or a setting is wrong; the log says which and what to do. Unknown and quarantined
  effects are warnings: a person settles or replays them with `python -m interchange`.
* The same on the command line: `python -m interchange doctor`, or `make doctor`. What to do then:
  `docs/runbooks/interchange_doctor.md`.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag, task

from interchange import policies
from interchange.settings import parse_time_settings

SETTINGS = parse_time_settings("interchange_doctor")


@dag(
    schedule=CronDataIntervalTimetable(SETTINGS.schedule, timezone="UTC")
    if SETTINGS.schedule and SETTINGS.enabled
    else None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    # What is wrong now says nothing about the past.
    allowed_run_types=["scheduled", "manual"],
    tags=["interchange"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 2,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
)
def interchange_doctor() -> None:
    @task(multiple_outputs=False)
    def examine() -> dict[str, Any]:
        """See the page above."""
        from interchange.doctor import examine_deployment

        return examine_deployment()

    @task
    def forget() -> int:
        """Drop what is personal from old receipts in the ledger."""
        from interchange.doctor import forget_personal_data

        return forget_personal_data()

    examine()
    forget()


interchange_doctor()
