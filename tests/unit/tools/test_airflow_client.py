"""The REST client against a server that plays back answers; tests/dags uses it with a real Airflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tools.airflow_client import AirflowClient, AirflowError
from tools.processes import LOCALHOST

Answer = tuple[int, Any]


class Playback(ThreadingHTTPServer):
    """Answers each "METHOD /path" with the next of its answers, the last one again and again."""

    def __init__(self) -> None:
        super().__init__((LOCALHOST, 0), Handler)
        self.answers: dict[str, list[Answer]] = {"POST /auth/token": [(201, {"access_token": "t1"})]}
        self.seen: list[tuple[str, str | None, Any]] = []

    def calls(self, name: str) -> list[Any]:
        return [body for seen, _, body in self.seen if seen == name]


class Handler(BaseHTTPRequestHandler):
    server: Playback

    def answer(self) -> None:
        name = f"{self.command} {self.path.partition('?')[0]}"
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.seen.append((name, self.headers.get("Authorization"), body))
        answers = self.server.answers.get(name, [(404, {"detail": f"unexpected {name}"})])
        status, content = answers.pop(0) if len(answers) > 1 else answers[0]
        data = json.dumps(content).encode() if content is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the names http.server asks for

    def log_message(self, *_: object) -> None:
        """Requests are recorded, not printed."""


@pytest.fixture
def server() -> Iterator[Playback]:
    with Playback() as playing:
        thread = threading.Thread(target=playing.serve_forever, args=(0.01,))
        thread.start()
        yield playing
        playing.shutdown()
        thread.join()


@pytest.fixture
def client(server: Playback) -> Iterator[AirflowClient]:
    made = AirflowClient(f"http://{LOCALHOST}:{server.server_port}", user="admin", password="admin")
    yield made
    made.close()


def test_it_logs_in_once_and_again_when_the_token_has_run_out(
    server: Playback, client: AirflowClient
) -> None:
    server.answers["POST /auth/token"] = [(201, {"access_token": "t1"}), (201, {"access_token": "t2"})]
    server.answers["GET /api/v2/version"] = [(200, {}), (200, {}), (401, {}), (200, {"version": "3.3.2"})]
    answers = [client.request("GET", "/version") for _ in range(3)]
    assert answers[-1] == {"version": "3.3.2"}
    tokens = [token for name, token, _ in server.seen if name.startswith("GET")]
    assert tokens == ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t2"]


def test_a_second_401_is_an_error(server: Playback, client: AirflowClient) -> None:
    server.answers["GET /api/v2/version"] = [(401, {"detail": "no"})]
    with pytest.raises(AirflowError, match="HTTP 401"):
        client.request("GET", "/version")


def test_a_locked_database_is_tried_again(server: Playback, client: AirflowClient) -> None:
    locked = (500, {"detail": "(sqlite3.OperationalError) database is locked"})
    server.answers["POST /api/v2/backfills"] = [locked, locked, (200, {"id": 7})]
    assert client.request("POST", "/backfills", body={}) == {"id": 7}


def test_other_errors_are_not_tried_again_and_carry_airflows_words(
    server: Playback, client: AirflowClient
) -> None:
    server.answers["POST /api/v2/dags/d/dagRuns"] = [(400, {"detail": "Invalid input for param mode"})]
    with pytest.raises(AirflowError, match=r"POST /dags/d/dagRuns: HTTP 400: .*Invalid input for param mode"):
        client.trigger("d", {"mode": "x"})
    assert len(server.calls("POST /api/v2/dags/d/dagRuns")) == 1


def test_connections_are_created_or_replaced_in_one_call(server: Playback, client: AirflowClient) -> None:
    server.answers["PATCH /api/v2/connections"] = [(200, {"create": {"success": ["a", "b"], "errors": []}})]
    fields = {"a": {"conn_type": "http", "extra": {"x": 1}}, "b": {"conn_type": "http", "host": "h"}}
    assert client.import_connections(fields) == ["a", "b"]
    ((action,),) = (call["actions"] for call in server.calls("PATCH /api/v2/connections"))
    assert (action["action"], action["action_on_existence"]) == ("create", "overwrite")
    assert action["entities"] == [
        {"connection_id": "a", "conn_type": "http", "extra": '{"x": 1}'},
        {"connection_id": "b", "conn_type": "http", "host": "h", "extra": None},
    ]


def test_a_refused_connection_is_an_error_although_the_status_is_200(
    server: Playback, client: AirflowClient
) -> None:
    answer = {"create": {"success": [], "errors": [{"error": "no such type"}]}}
    server.answers["PATCH /api/v2/connections"] = [(200, answer)]
    with pytest.raises(AirflowError, match="no such type"):
        client.import_connections({"a": {"conn_type": "nonsense"}})


def test_a_dag_file_that_cannot_be_read_ends_the_wait_at_once(
    server: Playback, client: AirflowClient
) -> None:
    error = {"filename": "dags/x.py", "stack_trace": "SyntaxError: here"}
    server.answers["GET /api/v2/importErrors"] = [(200, {"import_errors": [error]})]
    with pytest.raises(AirflowError, match=r"dags/x\.py:\nSyntaxError: here"):
        client.wait_for_dags(["x"])


def test_waiting_in_vain_for_a_dag_names_it(server: Playback, client: AirflowClient) -> None:
    server.answers["GET /api/v2/importErrors"] = [(200, {"import_errors": []})]
    server.answers["GET /api/v2/dags"] = [(200, {"dags": [{"dag_id": "here"}]})]
    client.wait_for_dags(["here"])
    with pytest.raises(AirflowError, match=r"DAGs not read: \['there'\]"):
        client.wait_for_dags(["here", "there"], timeout_s=0.3)


def test_a_run_is_waited_for_until_it_has_ended(server: Playback, client: AirflowClient) -> None:
    states = [(200, {"state": state}) for state in ("queued", "running", "failed")]
    server.answers["GET /api/v2/dags/d/dagRuns/r"] = states
    assert client.wait_run("d", "r")["state"] == "failed"


def test_a_run_that_takes_too_long_is_reported_with_its_tasks(
    server: Playback, client: AirflowClient
) -> None:
    server.answers["GET /api/v2/dags/d/dagRuns/r"] = [(200, {"state": "running"})]
    tasks = [
        {"task_id": "a", "map_index": -1, "state": "success"},
        {"task_id": "b", "map_index": 2, "state": None},
    ]
    server.answers["GET /api/v2/dags/d/dagRuns/r/taskInstances"] = [(200, {"task_instances": tasks})]
    with pytest.raises(AirflowError, match=r"d r is running, its tasks: {'a': 'success', 'b\[2\]': None}"):
        client.wait_run("d", "r", timeout_s=0.3)


def test_a_wait_ends_at_once_when_airflow_itself_has_ended(server: Playback) -> None:
    server.answers["GET /api/v2/dags/d/dagRuns/r"] = [(200, {"state": "queued"})]

    def check() -> None:
        raise RuntimeError("scheduler has ended with exit code 1")

    with (
        closing(
            AirflowClient(
                f"http://{LOCALHOST}:{server.server_port}", user="admin", password="admin", check=check
            )
        ) as client,
        pytest.raises(RuntimeError, match="scheduler has ended"),
    ):
        client.wait_run("d", "r", timeout_s=60)
