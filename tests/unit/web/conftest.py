"""The web app behind Airflow's own log-in and rights, and a ledger that its connection leads to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow import settings
from airflow.api_fastapi.app import get_auth_manager, init_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.auth.middlewares.refresh_token import JWTRefreshMiddleware
from airflow.models.base import Base
from airflow.models.connection import Connection
from airflow.models.dag import DagModel, clear_team_name_cache
from airflow.models.dagbundle import DagBundleModel
from airflow.models.revoked_token import RevokedToken
from airflow.models.team import Team, dag_bundle_team_association_table
from airflow.models.variable import Variable
from airflow.sdk.crypto import get_fernet
from fastapi import FastAPI
from lxml import html
from sqlalchemy import make_url
from starlette.testclient import TestClient

from interchange.ledger import EffectRef, Ledger, RunRef
from interchange.ledger.database import make_engine
from interchange.web.app import WebApp
from tests.unit.vendors import FERNET_KEY

SITE = "http://airflow.example"
# Which site a browser says that a form comes from.
OUR_PAGE = {"origin": SITE, "sec-fetch-site": "same-origin"}
LEDGER = "/interchange/ledger"
ESB, EXPORTS = "knack_to_esb", "qualtrics_to_onedrive"
RUN = RunRef(ESB, "scheduled__2027-03-01T08:05:00+00:00")
SECRET = "a-secret-of-the-tests-that-is-long-enough-for-an-hmac-with-sha-512-0123456789"

User = SimpleAuthManagerUser
OPERATOR = User(username="olga", role="op")
OTHER_OPERATOR = User(username="omar", role="op")
VIEWER = User(username="vera", role="viewer")


@pytest.fixture
def airflows_tables() -> Iterator[None]:
    """Of Airflow's database, what log-in and rights look at: empty."""
    models = (DagModel, DagBundleModel, Team, RevokedToken, Connection, Variable)
    tables = [Base.metadata.tables[model.__tablename__] for model in models]
    tables.append(dag_bundle_team_association_table)
    Base.metadata.create_all(settings.engine, tables=tables)
    yield
    Base.metadata.drop_all(settings.engine, tables=tables)


@pytest.fixture
def airflow(
    airflows_tables: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Iterator[pytest.MonkeyPatch]:
    """An API server's configuration, and its auth manager."""
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "olga:op,omar:op,vera:viewer")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(tmp_path / "passwords"))
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", SECRET)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", SITE)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", FERNET_KEY)
    get_fernet.cache_clear()
    clear_team_name_cache()
    purge_cached_app()
    init_auth_manager()
    yield monkeypatch
    purge_cached_app()
    clear_team_name_cache()
    get_fernet.cache_clear()


