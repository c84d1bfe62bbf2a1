"""
### Qualtrics → OneDrive

Exports the survey responses of each run's window and puts the file where the settings say.

* **Reads** Qualtrics (`qualtrics_default`). **Writes** files to OneDrive (`onedrive_default`) or an object store, and,
  where an export has `notify` rules, personal messages through Modo (`modo_default`).
* **Settings:** Variable `interchange_qualtrics_to_onedrive`, else `include/config/qualtrics_to_onedrive.yaml`. What
  runs when is in the YAML file or in `INTERCHANGE_QUALTRICS_TO_ONEDRIVE_SCHEDULE`.
* **Window:** the run's data interval, from its start up to but without its end. A run without one (started by hand
  without a logical date) looks back 24 hours. `window_start` and `window_end` on the form win.
* **Running again is safe.** A retry goes on where it stopped. A cleared task, a backfill or a second run exports the
  window anew and replaces the same file; nobody gets a message twice.
* **If `export` fails:** read the last line of its log. *Refused* or *SettingsError*: a person must act, then clear the
  task. Anything else has been retried; clear the task when the vendor is back. See
  `docs/runbooks/qualtrics_to_onedrive.md`.
* **If `notify` fails** with messages of unknown outcome: `python -m interchange unknown list`, settle, clear.
* **Try first:** `dry_run` lists what would be exported where and changes nothing.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronDataIntervalTimetable, Param, dag, get_current_context, task, task_group

from interchange import policies
from interchange.operators.qualtrics import ExportResponsesOperator
from interchange.settings import parse_time_settings

SETTINGS = parse_time_settings("qualtrics_to_onedrive")


@dag(
    schedule=CronDataIntervalTimetable(SETTINGS.schedule, timezone="UTC")
    if SETTINGS.schedule and SETTINGS.enabled
    else None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=4,
    tags=["interchange", "qualtrics", "onedrive"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 8,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
    params={
        "exports": Param(
            [],
            # The form sends null after a choice has been taken back.
            type=["null", "array"],
            items={"type": "string"},
            examples=list(SETTINGS.names),
            title="Exports",
            description="Names of the exports to run; none: all.",
        ),
        "window_start": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Window start",
            description="Recorded at or after; instead of the run's data interval. Give both bounds, or neither.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Window end",
            description="Recorded before.",
        ),
        "format": Param(
            None,
            type=["null", "string"],
            enum=[None, "csv", "json", "ndjson", "tsv", "spss", "xml"],
            values_display={"null": "each export's own"},
            title="Format",
            description="Instead of each export's own.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="List what would be exported where; change nothing.",
        ),
    },
)
def qualtrics_to_onedrive() -> None:
    @task
    def plan() -> list[dict[str, Any]]:
        """What this run is to export, and where to. Changes nothing."""
        from interchange.exports import plan_exports

        return [entry.as_json() for entry in plan_exports(get_current_context())]

    @task
    def due(planned: list[dict[str, Any]], params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The plan, or nothing in a dry run."""
        return [] if params and params["dry_run"] else planned

    @task(map_index_template="{{ item_name }}", multiple_outputs=False)
    def notify(planned: dict[str, Any], delivered: dict[str, Any]) -> dict[str, int]:
        """Send the messages that the export's rules call for, each once."""
        from interchange.operators.notify import notify_responses

        return notify_responses(planned, delivered, get_current_context())

    @task_group
    def move(planned: dict[str, Any]) -> None:
        export = ExportResponsesOperator(
            task_id="export", planned=planned, map_index_template="{{ item_name }}"
        )
        notify(planned, export.output)

    move.expand(planned=due(plan()))


qualtrics_to_onedrive()
