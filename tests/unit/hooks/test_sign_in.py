"""Microsoft sign-in through the real MSAL, against the simulated identity platform."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from include.sandbox.connections import thumbprint
from include.sandbox.core import Sandbox
from include.sandbox.vendors.microsoft.identity import DEFAULT_SECRET
from interchange.errors import (
    RateLimited,
    Refused,
    SettingsError,
    Unavailable,
)
from interchange.hooks.onedrive import OneDriveHook
from tests.unit.vendors import USER, Connections, Waits, arm, calls, statuses


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> Iterator[OneDriveHook]:
    made = OneDriveHook(pause=waits)
    yield made
    made.close()


def graph(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("graph").set_options(values)


def put(hook: OneDriveHook, path: str, content: bytes = b"a,b\r\n1,2\r\n") -> Any:
    return hook.put_small(USER, path, content, media_type="text/csv")


# Signing in

SHOWN_BY_WINDOWS = {
    "plain": lambda text: text,
    "colons": lambda text: ":".join(text[i : i + 2] for i in range(0, 40, 2)),
    "spaces": lambda text: " ".join(text[i : i + 2] for i in range(0, 40, 2)) + " ",
    "lower case": lambda text: text.lower(),
}


@pytest.mark.parametrize("form", SHOWN_BY_WINDOWS)
def test_a_thumbprint_is_enough_however_it_was_copied(form: str, airflow: Connections, waits: Waits):
    sha1 = thumbprint(Path(airflow.extra_of("onedrive_default")["certificate"])).upper()
    airflow.change(
        "onedrive_default", extra={"certificate": None, "thumbprint": SHOWN_BY_WINDOWS[form](sha1)}
    )
    assert OneDriveHook(pause=waits).drive(USER)["driveType"] == "business"


def test_a_certificate_is_enough_as_path_and_as_text(airflow: Connections, sandbox: Sandbox, waits: Waits):
    assert OneDriveHook(pause=waits).drive(USER)["driveType"] == "business"
    given = airflow.extra_of("onedrive_default")
    texts = {name: Path(given[name]).read_text() for name in ("certificate", "private_key")}
    airflow.change("onedrive_default", extra=texts)
    assert OneDriveHook(pause=waits).drive(USER)["driveType"] == "business"
    assert statuses(sandbox, "token") == [200, 200]


def test_certificate_and_thumbprint_go_together(airflow: Connections, waits: Waits):
    sha1 = thumbprint(Path(airflow.extra_of("onedrive_default")["certificate"]))
    airflow.change("onedrive_default", extra={"thumbprint": sha1})
    assert OneDriveHook(pause=waits).drive(USER)["driveType"] == "business"


def test_a_client_secret_is_enough(airflow: Connections, waits: Waits):
    airflow.change(
        "onedrive_default", extra={"private_key": None, "certificate": None, "client_secret": DEFAULT_SECRET}
    )
    assert OneDriveHook(pause=waits).drive(USER)["driveType"] == "business"


@pytest.fixture
def encrypted_key(airflow: Connections) -> str:
    """The application's key as PEM, locked with ``opensesame``."""
    key = load_pem_private_key(
        Path(airflow.extra_of("onedrive_default")["private_key"]).read_bytes(), password=None
    )
    locked = BestAvailableEncryption(b"opensesame")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode()


@pytest.mark.parametrize("with_certificate", [True, False])
def test_an_encrypted_key_is_unlocked_by_the_password(
    with_certificate: bool, encrypted_key: str, airflow: Connections, waits: Waits
):
    extra: dict[str, Any] = {"private_key": encrypted_key}
    if not with_certificate:
        sha1 = thumbprint(Path(airflow.extra_of("onedrive_default")["certificate"]))
        extra |= {"certificate": None, "thumbprint": sha1}
    airflow.change("onedrive_default", password="opensesame", extra=extra)
    assert OneDriveHook(pause=waits).drive(USER)["driveType"] == "business"


@pytest.mark.parametrize("password", ["close sesame", None])
def test_a_key_that_cannot_be_unlocked_is_told_at_once(
    password: str | None, encrypted_key: str, airflow: Connections, sandbox: Sandbox, waits: Waits
):
    airflow.change("onedrive_default", password=password, extra={"private_key": encrypted_key})
    with pytest.raises(SettingsError, match=r"extra 'private_key' cannot be read.*does the password fit"):
        OneDriveHook(pause=waits).drive(USER)
    assert not sandbox.requests.entries()


def test_a_password_for_a_key_in_clear_is_told_at_once(airflow: Connections, waits: Waits):
    airflow.change("onedrive_default", password="opensesame")
    with pytest.raises(SettingsError, match=r"does the password fit .none for a key in clear"):
        OneDriveHook(pause=waits).drive(USER)


