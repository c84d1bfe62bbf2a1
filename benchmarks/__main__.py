"""
``make bench``: a large export beside ``curl | curl``, at two sizes, so that memory growing with size would show; a
backlog of activities beside the way of one after another; ticket reports beside the way of one filter per customer;
recordings beside one after another and beside a bare parallel downloader; twelve rounds of up to 10,000 people;
answers to Webex beside Airflow's own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import activities, pairing, recordings, report, webhook
from benchmarks.transfer import compare

SIZES_MIB = (256, 1024)
RUNS = 3


def main() -> int:
    sizes = [int(argument) for argument in sys.argv[1:]] or SIZES_MIB
    for mib in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            compare(Path(folder), mib, RUNS, fragment_mib=10)
    activities.compare(records=120, service_requests=30)
    report.compare()
    recordings.compare(2000, 200, 30, [8, 16, 32])
    recordings.compare(50, 50_000, 30, [8], sequential=False)
    pairing.compare()
    webhook.measure(200, 8)
    return 0


if __name__ == "__main__":
    sys.exit(main())
