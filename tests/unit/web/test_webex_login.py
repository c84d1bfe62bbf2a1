"""Logging in to Webex: who may, whose log-in it is, what is kept, and that nobody can finish another's."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from include.sandbox.connections import connections
from include.sandbox.core import Sandbox
from interchange.hooks.webex import WebexHook
from interchange.ledger import Ledger
from interchange.ledger.connection import open_ledger
from interchange.ledger.tokens import TokenVault
from interchange.web import webex_login
from tests.unit.web.conftest import OPERATOR, OTHER_OPERATOR, SITE, VIEWER, Shown, Visitor

LOGIN, CALLBACK = "/interchange/webex/login", "/interchange/webex/callback"
HOST = "roulette@example.test"

Visit = Callable[..., Visitor]


@pytest.fixture
def database() -> str:
    """What differs between databases is tested with the vault and with claims."""
    return "sqlite"


class Webex:
    """The sandbox's Webex, with an integration that leads back to our site."""

    def __init__(self, sandbox: Sandbox, airflow: pytest.MonkeyPatch) -> None:
        self._sandbox = sandbox
        self._airflow = airflow
        self._vendor = sandbox.vendor("webex")
        self.redirects(f"{SITE}{CALLBACK}")
        self.connect()

    def redirects(self, address: str) -> None:
        self._vendor.seed({"clients": {"id": "sandbox-webex-integration", "redirect_uris": [address]}})

    def switch(self, **options: Any) -> None:
        self._vendor.set_options(options)

    def connect(self, *, extra: dict[str, str] | None = None, **changes: str) -> None:
        fields = connections(self._sandbox)["webex_meetings"]
        kept = {name: value for name, value in fields["extra"].items() if name == "ca_bundle"}
        fields = {**fields, **changes, "extra": {**kept, **(extra or {})}}
        self._airflow.setenv("AIRFLOW_CONN_WEBEX_MEETINGS", json.dumps(fields))

    def visited(self, address: str) -> str:
        """Where Webex sends a browser that comes to this address."""
        trust = ssl.create_default_context(cafile=str(self._sandbox.ca_bundle))
        answer = httpx.get(address, verify=trust, trust_env=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def calls(self, operation: str) -> int:
        return sum(entry["operation"] == operation for entry in self._sandbox.requests.entries())


@pytest.fixture
def webex(sandbox: Sandbox, ledger: Ledger, airflow: pytest.MonkeyPatch) -> Webex:
    return Webex(sandbox, airflow)


def kept() -> Any:
    hook = WebexHook("webex_meetings", vault=TokenVault(open_ledger(owner="a/task")))
    return hook.keeper().stored()


def path_of(address: str) -> str:
    assert address.startswith(SITE)
    return address.removeprefix(SITE)


def begun(webex: Webex, visitor: Visitor) -> str:
    """Log in, up to the address that Webex leads back to."""
    answer = visitor.open(LOGIN)
    assert answer.status == 303, answer.text
    return path_of(webex.visited(answer.headers["location"]))


def test_a_person_logs_in_and_is_told_as_whom(
    webex: Webex, operator: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Defect E24: `spark:all spark:kms meeting:recordings_read` were asked for."""
    asked = operator.open(LOGIN)

    address = urlsplit(asked.headers["location"])
    query = parse_qs(address.query)
    assert address.path == "/v1/authorize"
    assert query["client_id"] == ["sandbox-webex-integration"]
    assert query["redirect_uri"] == [f"{SITE}{CALLBACK}"]
    assert query["scope"] == ["meeting:schedules_read meeting:schedules_write spark:people_read"]
    cookie = asked.headers["set-cookie"]
    for part in ("Max-Age=600", "HttpOnly", "SameSite=lax", "Path=/interchange/webex"):
        assert part in cookie
    secret = operator.client.cookies["interchange_webex_login"]
    assert secret not in asked.headers["location"]
    assert "olga" not in asked.headers["location"]

    shown = operator.open(path_of(webex.visited(asked.headers["location"])))

    assert shown.status == 200
    tokens = kept()
    assert HOST in shown.message()
    assert f"{datetime.fromtimestamp(tokens.refresh_ends, UTC):%Y-%m-%d %H:%M}" in shown.text
    for secret in (tokens.access_token, tokens.refresh_token, "sandbox-webex-secret-0001"):
        assert secret not in shown.answer.text
        assert secret not in caplog.text
    assert HOST not in caplog.text
    assert "interchange_webex_login" not in operator.client.cookies


def test_tasks_use_what_was_kept(webex: Webex, operator: Visitor) -> None:
    """Defects E18 and E20: the first run after a log-in got a 401, and the next start could not read its file."""
    operator.open(begun(webex, operator))
    hook = WebexHook("webex_meetings", vault=TokenVault(open_ledger(owner="a/task")))
    assert hook.me().addresses == (HOST,)
    assert webex.calls("access_token") == 1


class TestWho:
    def test_who_may_not_edit_connections_may_not_log_in(self, webex: Webex, viewer: Visitor) -> None:
        """Defect E22: whoever knew the address became the host."""
        for path in (LOGIN, CALLBACK):
            shown = viewer.open(path)
            assert shown.status == 403
            assert "right to edit the connection webex_meetings" in shown.message()

    def test_who_is_not_logged_in_to_airflow_does_that_first(self, webex: Webex, visit: Visit) -> None:
        shown = visit().open(LOGIN)
        assert shown.status == 303
        assert shown.headers["location"].startswith("/api/v2/auth/login?next=%2Finterchange%2Fwebex%2Flogin")
        assert "set-cookie" not in shown.headers

    def test_the_right_is_asked_for_again_on_the_way_back(self, webex: Webex, visit: Visit) -> None:
        operator = visit(OPERATOR)
        back = begun(webex, operator)
        viewer = visit(VIEWER)
        viewer.client.cookies.update(
            {"interchange_webex_login": operator.client.cookies["interchange_webex_login"]}
        )
        assert viewer.open(back).status == 403
        assert kept() is None


class TestNobodyElses:
    def refused(self, shown: Shown) -> None:
        assert shown.status == 403
        assert "not begun here" in shown.message()

    def test_without_the_browser_that_began_it(self, webex: Webex, operator: Visitor) -> None:
        """Defect E22: no state; somebody makes an admin's browser finish a log-in of their own."""
        back = begun(webex, operator)
        operator.client.cookies.delete("interchange_webex_login")
        self.refused(operator.open(back))
        assert (kept(), webex.calls("access_token")) == (None, 0)

    def test_with_a_cookie_of_another_log_in(self, webex: Webex, visit: Visit) -> None:
        mine, theirs = visit(OPERATOR), visit(OPERATOR)
        begun(webex, mine)
        self.refused(mine.open(begun(webex, theirs)))
        assert kept() is None

    def test_of_another_person(self, webex: Webex, visit: Visit) -> None:
        mine, theirs = visit(OPERATOR), visit(OTHER_OPERATOR)
        back = begun(webex, theirs)
        mine.client.cookies.update(
            {"interchange_webex_login": theirs.client.cookies["interchange_webex_login"]}
        )
        self.refused(mine.open(back))
        assert kept() is None

    @pytest.mark.parametrize("state", ["", "x", "IjAi.aaaa.bbbb"])
    def test_with_a_state_that_is_not_ours(self, webex: Webex, operator: Visitor, state: str) -> None:
        begun(webex, operator)
        self.refused(operator.open(CALLBACK, code="x", state=state))
        self.refused(operator.open(CALLBACK, code="x"))

    def test_too_late(self, webex: Webex, operator: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        back = begun(webex, operator)
        monkeypatch.setattr(webex_login, "STATE_LIFE_S", -1)
        self.refused(operator.open(back))

    def test_twice(self, webex: Webex, operator: Visitor) -> None:
        back = begun(webex, operator)
        secret = operator.client.cookies["interchange_webex_login"]
        assert operator.open(back).status == 200
        before = kept()
        # The browser has lost its cookie; somebody who has seen it all plays it again.
        self.refused(operator.open(back))
        operator.client.cookies.update({"interchange_webex_login": secret})
        self.refused(operator.open(back))
        assert kept() == before
        assert webex.calls("access_token") == 1

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_another_site_cannot_begin_it(self, webex: Webex, operator: Visitor, site: str) -> None:
        answer = operator.client.get(LOGIN, headers={"accept": "text/html", "sec-fetch-site": site})
        shown = Shown(answer)
        assert shown.status == 200
        assert "set-cookie" not in shown.headers
        assert shown.link("Log in to Webex") == LOGIN


class TestRefusals:
    def failed(self, shown: Shown, words: str) -> None:
        assert shown.status == 400
        assert words in shown.message()
        assert shown.link("Begin again") == LOGIN
        assert kept() is None

    def test_the_person_says_no(self, webex: Webex, operator: Visitor) -> None:
        webex.switch(logs_in="")
        self.failed(operator.open(begun(webex, operator)), "access was denied")

    def test_the_integration_lacks_a_scope(self, webex: Webex, operator: Visitor) -> None:
        webex.connect(extra={"scopes": "meeting:admin_schedule_write"})
        self.failed(operator.open(begun(webex, operator)), "asked for: meeting:admin_schedule_write")

    def test_the_clients_secret_is_wrong(self, webex: Webex, operator: Visitor) -> None:
        back = begun(webex, operator)
        webex.connect(password="a-wrong-secret-0001")
        shown = operator.open(back)
        self.failed(shown, "check login and password of connection webex_meetings")
        assert "a-wrong-secret-0001" not in shown.answer.text

    def test_the_code_is_too_old(self, webex: Webex, operator: Visitor) -> None:
        webex.switch(code_life_s=0)
        self.failed(operator.open(begun(webex, operator)), "does not take the log-in")

    def test_webex_leads_back_with_nothing(self, webex: Webex, operator: Visitor) -> None:
        state = parse_qs(urlsplit(begun(webex, operator)).query)["state"][0]
        self.failed(operator.open(CALLBACK, state=state), "the code none")
        assert webex.calls("access_token") == 0

    def test_webex_cannot_be_reached(self, webex: Webex, operator: Visitor) -> None:
        back = begun(webex, operator)
        webex.connect(host="https://127.0.0.1:1/v1")
        shown = operator.open(back)
        assert shown.status == 400
        assert kept() is None

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            ("<script>alert(1)</script>", "the code none"),
            ("server_error", "the code server_error"),
            ("", "the code none"),
        ],
    )
    def test_what_webex_says_is_not_repeated_blindly(
        self, webex: Webex, operator: Visitor, error: str, words: str
    ) -> None:
        state = parse_qs(urlsplit(begun(webex, operator)).query)["state"][0]
        shown = operator.open(CALLBACK, state=state, error=error, error_description="<b>Send money</b>")
        self.failed(shown, words)
        assert "money" not in shown.answer.text
        assert "<script>alert" not in shown.answer.text


def test_webex_need_not_say_who_it_was(webex: Webex, operator: Visitor) -> None:
    webex.connect(extra={"scopes": "meeting:schedules_read meeting:schedules_write"})
    shown = operator.open(begun(webex, operator))
    assert shown.status == 200
    assert "does not say whose it is" in shown.message()
    assert kept() is not None


def test_below_a_path_and_over_https(webex: Webex, visit: Visit, airflow: pytest.MonkeyPatch) -> None:
    base = "https://flow.example.org/airflow"
    airflow.setenv("AIRFLOW__API__BASE_URL", f"{base}/")
    webex.redirects(base + CALLBACK)
    operator = visit(OPERATOR, root="/airflow")
    answer = operator.open(LOGIN)
    assert parse_qs(urlsplit(answer.headers["location"]).query)["redirect_uri"] == [base + CALLBACK]
    assert "Path=/airflow/interchange/webex;" in answer.headers["set-cookie"]
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("AIRFLOW__API__BASE_URL", "[api] base_url is empty"),
        ("AIRFLOW__CORE__FERNET_KEY", "No Fernet key is configured"),
    ],
)
def test_what_is_missing_is_told(
    webex: Webex, operator: Visitor, airflow: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    airflow.setenv(variable, "")
    shown = operator.open(LOGIN)
    if shown.status == 303:
        shown = operator.open(path_of(webex.visited(shown.headers["location"])))
    assert shown.status == 500
    assert words in shown.message()


def test_a_connection_whose_token_is_given_needs_no_log_in(webex: Webex, operator: Visitor) -> None:
    webex.connect(extra={"access_token": "an-access-token-0001"})
    shown = operator.open(LOGIN)
    assert shown.status == 500
    assert "login (the client id) is missing" in shown.message()
