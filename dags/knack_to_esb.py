"""
### Knack → Enterprise Service Bus

Sends the activities that Knack has ready to the 311 system, as SOAP messages, and writes their status back.

* **Reads** Knack (`knack_default`, one connection for each application). **Writes** messages to the bus
  (`esb_default`), the status of activities to Knack, and an alert where one is set up.
* **Settings:** Variable `interchange_knack_to_esb`, else `include/config/knack_to_esb.yaml`.
* **Order:** by activity number, within each service request. Service requests do not wait for each other, nor do
  applications.
* **Running again is safe.** A message that the bus has accepted is never sent again, whatever becomes of the status.
* **Set aside:** an activity that cannot be sent waits in quarantine with field and reason, and later ones of its
  service request behind it. Correct the record in Knack, or the settings: the next run sends it.
* **If `deliver` fails** with *may have been accepted*: look at the bus, then `python -m interchange unknown list`,
  settle, and the rest of that service request goes on. *The bus is not well*: nothing to do; what waits goes by itself.
  *Refused* or *SettingsError*: a person must act. See `docs/runbooks/knack_to_esb.md`.
* **Try first:** `dry_run` lists what would be sent and changes nothing.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import Asset, CronDataIntervalTimetable, Param, dag, get_current_context, task

from interchange import policies
from interchange.operators.knack import DeliverActivitiesOperator
from interchange.settings import parse_time_settings

SETTINGS = parse_time_settings("knack_to_esb")
DELIVERED = Asset(name="knack-activities", uri="x-interchange://knack_to_esb/activities")


@dag(
    schedule=CronDataIntervalTimetable(SETTINGS.schedule, timezone="UTC")
    if SETTINGS.schedule and SETTINGS.enabled
    else None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    # What is ready is ready now; the past has no activities of its own.
    allowed_run_types=["scheduled", "manual"],
    tags=["interchange", "knack", "esb"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 2,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
    params={
        "apps": Param(
            [],
            # The form sends null after a choice has been taken back.
            type=["null", "array"],
            items={"type": "string"},
            examples=list(SETTINGS.names),
            title="Apps",
            description="Names of the applications to work on; none: all.",
        ),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Limit",
            description="At most so many messages of each application; empty: all.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="List what would be sent; change nothing.",
        ),
    },
)
def knack_to_esb() -> None:
    @task
    def plan() -> list[dict[str, Any]]:
        """The applications this run works on. Changes nothing."""
        from interchange.activities.planning import plan_apps

        return [entry.as_json() for entry in plan_apps(get_current_context()["params"])]

    DeliverActivitiesOperator.partial(
        task_id="deliver", map_index_template="{{ item_name }}", outlets=[DELIVERED]
    ).expand(planned=plan())


knack_to_esb()
