"""The app around the pages: what it costs, what it sends along, where it leads, and how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from interchange.ledger import EffectRef, Ledger
from interchange.operators.links import LedgerLink
from interchange.provider_info import get_provider_info
from tests.unit.web.conftest import ESB, LEDGER, OPERATOR, OUR_PAGE, Visitor

ROOT = Path(__file__).resolve().parents[3]
Visit = Callable[..., Visitor]


def test_loading_the_plugin_loads_nothing_of_the_pages() -> None:
    # Each task's process loads plugins, too.
    code = (
        "import interchange_plugin, json, sys;"
        "plugin = interchange_plugin.InterchangePlugin;"
        "print(json.dumps([sorted(sys.modules), plugin.external_views, plugin.fastapi_apps[0]['url_prefix']]))"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    modules, views, prefix = json.loads(done.stdout.splitlines()[-1])
    assert "interchange.web.app" in modules
    heavy = ("fastapi", "interchange.ledger", "interchange.roulette", "interchange.web.ledger", "starlette")
    assert [name for name in modules if name.startswith(heavy)] == []
    assert [(view["destination"], view["category"], view["url_route"]) for view in views] == [
        ("nav", "browse", "interchange-ledger"),
        ("nav", "browse", "interchange-roulette"),
    ]
    assert [f"/{view['href']}" for view in views] == [LEDGER, "/interchange/roulette"]
    assert prefix == "/interchange"


def test_every_answer_keeps_the_browser_in_bounds(
    visit: Visit, operator: Visitor, quarantined: EffectRef
) -> None:
    form = operator.effect(quarantined).form()
    answers = {
        "list": operator.open(),
        "effect": operator.effect(quarantined),
        "missing effect": operator.open(f"{LEDGER}/effect"),
        "missing page": operator.open("/interchange/nothing"),
        "decision": operator.post({**form, "reason": "well"}),
        "refusal": operator.post({**form, "reason": "well"}, {}),
        "log-in": visit().open(),
        "style": operator.open("/interchange/static/page.css"),
        "script": operator.open("/interchange/static/page.js"),
    }
    found = {name: answer.status for name, answer in answers.items()}
    wanted = {"missing effect": 404, "missing page": 404, "decision": 303, "refusal": 403, "log-in": 303}
    assert found == {name: wanted.get(name, 200) for name in answers}
    for name, answer in answers.items():
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "style-src": "'self'",
            "script-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'self'",
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        kept = "no-cache" if name in ("style", "script") else "no-store"
        assert answer.headers["cache-control"] == kept, name


@pytest.mark.parametrize("root", ["", "/airflow"])
def test_all_addresses_are_our_own_below_airflows_path(
    visit: Visit, quarantined: EffectRef, unknown: EffectRef, root: str
) -> None:
    operator = visit(OPERATOR, root=root)
    pages = [operator.open(), operator.effect(quarantined), operator.effect(unknown)]
    for page in pages:
        assert page.status == 200
        addresses = page.tree.xpath("//@href | //@src | //@action")
        ours = [address for address in addresses if address.startswith(f"{root}/interchange/")]
        assert len(ours) > 3
        others = set(addresses) - set(ours)
        assert others - {f"{root}/"} == {
            f"{root}/dags/{ESB}/runs/scheduled__2027-03-01T08%3A05%3A00%2B00%3A00"
        }
        # The policy lets no style or script run that stands in the page itself.
        assert page.tree.xpath("//style | //@style | //script[not(@src)]") == []
        for address in ours:
            if not address.endswith(("replay", "settle")):
                assert operator.client.get(address).status_code == 200, address
    done = operator.post({**pages[1].form(), "reason": "well"})
    assert operator.open(done.headers["location"]).message().startswith("Planned:")
    login = visit(root=root).open().headers["location"]
    assert login.startswith(f"{root}/api/v2/auth/login?next=")


def test_a_tab_of_its_own_leads_back_to_airflow(operator: Visitor, ledger: Ledger) -> None:
    framed = {"sec-fetch-dest": "iframe"}
    assert "← Airflow" in operator.client.get(LEDGER).text
    assert "← Airflow" not in operator.client.get(LEDGER, headers=framed).text


@pytest.mark.parametrize(
    ("connection", "status", "words"),
    [
        (
            {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "x", "password": "a-secret"},
            503,
            "its database cannot be reached or is locked. Try again in a while.",
        ),
        ({"conn_type": "mysql", "password": "a-secret"}, 500, "the ledger needs sqlite or postgres"),
    ],
    ids=["unreachable", "wrong"],
)
def test_without_a_ledger_the_page_says_why(
    operator: Visitor,
    airflow: pytest.MonkeyPatch,
    connection: dict[str, object],
    status: int,
    words: str,
) -> None:
    airflow.setenv("AIRFLOW_CONN_INTERCHANGE_DB", json.dumps(connection))
    for page in (operator.open(), operator.open(f"{LEDGER}/effect", ref="a/b/c")):
        assert page.status == status
        assert words in page.message()
        assert "a-secret" not in page.answer.text
        assert "Traceback" not in page.answer.text


def test_a_decision_without_a_ledger_says_why(
    operator: Visitor, airflow: pytest.MonkeyPatch, quarantined: EffectRef
) -> None:
    form = {**operator.effect(quarantined).form(), "reason": "well"}
    lost = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "x"}
    airflow.setenv("AIRFLOW_CONN_INTERCHANGE_DB", json.dumps(lost))
    answer = operator.post(form, OUR_PAGE)
    assert answer.status == 503
    assert "cannot be reached" in answer.message()


class TestLink:
    @pytest.mark.parametrize(
        ("base_url", "link"),
        [
            ("http://localhost:8080", "/plugin/interchange-ledger/interchange/ledger?workflow=knack_to_esb"),
            (
                "https://flow.example.org/airflow/",
                "/airflow/plugin/interchange-ledger/airflow/interchange/ledger?workflow=knack_to_esb",
            ),
        ],
    )
    def test_leads_to_the_workflows_effects(
        self, monkeypatch: pytest.MonkeyPatch, base_url: str, link: str
    ) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
        task = SimpleNamespace(dag_id=ESB, run_id="r", task_id="send")
        assert LedgerLink().get_link(task, ti_key=task) == link

    def test_is_known_to_airflow(self) -> None:
        assert "interchange.operators.links.LedgerLink" in get_provider_info()["extra-links"]