def wrong_extras(airflow: Connections) -> dict[str, tuple[dict[str, Any], str]]:
    der = b"the certificate"
    sha256 = hashlib.sha256(der).hexdigest()
    key = Path(airflow.extra_of("onedrive_default")["private_key"]).read_text()
    return {
        "a SHA-256 thumbprint": (
            {"thumbprint": sha256, "certificate": None},
            r"'thumbprint' must be 40 hexadecimal digits \(SHA-1\).*give extra 'certificate' instead",
        ),
        "no thumbprint": ({"certificate": None}, "needs 'thumbprint' or 'certificate'"),
        "no credential": ({"private_key": None, "certificate": None}, "give extra 'private_key'"),
        "no tenant": ({"tenant": None}, "extra 'tenant' is missing"),
        "no file": (
            {"private_key": "/nowhere/key.pem"},
            "'private_key' is neither PEM text nor a readable file",
        ),
        "a damaged key": (
            {"private_key": key[:200] + "\n-----END PRIVATE KEY-----"},
            "'private_key' cannot be read",
        ),
        "a key as certificate": ({"certificate": key}, "extra 'certificate' cannot be read"),
    }


@pytest.mark.parametrize(
    "mistake",
    [
        "a SHA-256 thumbprint",
        "no thumbprint",
        "no credential",
        "no tenant",
        "no file",
        "a damaged key",
        "a key as certificate",
    ],
)
def test_a_mistake_in_the_connection_is_named(
    mistake: str, airflow: Connections, sandbox: Sandbox, waits: Waits
):
    extra, words = wrong_extras(airflow)[mistake]
    airflow.change("onedrive_default", extra=extra)
    with pytest.raises(SettingsError, match=f"connection onedrive_default: .*{words}") as raised:
        OneDriveHook(pause=waits).drive(USER)
    assert not calls(sandbox, "token")
    told = "".join(traceback.format_exception(raised.value))
    for secret in airflow.secrets:
        assert secret not in told


def test_a_missing_client_id_is_named(airflow: Connections, waits: Waits):
    airflow.change("onedrive_default", login=None)
    with pytest.raises(SettingsError, match=r"login \(the application's client id\) is missing"):
        OneDriveHook(pause=waits).drive(USER)


def test_an_unknown_application_is_told_with_microsofts_number(
    airflow: Connections, sandbox: Sandbox, waits: Waits
):
    airflow.change("onedrive_default", login="another-application")
    with pytest.raises(Refused, match=r"AADSTS700016\): the application \(login\) is not in the tenant"):
        OneDriveHook(pause=waits).drive(USER)
    assert len(calls(sandbox, "token")) == 1
    assert not waits


def test_an_unregistered_certificate_is_told_with_microsofts_number(
    airflow: Connections, sandbox: Sandbox, waits: Waits
):
    other = sandbox.authority.client("another")
    airflow.change(
        "onedrive_default", extra={"private_key": str(other.key), "certificate": str(other.certificate)}
    )
    with pytest.raises(Refused, match=r"AADSTS700027\): the certificate is not registered"):
        OneDriveHook(pause=waits).drive(USER)


def test_a_key_of_another_certificate_is_told_with_microsofts_number(
    airflow: Connections, sandbox: Sandbox, waits: Waits
):
    airflow.change("onedrive_default", extra={"private_key": str(sandbox.authority.client("another").key)})
    with pytest.raises(Refused, match=r"AADSTS700027\)"):
        OneDriveHook(pause=waits).drive(USER)


@pytest.mark.parametrize(
    ("expires", "secret", "number"),
    [(None, "wrong-secret-text", "7000215"), ("2020-01-01T00:00:00Z", "old-secret-text", "7000222")],
)
def test_a_wrong_or_expired_secret_is_told_apart(
    expires: str | None, secret: str, number: str, airflow: Connections, sandbox: Sandbox, waits: Waits
):
    if expires:
        known = {"value": secret, "expires": expires}
        sandbox.vendor("identity").seed({"clients": [{"id": "sandbox-onedrive-client", "secrets": [known]}]})
    airflow.change("onedrive_default", extra={"private_key": None, "client_secret": secret})
    with pytest.raises(Refused, match=f"AADSTS{number}") as raised:
        OneDriveHook(pause=waits).drive(USER)
    assert secret not in "".join(traceback.format_exception(raised.value))


def test_a_wrong_clock_is_told(airflow: Connections, sandbox: Sandbox, waits: Waits):
    sandbox.vendor("identity").set_options({"clock_skew_s": 3600})
    with pytest.raises(Refused, match=r"AADSTS700024\): the machine's clock is wrong"):
        OneDriveHook(pause=waits).drive(USER)


def test_an_unknown_tenant_is_told(airflow: Connections, waits: Waits):
    airflow.change("onedrive_default", extra={"tenant": "nowhere.example"})
    with pytest.raises(
        Refused, match="does not know the tenant; check extra 'tenant' and 'authority' of onedrive_default"
    ):
        OneDriveHook(pause=waits).drive(USER)


TROUBLE = [
    ("status", {"status": 503}),
    ("status", {"status": 500}),
    ("status", {"status": 503, "retry_after": "1"}),
    ("status", {"status": 429, "retry_after": "1"}),
    ("html", {"status": 200}),
    ("html", {"status": 502}),
    ("reset", {}),
    ("lose_answer", {}),
    ("truncate", {}),
]


