"""
Reading and grouping a ticket report, beside the predecessor's way: a filter over the whole table for each customer.

    python -m benchmarks.report [ROWS …]

Each measurement is a process of its own, so that its peak memory is its own. Beside the predecessor only the smallest
size is measured: its time grows with the square.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.memory import peak_mib

TODAY = dt.date(2026, 11, 27)
SIZES = (20_000, 100_000, 1_000_000)
Row = tuple[str, ...]


def rows(number: int) -> Iterator[Row]:
    """So many closed tickets of as many customers, which is the most work for whoever filters for each."""
    days = [(TODAY - dt.timedelta(days=back)).strftime("%d/%m/%Y") for back in range(360)]
    for who in range(number):
        yield f"First{who}", f"Last{who}", f"c{who}@example.com", f"T-{who:07}", "Closed", days[who % 360]


def ours(number: int) -> tuple[int, int]:
    from interchange.core.closings import select_mails
    from interchange.core.report import ReportRow, ReportRules, read_report

    rules = ReportRules(
        columns=("Firstname", "Lastname", "Email", "Ticket", "Status", "Date"),
        closed_statuses=("Closed",),
        date_format="%d/%m/%Y",
        time_zone="Australia/Sydney",
        header=False,
    )
    source = (ReportRow(number=place, cells=cells) for place, cells in enumerate(rows(number), 2))
    report = read_report(source, rules, today=TODAY)
    selection = select_mails(
        report.closings,
        since=dt.date(2025, 1, 1),
        until=TODAY,
        told=frozenset(),
        mailed=frozenset(),
        opted_out=frozenset(),
        customer_of=str,
    )
    return len(selection.mails), sum(len(mail.tickets) for mail in selection.mails)


def theirs(number: int) -> tuple[int, int]:
    import pandas as pd

    table = pd.DataFrame(rows(number), columns=["First", "Last", "Email", "Ticket", "Status", "Date"])
    table["Date"] = pd.to_datetime(table["Date"], format="%d/%m/%Y")
    table["Name"] = table["First"] + " " + table["Last"].str.upper()
    closed = table[(table["Status"] == "Closed") & (table["Date"] > pd.Timestamp(2025, 1, 1))].sort_values(
        "Name"
    )
    bodies = []
    names = closed["Name"].unique()
    for name in names:
        of_customer = closed[closed["Name"] == name]
        bodies.append([f"{row.Ticket} closed on {row.Date}" for row in of_customer.itertuples()])
    return len(names), sum(map(len, bodies))


WAYS = {"ours": ours, "predecessor": theirs}


def measure(way: str, number: int) -> tuple[float, float]:
    """Seconds and MiB at the peak, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.report", "--measure", way, str(number)]
    seconds, mib = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(mib)


def compare(sizes: tuple[int, ...] = SIZES) -> None:
    """Print seconds and peak memory of each size, and the ratio to the predecessor's way at the smallest one."""
    for number in sizes:
        seconds, mib = measure("ours", number)
        print(f"report of {number} rows: {seconds:.2f} s, peak {mib:.0f} MiB", flush=True)
        if number == min(sizes):
            other, other_mib = measure("predecessor", number)
            print(
                f"    the predecessor's grouping: {other:.2f} s, peak {other_mib:.0f} MiB: {other / seconds:.0f} times"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=int, nargs="*")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.measure:
        compare(tuple(arguments.rows) or SIZES)
        return
    (number,) = arguments.rows
    began = time.monotonic()
    WAYS[arguments.measure](number)
    peak = peak_mib()
    print(f"{time.monotonic() - began:.3f} {peak:.1f}")


if __name__ == "__main__":
    main()
