"""The identity service, asked by MSAL and by hand."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from include.sandbox.certificates import Issued
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors.microsoft.identity import (
    ASSERTION_TYPE,
    DEFAULT_CLIENT,
    DEFAULT_SECRET,
    DEFAULT_TENANT,
)
from tests.sandbox.onedrive import SCOPE, OneDrive, problem, session


@pytest.fixture
def issued(microsoft: Sandbox) -> Issued:
    return microsoft.authority.client("onedrive")


def thumbprint(issued: Issued, algorithm: str = "sha1") -> bytes:
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    return hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest()


def application(
    microsoft: Sandbox, credential: Any, *, tenant: str = DEFAULT_TENANT, client_id: str = DEFAULT_CLIENT
) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        client_id,
        authority=f"{microsoft.url('identity')}/{tenant}",
        client_credential=credential,
        instance_discovery=False,
        http_client=session(microsoft.ca_bundle),
    )


def token_calls(microsoft: Sandbox) -> list[dict[str, Any]]:
    return microsoft.requests.entries(vendor="identity", operation="token")


def by_thumbprint(issued: Issued) -> dict[str, str]:
    return {"private_key": issued.key.read_text(), "thumbprint": thumbprint(issued).hex()}


def by_certificate(issued: Issued) -> dict[str, str]:
    return {"private_key": issued.key.read_text(), "public_certificate": issued.certificate.read_text()}


def by_both(issued: Issued) -> dict[str, str]:
    return by_thumbprint(issued) | by_certificate(issued)


class TestMsal:
    @pytest.mark.parametrize("credential", [by_thumbprint, by_certificate, by_both])
    def test_a_certificate_gives_a_token_that_graph_takes(
        self, onedrive: OneDrive, issued: Issued, credential: Callable[[Issued], dict[str, str]]
    ) -> None:
        app = application(onedrive.sandbox, credential(issued))

        result = app.acquire_token_for_client([SCOPE])

        assert result["expires_in"] == 3599
        assert result["token_source"] == "identity_provider"
        onedrive.token = result["access_token"]
        assert onedrive.call("GET", "").status_code == 200

    def test_a_secret_gives_a_token(self, microsoft: Sandbox) -> None:
        assert "access_token" in application(microsoft, DEFAULT_SECRET).acquire_token_for_client([SCOPE])

    def test_verify_works_where_the_environment_names_no_other_authority(
        self, microsoft: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)

        app = msal.ConfidentialClientApplication(
            DEFAULT_CLIENT,
            authority=f"{microsoft.url('identity')}/{DEFAULT_TENANT}",
            client_credential=DEFAULT_SECRET,
            instance_discovery=False,
            verify=str(microsoft.ca_bundle),
        )

        assert "access_token" in app.acquire_token_for_client([SCOPE])

    def test_the_second_token_comes_from_the_cache(self, microsoft: Sandbox) -> None:
        app = application(microsoft, DEFAULT_SECRET)

        sources = [app.acquire_token_for_client([SCOPE])["token_source"] for _ in range(2)]

        assert sources == ["identity_provider", "cache"]
        assert len(token_calls(microsoft)) == 1

    def test_a_token_of_less_than_five_minutes_is_fetched_anew(
        self, microsoft: Sandbox, issued: Issued
    ) -> None:
        microsoft.vendor("identity").set_options({"expires_in": 200})
        app = application(microsoft, by_certificate(issued))

        for _ in range(2):
            # MSAL sends the same assertion again: its jti is used twice.
            assert app.acquire_token_for_client([SCOPE])["expires_in"] == 200

        assert len(token_calls(microsoft)) == 2

    def test_a_wrong_secret_is_an_error_dict(self, microsoft: Sandbox) -> None:
        result = application(microsoft, "wrong").acquire_token_for_client([SCOPE])

        assert result["error"] == "invalid_client"
        assert result["error_codes"] == [7000215]
        assert result["error_description"].startswith("AADSTS7000215: ")
        assert {"timestamp", "trace_id", "correlation_id", "error_uri"} <= result.keys()

    def test_a_thumbprint_that_is_not_registered_is_700027(self, microsoft: Sandbox, issued: Issued) -> None:
        wrong = by_thumbprint(issued) | {"thumbprint": "ab" * 20}

        result = application(microsoft, wrong).acquire_token_for_client([SCOPE])

        assert (result["error"], result["error_codes"]) == ("invalid_client", [700027])

    def test_a_key_that_does_not_belong_to_the_certificate_is_700027(
        self, microsoft: Sandbox, issued: Issued
    ) -> None:
        other = microsoft.authority.client("other")
        mixed = {"private_key": other.key.read_text(), "thumbprint": thumbprint(issued).hex()}

        result = application(microsoft, mixed).acquire_token_for_client([SCOPE])

        assert result["error_codes"] == [700027]

    def test_a_clock_that_is_behind_is_700024(self, microsoft: Sandbox, issued: Issued) -> None:
        microsoft.vendor("identity").set_options({"clock_skew_s": 3600})

        result = application(microsoft, by_certificate(issued)).acquire_token_for_client([SCOPE])

        assert result["error_codes"] == [700024]

    def test_an_unknown_application_is_700016(self, microsoft: Sandbox) -> None:
        app = application(microsoft, DEFAULT_SECRET, client_id="nobody")

        result = app.acquire_token_for_client([SCOPE])

        assert (result["error"], result["error_codes"]) == ("unauthorized_client", [700016])

    def test_an_unknown_tenant_has_no_discovery_document(self, microsoft: Sandbox) -> None:
        with pytest.raises(ValueError, match="Unable to get authority configuration"):
            application(microsoft, DEFAULT_SECRET, tenant="nowhere.example")

    def test_a_scope_without_default_is_refused_once_and_then_from_the_cache(
        self, microsoft: Sandbox
    ) -> None:
        app = application(microsoft, DEFAULT_SECRET)

        results = [app.acquire_token_for_client(["https://graph.microsoft.com/Files.Read"]) for _ in range(3)]

        assert [(r["error"], r["error_codes"]) for r in results] == [("invalid_scope", [1002012])] * 3
        assert len(token_calls(microsoft)) == 1

    def test_a_401_is_not_cached(self, microsoft: Sandbox) -> None:
        app = application(microsoft, "wrong")

        for _ in range(2):
            app.acquire_token_for_client([SCOPE])

        assert len(token_calls(microsoft)) == 2

    def test_a_throttled_call_keeps_msal_from_the_network(self, microsoft: Sandbox) -> None:
        microsoft.arm(
            Fault(vendor="identity", operation="token", kind=FaultKind.STATUS, status=429, retry_after="30")
        )
        app = application(microsoft, DEFAULT_SECRET)

        results = [app.acquire_token_for_client([SCOPE]) for _ in range(3)]

        assert [result["error"] for result in results] == ["temporarily_unavailable"] * 3
        assert len(token_calls(microsoft)) == 1
        # Only a new application object goes back to the network.
        assert "access_token" in application(microsoft, DEFAULT_SECRET).acquire_token_for_client([SCOPE])

    def test_a_server_error_raises_and_is_remembered(self, microsoft: Sandbox) -> None:
        microsoft.arm(Fault(vendor="identity", operation="token", kind=FaultKind.STATUS, status=503))
        app = application(microsoft, DEFAULT_SECRET)

        for _ in range(2):
            with pytest.raises(msal.exceptions.MsalServiceError):
                app.acquire_token_for_client([SCOPE])

        assert [call["status"] for call in token_calls(microsoft)] == [503]

    def test_a_page_of_html_is_no_token(self, microsoft: Sandbox) -> None:
        microsoft.arm(Fault(vendor="identity", operation="token", kind=FaultKind.HTML, status=200))

        with pytest.raises(json.JSONDecodeError):
            application(microsoft, DEFAULT_SECRET).acquire_token_for_client([SCOPE])


@dataclass(frozen=True)
class Moment:
    """So many seconds after the assertion is made."""

    after_s: float


def assertion(
    microsoft: Sandbox,
    issued: Issued,
    *,
    algorithm: str = "PS256",
    header: dict[str, Any] | None = None,
    signed_with: str | None = None,
    **claims: Any,
) -> str:
    """As MSAL makes it, except for what a test wants otherwise; a claim of None is left out."""
    now = time.time()
    claims = {name: now + c.after_s if isinstance(c, Moment) else c for name, c in claims.items()}
    named = base64.urlsafe_b64encode(thumbprint(issued, "sha256")).decode()
    payload = {
        "aud": f"{microsoft.url('identity')}/{DEFAULT_TENANT}/oauth2/v2.0/token",
        "iss": DEFAULT_CLIENT,
        "sub": DEFAULT_CLIENT,
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 600,
        **claims,
    }
    return jwt.encode(
        {name: value for name, value in payload.items() if value is not None},
        signed_with or issued.key.read_text(),
        algorithm=algorithm,
        headers={"x5t#S256": named} if header is None else header,
    )


class TestByHand:
    @pytest.fixture
    def ask(self, microsoft: Sandbox, issued: Issued) -> Callable[..., requests.Response]:
        http = session(microsoft.ca_bundle)

        def ask(
            client_assertion: str | None = None, *, tenant: str = DEFAULT_TENANT, **fields: str
        ) -> requests.Response:
            form = {"client_id": DEFAULT_CLIENT, "grant_type": "client_credentials", "scope": SCOPE, **fields}
            if client_assertion is not None:
                form |= {"client_assertion": client_assertion, "client_assertion_type": ASSERTION_TYPE}
            kept = {name: value for name, value in form.items() if value}
            return http.post(f"{microsoft.url('identity')}/{tenant}/oauth2/v2.0/token", data=kept)

        return ask

    @pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
    @pytest.mark.parametrize("padded", [True, False])
    @pytest.mark.parametrize(("name", "digest"), [("x5t", "sha1"), ("x5t#S256", "sha256")])
    def test_every_form_of_a_right_assertion(
        self,
        microsoft: Sandbox,
        issued: Issued,
        ask: Callable[..., requests.Response],
        algorithm: str,
        padded: bool,
        name: str,
        digest: str,
    ) -> None:
        value = base64.urlsafe_b64encode(thumbprint(issued, digest)).decode()
        header = {name: value if padded else value.rstrip("=")}

        answer = ask(assertion(microsoft, issued, algorithm=algorithm, header=header))

        assert answer.status_code == 200
        assert answer.json()["token_type"] == "Bearer"

    @pytest.mark.parametrize(
        ("changes", "status", "number"),
        [
            ({"header": {}}, 401, 700027),
            ({"header": {"x5t": "AAAA"}}, 401, 700027),
            ({"aud": "https://login.example/other"}, 401, 700027),
            ({"iss": "another"}, 401, 700027),
            ({"sub": "another"}, 401, 700027),
            ({"algorithm": "RS512"}, 401, 700027),
            ({"exp": Moment(-1)}, 401, 700024),
            ({"exp": Moment(7200)}, 401, 700024),
            ({"nbf": Moment(3600)}, 401, 700024),
            ({"exp": None}, 400, 50027),
            ({"exp": "soon"}, 400, 50027),
            ({"header": {"typ": "text"}}, 401, 700027),
        ],
    )
    def test_a_wrong_assertion(
        self,
        microsoft: Sandbox,
        issued: Issued,
        ask: Callable[..., requests.Response],
        changes: dict[str, Any],
        status: int,
        number: int,
    ) -> None:
        answer = ask(assertion(microsoft, issued, **changes))

        assert answer.status_code == status
        assert answer.json()["error_codes"] == [number]

    def test_not_before_is_optional_and_integers_are_numbers_too(
        self, microsoft: Sandbox, issued: Issued, ask: Callable[..., requests.Response]
    ) -> None:
        now = int(time.time())

        assert ask(assertion(microsoft, issued, exp=now + 500, nbf=now - 10)).status_code == 200

    def test_text_that_is_no_jwt(self, ask: Callable[..., requests.Response]) -> None:
        answer = ask("not.a.jwt")

        assert answer.status_code == 400
        assert answer.json()["error_codes"] == [50027]

    def test_an_expired_certificate(
        self, microsoft: Sandbox, issued: Issued, ask: Callable[..., requests.Response]
    ) -> None:
        microsoft.clock.advance(3 * 365 * 86400)

        answer = ask(assertion(microsoft, issued))

        assert answer.json()["error_codes"] == [700027]
        assert "expired" in answer.json()["error_description"]

    @pytest.mark.parametrize(
        ("fields", "status", "number"),
        [
            ({"grant_type": ""}, 400, 900144),
            ({"grant_type": "password", "client_secret": DEFAULT_SECRET}, 400, 70003),
            ({}, 401, 7000218),
            ({"client_secret": "wrong"}, 401, 7000215),
            ({"client_secret": "old"}, 401, 7000222),
            ({"client_secret": DEFAULT_SECRET, "scope": ""}, 400, 1002012),
            ({"client_secret": DEFAULT_SECRET, "tenant": "nowhere.example"}, 400, 90002),
            ({"client_secret": DEFAULT_SECRET, "tenant": "fabrikam.example"}, 400, 700016),
        ],
    )
    def test_other_refusals(
        self,
        microsoft: Sandbox,
        ask: Callable[..., requests.Response],
        fields: dict[str, str],
        status: int,
        number: int,
    ) -> None:
        yesterday = (microsoft.clock.now() - dt.timedelta(days=1)).isoformat()
        microsoft.vendor("identity").seed(
            {
                "tenants": ["fabrikam.example"],
                "clients": [
                    {
                        "id": DEFAULT_CLIENT,
                        "secrets": [DEFAULT_SECRET, {"value": "old", "expires": yesterday}],
                    }
                ],
            }
        )

        answer = ask(**fields)

        assert answer.status_code == status
        assert answer.json()["error_codes"] == [number]

    def test_a_secret_in_the_basic_header(self, microsoft: Sandbox) -> None:
        answer = session(microsoft.ca_bundle).post(
            f"{microsoft.url('identity')}/{DEFAULT_TENANT}/oauth2/v2.0/token",
            data={"grant_type": "client_credentials", "scope": SCOPE},
            auth=(DEFAULT_CLIENT, DEFAULT_SECRET),
        )

        assert answer.status_code == 200

    def test_the_other_code_for_a_bad_scope(
        self, microsoft: Sandbox, ask: Callable[..., requests.Response]
    ) -> None:
        microsoft.vendor("identity").set_options({"bad_scope_code": 70011})

        assert ask(client_secret=DEFAULT_SECRET, scope="Files.Read").json()["error_codes"] == [70011]


class TestTokensAtGraph:
    def refusal(self, onedrive: OneDrive, token: str | None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}" if token is not None else ""}
        return onedrive.call("GET", "", headers=headers)

    def test_none_and_nonsense(self, onedrive: OneDrive) -> None:
        for token in (None, "nonsense", "a.b.c"):
            answer = self.refusal(onedrive, token)

            assert problem(answer) == (401, "InvalidAuthenticationToken")
            assert answer.headers["WWW-Authenticate"].startswith(
                'Bearer realm="", authorization_uri="https://'
            )

    def test_an_expired_one(self, onedrive: OneDrive) -> None:
        onedrive.sandbox.clock.advance(3598)
        assert onedrive.call("GET", "").status_code == 200

        onedrive.sandbox.clock.advance(2)
        answer = onedrive.call("GET", "")

        assert problem(answer) == (401, "InvalidAuthenticationToken")
        assert "expired" in answer.json()["error"]["message"]

    def test_one_that_was_revoked(self, onedrive: OneDrive) -> None:
        onedrive.sandbox.vendor("identity").seed({"revoke_tokens": True})

        assert problem(onedrive.call("GET", "")) == (401, "InvalidAuthenticationToken")
        onedrive.token = onedrive.ask_token()
        assert onedrive.call("GET", "").status_code == 200

    def test_one_for_another_audience(self, onedrive: OneDrive) -> None:
        onedrive.token = onedrive.ask_token(scope="https://vault.example/.default")

        answer = onedrive.call("GET", "")

        assert problem(answer) == (401, "InvalidAuthenticationToken")
        assert "audience" in answer.json()["error"]["message"]

    def test_one_with_a_forged_role(self, onedrive: OneDrive) -> None:
        claims = jwt.decode(onedrive.token, options={"verify_signature": False})
        onedrive.token = jwt.encode(claims, "k" * 32, algorithm="HS256")

        assert problem(onedrive.call("GET", "")) == (401, "InvalidAuthenticationToken")

    @pytest.mark.parametrize(("roles", "reads", "writes"), [([], 403, 403), (["Files.Read.All"], 200, 403)])
    def test_one_without_the_role(
        self, onedrive: OneDrive, roles: list[str], reads: int, writes: int
    ) -> None:
        onedrive.sandbox.vendor("identity").seed(
            {"clients": [{"id": "reader", "secrets": ["s"], "roles": roles}]}
        )
        onedrive.token = onedrive.ask_token(client_id="reader", client_secret="s")

        assert onedrive.call("GET", "").status_code == reads
        answer = onedrive.put("/f", b"x")
        assert problem(answer) == (writes, "accessDenied")

    def test_no_secret_stands_in_a_journal(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        onedrive.send_all(url, b"abc")
        onedrive.http.get(onedrive.item("/f").json()["@microsoft.graph.downloadUrl"])

        journals = json.dumps([onedrive.sandbox.requests.entries(), onedrive.sandbox.effects.entries()])

        assert onedrive.token not in journals
        assert DEFAULT_SECRET not in journals
        assert url.partition("tempauth=")[2] not in journals
