"""
How long Webex waits for an answer when it tells of an event, in a real Airflow that starts a run for each.

    python -m benchmarks.webhook [--events 200] [--at-once 8]

API server, scheduler, DAG processor and triggerer run as in the demo, on SQLite. Each event comes over a connection of
its own, as soon as one of ``--at-once`` lines is free. It is told how long the answers took, and how long it took until
each event had its run; what such a run does is no part of it, so it does nothing here.
"""

from __future__ import annotations

import argparse
import hmac
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.stack import AirflowStack

SECRET = "a-webhook-secret-of-the-benchmark"  # noqa: S105
PATH = "/interchange/webex/webhook"
WARM_UP = 10
PATIENCE_S = 300.0
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def webex_bot():
    @task
    def nothing():
        pass
    nothing()

webex_bot()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    arguments = parser.parse_args()
    measure(arguments.events, arguments.at_once)


def measure(events: int, at_once: int) -> None:
    """Print milliseconds: median, p95, longest; and seconds until the last event had its run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        dags = Path(folder, "dags")
        dags.mkdir()
        (dags / "webex_bot.py").write_text(DAG)
        fields = {"conn_type": "webex", "password": "x" * 20, "extra": {"webhook_secret": SECRET}}
        settings = {"AIRFLOW_CONN_WEBEX_BOT": json.dumps(fields)}
        with AirflowStack(Path(folder, "home"), dags_folder=dags, settings=settings) as airflow:
            airflow.client.wait_for_dags(["webex_bot"], timeout_s=PATIENCE_S)
            in_line(["/api/v2/version"] * WARM_UP, 1, airflow.api_port, ask)
            took = sorted(in_line(["/api/v2/version"] * events, at_once, airflow.api_port, ask))
            told("Airflow's own version page", took)
            for running in (False, True):
                if running:
                    airflow.client.unpause("webex_bot")
                    # The first task after a start makes the API server busy with itself, for seconds.
                    airflow.client.wait_run(
                        "webex_bot", airflow.client.trigger("webex_bot"), timeout_s=PATIENCE_S
                    )
                name = f"{int(running)}"
                before = runs(airflow)
                in_line([f"W{name}x{number}" for number in range(WARM_UP)], 1, airflow.api_port)
                ids = [f"M{name}x{number}" for number in range(events)]
                wait_until(lambda: runs(airflow) >= before + WARM_UP)  # noqa: B023
                before = runs(airflow)
                began = time.monotonic()
                took = sorted(in_line(ids, at_once, airflow.api_port))
                answered = time.monotonic() - began
                runs_then = runs(airflow) - before
                wait_until(lambda: runs(airflow) >= before + events)  # noqa: B023
                told(
                    f"{events} events, {at_once} at once, runs {'carried out' if running else 'waiting'}",
                    took,
                )
                print(
                    f"  {events / answered:.0f} a second; {runs_then} runs then, all after "
                    f"{time.monotonic() - began:.1f} s"
                )


def told(name: str, took: list[float]) -> None:
    """:param took: seconds, sorted."""
    p95 = took[int(len(took) * 0.95)]
    print(
        f"{name}: median {statistics.median(took) * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms, "
        f"longest {took[-1] * 1000:.1f} ms",
        flush=True,
    )


def runs(airflow: AirflowStack) -> int:
    """How many there are."""
    answer = airflow.client.request("GET", "/dags/webex_bot/dagRuns", query={"limit": 1})
    return int(answer["total_entries"])


def in_line(
    names: list[str], at_once: int, port: int, call: Callable[[str, int], float] | None = None
) -> list[float]:
    """Deliver an event of each id, or call what is to be called: the seconds each took."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda name: (call or deliver)(name, port), names))


def ask(path: str, port: int) -> float:
    began = time.monotonic()
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    line.request("GET", path)
    assert line.getresponse().status == 200
    line.close()
    return time.monotonic() - began


def deliver(id_: str, port: int) -> float:
    told = {
        "id": "Y2lz",
        "name": "interchange messages",
        "targetUrl": f"https://airflow.example{PATH}",
        "resource": "messages",
        "event": "created",
        "createdBy": "B" * 80,
        "actorId": "A" * 80,
        "data": {"id": id_, "roomId": "R" * 80, "personId": "A" * 80, "created": "2031-03-01T09:15:00.120Z"},
    }
    body = json.dumps(told).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Spark-Signature": hmac.digest(SECRET.encode(), body, "sha1").hex(),
    }
    began = time.monotonic()
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    line.request("POST", PATH, body, headers)
    status = line.getresponse().status
    line.close()
    assert status == 204, f"HTTP {status}"
    return time.monotonic() - began


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at, "runs are missing"
        time.sleep(0.1)


if __name__ == "__main__":
    main()
