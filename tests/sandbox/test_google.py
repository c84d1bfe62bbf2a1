"""The simulated Google by itself, and with the provider's own client."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from include.sandbox.connections import GOOGLE_ACCOUNT, as_environment, connections, google_key
from include.sandbox.core import Sandbox
from include.sandbox.vendors import vendor_classes

READ = "https://www.googleapis.com/auth/spreadsheets.readonly"
ROWS: list[list[Any]] = [
    ["Ann", "Ito", {"date": "2026-11-02"}, "", ""],
    [],
    ["Bob", "", 5, True, {"formula": "=1+1", "value": 2}],
    ["", ""],
]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(vendor_classes(["google"])) as running:
        running.vendor("google").seed({"rows": ROWS})
        yield running


def assertion(sandbox: Sandbox, *, key: str = "", **claims: Any) -> str:
    now = int(time.time())
    filled = {
        "iss": GOOGLE_ACCOUNT,
        "scope": READ,
        "iat": now,
        "exp": now + 3600,
        "aud": "elsewhere",
        **claims,
    }
    return jwt.encode(filled, key or google_key(sandbox)["private_key"], algorithm="RS256")


def token(sandbox: Sandbox, assertion_: str) -> httpx.Response:
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion_}
    return httpx.post(f"{sandbox.url('google')}/token", data=form)


def get(sandbox: Sandbox, path: str, *, scope: str = READ, **params: Any) -> httpx.Response:
    given = token(sandbox, assertion(sandbox, scope=scope)).json()["access_token"]
    return httpx.get(
        f"{sandbox.url('google')}/v4/spreadsheets/{path}",
        params=params,
        headers={"Authorization": f"Bearer {given}"},
    )


def values(sandbox: Sandbox, named: str, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = get(sandbox, f"report/values/{named}", **params).raise_for_status().json()
    return answer


def test_gives_rows_as_they_are_shown_without_trailing_empties(sandbox: Sandbox) -> None:
    assert values(sandbox, "Sheet1!A1:F") == {
        "range": "Sheet1!A1:F1000",
        "majorDimension": "ROWS",
        "values": [["Ann", "Ito", "02/11/2026"], [], ["Bob", "", "5", "TRUE", "2"]],
    }


@pytest.mark.parametrize(
    ("params", "cells"),
    [
        ({"valueRenderOption": "UNFORMATTED_VALUE"}, [46328, 5]),
        (
            {"valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "FORMATTED_STRING"},
            ["02/11/2026", 5],
        ),
        ({"dateTimeRenderOption": "SERIAL_NUMBER"}, ["02/11/2026", "5"]),
    ],
)
def test_renders_as_asked(sandbox: Sandbox, params: dict[str, str], cells: list[Any]) -> None:
    found = values(sandbox, "Sheet1!C1:C3", **params)["values"]
    assert [found[0][0], found[2][0]] == cells


def test_a_serial_number_counts_from_1899(sandbox: Sandbox) -> None:
    assert dt.date(1899, 12, 30) + dt.timedelta(days=46328) == dt.date(2026, 11, 2)


def test_the_locale_of_the_spreadsheet_decides_how_days_look(sandbox: Sandbox) -> None:
    sandbox.vendor("google").seed({"date_format": "%m/%d/%Y"})
    assert values(sandbox, "Sheet1!C1")["values"] == [["11/02/2026"]]


def test_columns_formulas_and_several_ranges(sandbox: Sandbox) -> None:
    assert values(sandbox, "Sheet1!A1:B3", majorDimension="COLUMNS")["values"] == [
        ["Ann", "", "Bob"],
        ["Ito"],
    ]
    assert values(sandbox, "E3:E3", valueRenderOption="FORMULA")["values"] == [["=1+1"]]
    answer = get(sandbox, "report/values:batchGet", ranges=["A1:A1", "B1:B1"]).json()
    assert [found["values"] for found in answer["valueRanges"]] == [[["Ann"]], [["Ito"]]]


def test_a_range_without_anything_has_no_values(sandbox: Sandbox) -> None:
    assert "values" not in values(sandbox, "Sheet1!A2:F2")


def test_titles_are_quoted_and_encoded(sandbox: Sandbox) -> None:
    sandbox.vendor("google").seed({"title": "It's new"})
    assert values(sandbox, "'It''s new'!A1:A1")["range"] == "'It''s new'!A1:A1"
    assert values(sandbox, "'It''s new'")["values"][0][0] == "Ann"


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("report/values/Sheet 9!A1:B2", 400, "INVALID_ARGUMENT"),
        ("report/values/Sheet1!A1001:F1002", 400, "INVALID_ARGUMENT"),
        ("other/values/Sheet1!A1", 404, "NOT_FOUND"),
    ],
)
def test_errors_are_googles(sandbox: Sandbox, path: str, status: int, name: str) -> None:
    answer = get(sandbox, path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (status, status, name)


def test_wants_a_token_of_its_own_with_the_right_and_a_share(sandbox: Sandbox) -> None:
    url = f"{sandbox.url('google')}/v4/spreadsheets/report/values/A1:A1"
    assert httpx.get(url).status_code == 403
    assert httpx.get(url, headers={"Authorization": "Bearer other"}).status_code == 401
    assert (
        get(sandbox, "report/values/A1:A1", scope="https://www.googleapis.com/auth/gmail").status_code == 403
    )
    sandbox.vendor("google").seed({"shared": False})
    assert get(sandbox, "report/values/A1:A1").status_code == 403


@pytest.mark.parametrize(
    "claims", [{"iss": "other@example.com"}, {"iat": 1_000_000_000, "exp": 1_000_003_600}, {"exp": 1}]
)
def test_gives_no_token_to_others(sandbox: Sandbox, claims: dict[str, Any]) -> None:
    answer = token(sandbox, assertion(sandbox, **claims))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_checks_the_signature(sandbox: Sandbox) -> None:
    foreign = sandbox.authority.client("somebody-else").key.read_text()
    assert token(sandbox, assertion(sandbox, key=foreign)).status_code == 400


def test_counts_reads_by_the_minute(sandbox: Sandbox) -> None:
    sandbox.vendor("google").set_options({"reads_per_minute": 1})
    assert get(sandbox, "report/values/A1:A1").status_code == 200
    answer = get(sandbox, "report/values/A1:A1")
    assert (answer.status_code, answer.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    sandbox.clock.advance(61)
    assert get(sandbox, "report/values/A1:A1").status_code == 200


def test_a_person_may_edit_the_sheet(sandbox: Sandbox) -> None:
    google = sandbox.vendor("google")
    google.seed({"rows": [["b", "2"], ["a", "1"]]})
    google.seed({"insert": {"at": 1, "rows": [["c", "3"]]}, "append": [["d", "4"]]})
    assert values(sandbox, "A1:B")["values"] == [["b", "2"], ["c", "3"], ["a", "1"], ["d", "4"]]
    google.seed({"sort_by": 0})
    google.seed({"remove_column": 0})
    assert values(sandbox, "A1:B")["values"] == [["1"], ["2"], ["3"], ["4"]]
    with pytest.raises(ValueError, match="unknown seeds"):
        google.seed({"colour": "red"})


def test_the_providers_own_client_reads_it(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.google.suite.hooks.sheets import GSheetsHook

    for name, text in as_environment(connections(sandbox)).items():
        fields = json.loads(text)
        fields["extra"]["scope"] = READ
        monkeypatch.setenv(name, json.dumps(fields))
    hook = GSheetsHook(gcp_conn_id="google_cloud_default", api_endpoint=sandbox.url("google"))

    assert hook.get_values("report", "Sheet1!A1:B1") == [["Ann", "Ito"]]