@pytest.fixture
def ledger(ledger_url: str, airflow: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The ledger of a task; Airflow's connection leads the page to the same database."""
    url = make_url(ledger_url)
    facts: dict[str, Any] = {"conn_type": url.get_backend_name(), "host": url.database}
    if facts["conn_type"] == "postgresql":
        facts |= {"host": url.host or url.query.get("host"), "port": url.port, "schema": url.database}
        facts |= {"login": url.username, "password": url.password}
    airflow.setenv("AIRFLOW_CONN_INTERCHANGE_DB", json.dumps(facts))
    engine = make_engine(ledger_url)
    yield Ledger(engine, owner="a/task")
    engine.dispose()


class Shown:
    """What a browser has got."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.status: int = answer.status_code
        self.headers = answer.headers
        self.tree = html.fromstring(answer.text) if answer.text else html.Element("html")

    @property
    def text(self) -> str:
        """The text a person reads."""
        return " ".join(self.tree.text_content().split())

    @property
    def rows(self) -> list[list[str]]:
        """The cells of each row of the first table, without its heads."""
        rows = self.tree.xpath("(//table)[1]/tbody/tr[not(contains(@class, 'group'))]")
        return [[" ".join(cell.text_content().split()) for cell in row] for row in rows]

    @property
    def keys(self) -> list[str]:
        """The keys of the effects in the list, in order."""
        return [name.split(" ", 3)[3] for name, *_ in self.rows]

    @property
    def groups(self) -> list[str]:
        heads = self.tree.xpath("//tr[@class='group']")
        return [" ".join(head.text_content().split()) for head in heads]

    def link(self, text: str) -> str | None:
        found = self.tree.xpath("//a[contains(., $text)]", text=text)
        return found[0].get("href") if found else None

    def form(self) -> dict[str, str]:
        """The hidden fields of the page's decision, and where it is sent."""
        (form,) = self.tree.xpath("//form[@method='post']")
        fields = {field.get("name"): field.get("value") for field in form.xpath(".//input[@type='hidden']")}
        return {"action": form.get("action"), **fields}

    @property
    def has_form(self) -> bool:
        return bool(self.tree.xpath("//form[@method='post']"))

    def message(self) -> str:
        """What the page says about the decision just made."""
        found = self.tree.xpath("//*[@role='status' or @role='alert']")
        return " ".join(found[0].text_content().split()) if found else ""


class Visitor:
    """A person with a browser."""

    def __init__(self, client: TestClient, root: str = "") -> None:
        self.client = client
        self.root = root

    def open(self, path: str = LEDGER, **query: str) -> Shown:
        address = path if path.startswith(self.root + "/") else self.root + path
        answer = self.client.get(address, params=query or None, headers={"accept": "text/html,*/*"})
        return Shown(answer)

    def effect(self, ref: EffectRef) -> Shown:
        return self.open(f"{LEDGER}/effect", ref=str(ref))

    def post(self, fields: dict[str, str], headers: dict[str, str] | None = None) -> Shown:
        """Send a form as our own page does, or with other headers."""
        data = {name: value for name, value in fields.items() if name != "action"}
        return Shown(
            self.client.post(fields["action"], data=data, headers=OUR_PAGE if headers is None else headers)
        )

    def decide(self, ref: EffectRef, **fields: str) -> Shown:
        """Fill in the form on an effect's page: the page it leads to."""
        answer = self.post({**self.effect(ref).form(), **fields})
        assert answer.status == 303, answer.text
        return self.open(answer.headers["location"])


@pytest.fixture
def visit(airflow: pytest.MonkeyPatch) -> Iterator[Callable[..., Visitor]]:
    """Come to the app, mounted as Airflow's API server mounts it; without a user: not logged in."""
    clients: list[TestClient] = []

    def come(user: User | None = None, *, root: str = "") -> Visitor:
        server = FastAPI(root_path=root)
        server.mount("/interchange", WebApp())
        server.add_middleware(JWTRefreshMiddleware)
        client = TestClient(server, base_url=SITE, follow_redirects=False)
        if user is not None:
            client.cookies.set("_token", get_auth_manager().generate_jwt(user))
        clients.append(client)
        return Visitor(client, root)

    yield come
    for client in clients:
        client.close()


@pytest.fixture
def operator(visit: Callable[..., Visitor]) -> Visitor:
    """May trigger DAGs."""
    return visit(OPERATOR)


@pytest.fixture
def viewer(visit: Callable[..., Visitor]) -> Visitor:
    """May only look."""
    return visit(VIEWER)


@pytest.fixture
def quarantined(ledger: Ledger) -> EffectRef:
    ref = EffectRef(ESB, "message", "data-tracker/5f2a/READY")
    ledger.plan(ref, run=RUN)
    ledger.quarantine(ref, field="csr_activity_code", reason="no code for 'Identify Aset'")
    return ref


@pytest.fixture
def unknown(ledger: Ledger) -> EffectRef:
    ref = EffectRef(ESB, "message", "data-tracker/6b01/READY")
    ledger.begin(ref, lease_s=60, run=RUN)
    ledger.mark_unknown(ref, "the answer was lost")
    return ref


@pytest.fixture
def lapsed(ledger: Ledger, expire: Callable[[EffectRef], None]) -> EffectRef:
    """Begun by a process that is gone: its claim has run out, and nobody has noticed yet."""
    ref = EffectRef(ESB, "message", "data-tracker/7c02/READY")
    ledger.begin(ref, lease_s=60, run=RUN)
    expire(ref)
    return ref


@pytest.fixture
def expire(ledger: Ledger) -> Callable[[EffectRef], None]:
    """Let the claim on an effect run out at once, as if its lease had passed."""

    def run(ref: EffectRef) -> None:
        with ledger.engine.execution_options(interchange_write=True).begin() as connection:
            connection.exec_driver_sql(
                "UPDATE effects SET claim_expires_at = '2001-01-01 00:00:00.000000'"
                f" WHERE workflow = '{ref.workflow}' AND kind = '{ref.kind}' AND key = '{ref.key}'"
            )

    return run
