"""
### Spinoco → disk, S3, Google Cloud Storage or Azure

Brings call recordings, transcriptions and what else Spinoco has of its tasks to a storage of yours, and deletes at
Spinoco what may be deleted.

* **Reads** Spinoco (`spinoco_default`). **Writes** files to a disk, S3 (`aws_default`), Google Cloud Storage
  (`google_cloud_default`) or Azure (`wasb_default`), deletions to Spinoco, and an alert where one is set up.
* **Settings:** Variable `interchange_spinoco_sync`, else `include/config/spinoco_sync.yaml`.
* **Running again is safe.** A page is written down before its first file is fetched, a file is stored once, under a
  name that is never overwritten; runs that were killed are gone on with.
* **Deleted at Spinoco** is only what the settings permit, after the stored copy was read again and found whole.
* **Set aside:** a file that is empty, cut or altered does not stop the others. It is tried again by later runs, then
  left in quarantine with its reason; its original stays.
* **If `sync` fails** with *Refused* and 401: the token. *Unavailable*: nothing to do, it goes on by itself. *originals
  stay*: a stored copy is missing or altered: look at the storage. See `docs/runbooks/spinoco_sync.md`.
* **Try first:** `dry_run` tells what waits; it asks for no page, since that may count as having received it.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import Asset, CronDataIntervalTimetable, Param, dag, get_current_context, task

from interchange import policies
from interchange.operators.spinoco import SyncOperator
from interchange.settings import parse_time_settings

SETTINGS = parse_time_settings("spinoco_sync")
STORED = Asset(name="spinoco-files", uri="x-interchange://spinoco_sync/files")


@dag(
    schedule=CronDataIntervalTimetable(SETTINGS.schedule, timezone="UTC")
    if SETTINGS.schedule and SETTINGS.enabled
    else None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    # What Spinoco has not handed over yet is handed over now; the past has no files of its own.
    allowed_run_types=["scheduled", "manual"],
    tags=["interchange", "spinoco", "s3", "gcs", "azure"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 3,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
    params={
        "syncs": Param(
            [],
            # The form sends null after a choice has been taken back.
            type=["null", "array"],
            items={"type": "string"},
            examples=list(SETTINGS.names),
            title="Syncs",
            description="Names of the synchronisations to work on; none: all.",
        ),
        "max_pages": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Pages",
            description="At most so many pages of each; empty: all.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Tell what waits; fetch and delete nothing.",
        ),
        "delete_waiting": Param(
            False,
            type="boolean",
            title="Delete what waits",
            description="Also delete the originals that wait for a person, being more than max_deletions.",
        ),
    },
)
def spinoco_sync() -> None:
    @task
    def plan() -> list[dict[str, Any]]:
        """The synchronisations this run works on. Changes nothing."""
        from interchange.sync.planning import plan_syncs

        return [entry.as_json() for entry in plan_syncs(get_current_context()["params"])]

    SyncOperator.partial(task_id="sync", map_index_template="{{ item_name }}", outlets=[STORED]).expand(
        planned=plan()
    )


spinoco_sync()
