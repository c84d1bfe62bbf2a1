"""
How much of Knack's ten requests a second a backlog uses, beside the way of one activity after another.

    python -m benchmarks.activities [--records 120] [--requests 30]

Both work on the same backlog in the sandbox, which keeps the vendor's limit and answers each call 50 ms late. The other
way is the predecessor's: one thread; for each record a message to the bus, then a status to Knack, on connections of
their own, and no look before the write. It asks Knack once where ours asks twice.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from cryptography.fernet import Fernet

from include.sandbox.connections import KNACK_APPS, as_environment, connections
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors import vendor_classes
from include.sandbox.vendors.knack.seeds import field_key

APP = "data-tracker"
LATENCY_S = 0.05
LIMIT_PER_SECOND = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=120)
    parser.add_argument("--requests", type=int, default=30)
    arguments = parser.parse_args()
    compare(arguments.records, arguments.requests)


def compare(records: int, service_requests: int) -> None:
    """Print, for each way: seconds, Knack's requests a second, refusals, messages in the wrong order."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Sandbox(vendor_classes(["knack", "esb"])) as sandbox,
    ):
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            **as_environment(connections(sandbox)),
        }
        # A task has Airflow loaded and its ledger migrated before it begins.
        logging.disable(logging.INFO)
        from interchange.ledger.connection import open_ledger

        open_ledger(owner="bench")
        for name, way in (("one after another", one_after_another), ("ours", ours)):
            sandbox.reset()
            rows = [
                {"number": n, "sr": f"26-{n % service_requests:08}", "activity": "Identify Asset"}
                for n in range(1, records + 1)
            ]
            sandbox.vendor("knack").seed({"empty": list(KNACK_APPS), "records": {APP: rows}})
            for vendor in ("knack", "esb"):
                late = Fault(vendor=vendor, kind=FaultKind.SLOW, call=1, times=100_000, seconds=LATENCY_S)
                sandbox.arm(late)
            measured(name, sandbox, way, records, Path(folder))


def measured(
    name: str, sandbox: Sandbox, way: Callable[[Sandbox, Path], None], records: int, folder: Path
) -> None:
    began = time.monotonic()
    way(sandbox, folder)
    took_s = time.monotonic() - began
    asked = [
        entry for entry in sandbox.requests.entries(vendor="knack") if entry["operation"] != "application"
    ]
    refused = sum(entry["status"] == 429 for entry in asked)
    rate = len(asked) / took_s
    done = len(sandbox.vendor("esb").messages)
    print(
        f"{name:18}  {done}/{records} activities in {took_s:5.1f} s = {done / took_s:4.1f}/s; "
        f"Knack: {rate:4.1f} requests/s = {100 * rate / LIMIT_PER_SECOND:3.0f} % of the limit, {refused} refused",
        flush=True,
    )


def ours(_sandbox: Sandbox, folder: Path) -> None:
    from interchange.activities.app_run import AppRun
    from interchange.ledger import RunRef
    from interchange.ledger.connection import open_ledger
    from interchange.ledger.limits import RateLimiter
    from interchange.settings import load_settings

    app = load_settings("knack_to_esb", variable=lambda _: None).apps[0]
    ledger = open_ledger(owner="bench")
    work = AppRun(app, ledger=ledger, limiter=RateLimiter(ledger.engine), run=RunRef(), lease_s=60)
    work.deliver(work.read())


def one_after_another(sandbox: Sandbox, _folder: Path) -> None:
    from interchange.core.esb_message import build_message, load_template
    from interchange.settings.files import templates_dir

    made = connections(sandbox)
    knack, bus = made["knack_default"], made["esb_default"]
    headers = {"X-Knack-Application-Id": knack["login"], "X-Knack-REST-API-Key": knack["password"]}
    trust, extra = str(sandbox.ca_bundle), bus["extra"]
    view = f"{knack['host']}/v1/pages/scene_514/views/view_1653/records?rows_per_page=1000"
    found: list[dict[str, Any]] = requests.get(view, headers=headers, verify=trust, timeout=30).json()[
        "records"
    ]
    template = load_template(templates_dir())
    for record in found:
        message = build_message(
            {
                "emi_id": record[field_key(APP, "emi")],
                "timestamp": "2026-11-22T07:15:00-06:00",
                "record_id": record["id"],
                "csr_activity_id": "",
                "sr_number": record[field_key(APP, "sr")],
                "status_code": "open",
                "code": "IDENASSE",
                "details": record[field_key(APP, "details")],
                "activity_date": "2026-11-22T07:10:00-06:00",
            },
            template,
        )
        sent = requests.post(
            bus["host"],
            data=message,
            headers={"Content-Type": "text/xml", "X-API-Key": extra["api_key"]},
            cert=(extra["client_certificate"], extra["client_key"]),
            verify=trust,
            timeout=30,
        )
        sent.raise_for_status()
        url = f"{knack['host']}/v1/objects/object_75/records/{record['id']}"
        body = json.dumps({field_key(APP, "status"): "SENT"})
        written = requests.put(
            url, data=body, headers={**headers, "Content-Type": "application/json"}, verify=trust, timeout=30
        )
        written.raise_for_status()


if __name__ == "__main__":
    main()
