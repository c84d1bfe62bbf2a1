"""
``make bench``: a large export beside ``curl | curl``, at two sizes, so that memory growing with size would show; a
backlog of activities beside the way of one after another; ticket reports beside the way of one filter per customer;
recordings beside one after another and beside a bare parallel downloader; twelve rounds of up to 10,000 people;
answers to Webex beside Airflow's own.

    python -m benchmarks [--smoke] [MIB …]

``MIB`` are other sizes of the export. ``--smoke`` does everything once, with sizes that say nothing of speed, only that
it all still works.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import activities, pairing, recordings, report, transfer, webhook


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """
    :param exports_mib: each so many ``runs``, in fragments of ``fragment_mib``.
    :param activities: of so many service ``requests``.
    :param rows: of ticket reports.
    :param small: files, kB of each, numbers at once; :param large: likewise, without the sequential way.
    :param people: who are paired. :param deliveries: of Webex, so many at once, to a real Airflow; None: not measured.
    """

    exports_mib: tuple[int, ...]
    runs: int
    fragment_mib: int
    activities: int
    requests: int
    rows: tuple[int, ...]
    small: tuple[int, int, tuple[int, ...]]
    large: tuple[int, int, tuple[int, ...]]
    people: tuple[int, ...]
    deliveries: tuple[int, int] | None


FULL = Sizes(
    exports_mib=(256, 1024), runs=3, fragment_mib=10, activities=120, requests=30, rows=report.SIZES,
    small=(2000, 200, (8, 16, 32)), large=(50, 50_000, (8, 16, 32)), people=pairing.SIZES, deliveries=(200, 8),
)  # fmt: skip
SMOKE = Sizes(
    exports_mib=(1,), runs=1, fragment_mib=1, activities=2, requests=1, rows=(100,), small=(4, 20, (2,)),
    large=(2, 200, (2,)), people=(20,), deliveries=None,
)  # fmt: skip
LATENCY_MS = 30


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mib", type=int, nargs="*", metavar="MIB")
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    sizes = SMOKE if arguments.smoke else FULL
    if arguments.mib:
        sizes = replace(sizes, exports_mib=tuple(arguments.mib))
    run(sizes)
    return 0


def run(sizes: Sizes) -> None:
    """Print what each benchmark finds."""
    for mib in sizes.exports_mib:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            transfer.compare(Path(folder), mib, sizes.runs, sizes.fragment_mib)
    activities.compare(sizes.activities, sizes.requests)
    report.compare(sizes.rows)
    files, kb, parallel = sizes.small
    recordings.compare(files, kb, LATENCY_MS, list(parallel))
    files, kb, parallel = sizes.large
    recordings.compare(files, kb, LATENCY_MS, list(parallel), sequential=False)
    pairing.compare(sizes.people)
    if sizes.deliveries is not None:
        webhook.measure(*sizes.deliveries)


if __name__ == "__main__":
    sys.exit(main())
