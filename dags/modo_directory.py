"""
### Modo directory

Uploads a directory file to Modo as a new revision, after checking it.

* **Reads** an XML file: a path on the worker, or a URL such as `s3://CONN_ID@bucket/directory.xml`.
  **Writes** a directory revision through `modo_default`.
* **Running again is safe:** the same file under the same name is uploaded once. A changed file is another revision.
* **Checked first:** well-formed, not empty, not too large, at least `min_entries` entries. A wrong directory
  misdirects later messages, so `dry_run` is on until you switch it off.
* **If `upload` fails** with *may exist*: look at Modo's console whether the revision is there, then
  `python -m interchange settle … --to confirmed` (it is) or `--to planned` (it is not), and clear the task.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import Asset, Param, dag, get_current_context, task

from interchange import policies

DIRECTORY = Asset(name="modo-directory", uri="x-interchange://modo_directory/current")


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["interchange", "modo"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 4,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
    params={
        "file": Param(
            "", type="string", title="File", description="Path on the worker, or URL, of the directory XML."
        ),
        "name": Param(
            "", type="string", title="Name", description="Label of the revision; none: the file's name."
        ),
        "min_entries": Param(
            1, type="integer", minimum=0, title="Least entries", description="Fewer are taken for a mistake."
        ),
        "max_mib": Param(
            100,
            type="integer",
            minimum=1,
            title="Largest size",
            description="MiB; more is taken for a mistake.",
        ),
        "dry_run": Param(
            True, type="boolean", title="Dry run", description="Only check the file; upload nothing."
        ),
    },
)
def modo_directory() -> None:
    @task(multiple_outputs=False)
    def check(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the file once; what it is goes to the next task, not the file."""
        from interchange.operators.modo import plan_upload

        return plan_upload(params or {})

    @task.short_circuit
    def wanted(checked: dict[str, Any], params: dict[str, Any] | None = None) -> bool:
        """Whether this is more than a dry run."""
        return not (params or {})["dry_run"]

    @task(outlets=[DIRECTORY], multiple_outputs=False)
    def upload(checked: dict[str, Any]) -> dict[str, Any]:
        """Upload exactly the file that was checked, once."""
        from interchange.operators.modo import upload_checked

        return upload_checked(checked, get_current_context())

    checked = check()
    wanted(checked) >> upload(checked)


modo_directory()