@pytest.mark.parametrize("operation", ["discovery", "token"])
@pytest.mark.parametrize(("kind", "facts"), TROUBLE)
def test_a_sign_in_service_in_trouble_is_asked_again_over_the_network(
    kind: str, facts: dict[str, Any], operation: str, sandbox: Sandbox, hook: OneDriveHook, waits: Waits
):
    """MSAL remembers such answers and repeats them without asking; they must not reach it."""
    arm(sandbox, "identity", kind, operation=operation, times=2, **facts)
    assert hook.drive(USER)["driveType"] == "business"
    assert len(calls(sandbox, operation)) == 3
    assert len(waits) == 2


@pytest.mark.parametrize("operation", ["discovery", "token"])
def test_a_sign_in_service_that_stays_away_is_unavailable(
    operation: str, sandbox: Sandbox, hook: OneDriveHook
):
    arm(sandbox, "identity", "status", status=503, operation=operation, times=99)
    with pytest.raises(Unavailable, match=r"onedrive\.token: the sign-in service is not available"):
        hook.drive(USER)
    assert len(calls(sandbox, operation)) == 4
    arm(sandbox, "identity", "refuse", seconds=60)
    with pytest.raises(Unavailable, match="no connection could be made"):
        hook.drive(USER)


def test_a_sign_in_service_may_ask_for_a_long_wait(sandbox: Sandbox, hook: OneDriveHook, waits: Waits):
    arm(sandbox, "identity", "status", status=429, retry_after="300", operation="token")
    with pytest.raises(RateLimited) as raised:
        hook.drive(USER)
    assert raised.value.retry_after_s == 300
    assert not waits
    assert hook.drive(USER), "and asked again it is really asked"


def test_a_refusal_is_not_remembered(airflow: Connections, sandbox: Sandbox, waits: Waits):
    """MSAL keeps a 400 for a minute; once a person has mended it, the next question is really asked."""
    pem = Path(airflow.extra_of("onedrive_default")["certificate"]).read_text()
    airflow.change("onedrive_default", login="another-application")
    hook = OneDriveHook(pause=waits)
    with pytest.raises(Refused, match="AADSTS700016"):
        hook.drive(USER)
    sandbox.vendor("identity").seed({"clients": [{"id": "another-application", "certificates": [pem]}]})
    assert hook.drive(USER)
    assert statuses(sandbox, "token") == [400, 200]


def test_sign_in_trusts_the_connections_authority_only(
    airflow: Connections, sandbox: Sandbox, waits: Waits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Neither a bundle in the environment nor a netrc file has a say."""
    from include.sandbox.certificates import Authority

    other = Authority(tmp_path / "other").bundle
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password somebodys-password\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert OneDriveHook(pause=waits).drive(USER)
    assert all("Authorization" not in entry["headers"] for entry in calls(sandbox, "discovery", "token"))
    airflow.change("onedrive_default", extra={"ca_bundle": str(other)})
    with pytest.raises(Refused, match=r"onedrive\.token: the server's certificate is not trusted"):
        OneDriveHook(pause=waits).drive(USER)


def test_a_sign_in_address_that_redirects_is_refused(airflow: Connections, sandbox: Sandbox, waits: Waits):
    """A followed redirect would carry the client's secret to another host."""
    airflow.change("onedrive_default", extra={"authority": f"{sandbox.url('odd')}/things"})
    from include.sandbox.wire import Response

    there = [("Location", sandbox.url("identity"))]
    sandbox.vendor("odd").not_found = lambda request: Response(status=307, headers=there)
    try:
        with pytest.raises(Refused, match="redirect: check extra 'authority' of onedrive_default"):
            OneDriveHook(pause=waits).drive(USER)
    finally:
        del sandbox.vendor("odd").not_found
    assert not calls(sandbox, "discovery")


def test_a_revoked_token_is_replaced_once(sandbox: Sandbox, hook: OneDriveHook):
    hook.drive(USER)
    sandbox.vendor("identity").seed({"revoke_tokens": True})
    hook.drive(USER)
    assert statuses(sandbox, "get_drive") == [200, 401, 200]
    assert len(calls(sandbox, "token")) == 2


def test_a_token_is_renewed_before_its_end(sandbox: Sandbox, hook: OneDriveHook):
    sandbox.vendor("identity").set_options({"expires_in": 200})
    hook.drive(USER)
    hook.drive(USER)
    assert len(calls(sandbox, "token")) == 2, "MSAL does not use a token in its last five minutes"


def test_the_test_button_says_what_it_proved(airflow: Connections):
    assert OneDriveHook().test_connection() == (True, "signed in, and Graph accepts the token")
    airflow.change("onedrive_default", extra={"test_user": USER})
    assert OneDriveHook().test_connection()[0]
    airflow.change("onedrive_default", extra={"test_user": "nomysite@contoso.example"})
    worked, words = OneDriveHook().test_connection()
    assert not worked
    assert "a drive is made when its owner opens OneDrive" in words
    airflow.change("onedrive_default", login="another-application")
    assert "AADSTS700016" in OneDriveHook().test_connection()[1]
