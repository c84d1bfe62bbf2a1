"""Microsoft's sign-in for an application: what MSAL is given, what it may ask, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from interchange.errors import RateLimited, Refused, SettingsError, Unavailable
from interchange.hooks.answers import network_error, parse_retry_after
from interchange.hooks.http import CONNECT_TIMEOUT_S, DEFAULT_RETRY_AFTER_S, NoAuth, read_timeout_s

OPERATION = "onedrive.token"
_AADSTS = {
    "700027": "the certificate is not registered for the application, or has expired; is the thumbprint SHA-1?",
    "700024": "the machine's clock is wrong",
    "700016": "the application (login) is not in the tenant",
    "90002": "there is no such tenant",
    "7000215": "the client secret is wrong",
    "7000222": "the client secret has expired",
}


def client_credential(
    extra: Mapping[str, Any], password: str | None, *, conn_id: str
) -> str | dict[str, str]:
    """
    What MSAL takes as ``client_credential``.

    :raises SettingsError: something is missing or cannot be read; nothing has been sent.
    """
    if extra.get("private_key"):
        credential = {"private_key": _pem(str(extra["private_key"]), "private_key", conn_id)}
        if extra.get("certificate"):
            credential["public_certificate"] = _pem(str(extra["certificate"]), "certificate", conn_id)
        if extra.get("thumbprint"):
            credential["thumbprint"] = _thumbprint(str(extra["thumbprint"]), conn_id)
        if len(credential) == 1:
            raise SettingsError(
                f"connection {conn_id}: extra 'private_key' needs 'thumbprint' or 'certificate'"
            )
        if password:
            credential["passphrase"] = password
        _check_key(credential, conn_id)
        return credential
    if extra.get("client_secret"):
        return str(extra["client_secret"])
    raise SettingsError(
        f"connection {conn_id}: give extra 'private_key' with 'thumbprint', or 'client_secret'"
    )


def _check_key(credential: Mapping[str, str], conn_id: str) -> None:
    """MSAL looks at some of this only when it signs, and then says so in errors of any class."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    named, passphrase = f"connection {conn_id}: extra", credential.get("passphrase")
    try:
        load_pem_private_key(
            credential["private_key"].encode(),
            passphrase.encode() if passphrase else None,
            unsafe_skip_rsa_key_validation=True,  # MSAL does that; here only reading it is tried.
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingsError(
            f"{named} 'private_key' cannot be read; is it PEM, and does the password fit (none for a key in clear)?"
        ) from None
    if "public_certificate" in credential:
        try:
            x509.load_pem_x509_certificate(credential["public_certificate"].encode())
        except ValueError:
            raise SettingsError(
                f"{named} 'certificate' cannot be read; is it a certificate in PEM?"
            ) from None


def token_error(answer: Mapping[str, Any], *, conn_id: str) -> Unavailable | Refused:
    """What an answer without a token means."""
    codes = [str(code) for code in answer.get("error_codes") or []]
    named = f" (AADSTS{', AADSTS'.join(codes)})" if codes else ""
    correlation_id = answer.get("correlation_id")
    facts: dict[str, Any] = {"request_id": str(correlation_id)} if correlation_id else {}
    if answer.get("error") in ("temporarily_unavailable", "server_error", "request_timeout", None):
        return Unavailable(OPERATION, "the sign-in service is not available", **facts)
    advice = _AADSTS.get(codes[0] if codes else "", "check the connection")
    return Refused(OPERATION, f"sign-in refused{named}: {advice} ({conn_id})", **facts)


class SignInSession(requests.Session):
    """
    The session MSAL speaks through: with time-outs, and trusting what the connection trusts.

    MSAL's own ``verify=`` is overridden by ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` without a word. It also keeps
    the answers of a service in trouble, gives them again without asking, and raises errors of many classes for them:
    so none of these answers reaches it.
    """

    def __init__(self, conn_id: str, verify: str | bool) -> None:
        super().__init__()
        self._conn_id = conn_id
        self._verify = verify
        self.auth = NoAuth()

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """
        One call, as MSAL makes it.

        :raises Unavailable: the service cannot be reached or is in trouble.
        :raises Refused: its certificate is not trusted, or it wants to send us, and the credential, elsewhere.
        """
        kwargs.setdefault("timeout", (CONNECT_TIMEOUT_S, read_timeout_s()))
        kwargs.update(verify=self._verify, allow_redirects=False)
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.RequestException as exc:
            raise network_error(OPERATION, exc, repeatable=True) from None
        status, wait_s = response.status_code, parse_retry_after(response.headers.get("Retry-After"))
        if status == 429 or (status >= 500 and wait_s):
            wait_s = DEFAULT_RETRY_AFTER_S if wait_s is None else wait_s
            raise RateLimited(
                OPERATION, "the sign-in service asks us to wait", retry_after_s=wait_s, status=status
            )
        if 300 <= status < 400:
            advice = f"check extra 'authority' of {self._conn_id}"
            raise Refused(OPERATION, f"the sign-in service answers with a redirect: {advice}", status=status)
        if status >= 500 or (status == 200 and not _is_json_object(response)):
            raise Unavailable(OPERATION, "the sign-in service is not available", status=status)
        return response


def _is_json_object(response: requests.Response) -> bool:
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _pem(value: str, field: str, conn_id: str) -> str:
    """PEM text, given as such or as the path of a file."""
    if "-----BEGIN" in value:
        return value
    try:
        return Path(value).read_text()
    except (OSError, ValueError):
        raise SettingsError(
            f"connection {conn_id}: extra {field!r} is neither PEM text nor a readable file"
        ) from None


def _thumbprint(value: str, conn_id: str) -> str:
    """A SHA-1 thumbprint as MSAL wants it; Windows shows it with spaces or colons."""
    text = "".join(value.replace(":", " ").split()).upper()
    if len(text) != 40 or any(letter not in "0123456789ABCDEF" for letter in text):
        raise SettingsError(
            f"connection {conn_id}: extra 'thumbprint' must be 40 hexadecimal digits (SHA-1); "
            "for SHA-256 give extra 'certificate' instead"
        )
    return text
