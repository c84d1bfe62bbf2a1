"""
Microsoft's identity platform: tokens for applications, against a certificate or a client secret.

    GET  /{tenant}/v2.0/.well-known/openid-configuration
    POST /{tenant}/oauth2/v2.0/token
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import hashlib
import pickle  # the state this sandbox has written itself
import secrets
import urllib.parse
import uuid
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from include.sandbox.certificates import Issued
from include.sandbox.core import Vendor
from include.sandbox.wire import Request, Response, answer_json, route

DEFAULT_TENANT = "contoso.example"
DEFAULT_CLIENT = "sandbox-onedrive-client"
DEFAULT_SECRET = "sandbox-onedrive-secret-0001"
DEFAULT_CERTIFICATE = "onedrive"
"""``sandbox.authority.client(DEFAULT_CERTIFICATE)`` gives the certificate's PEM files."""
DEFAULT_ROLES = ("Files.ReadWrite.All", "Sites.ReadWrite.All")

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION_S = 15 * 60


@dataclasses.dataclass(kw_only=True)
class Client:
    """
    A registered application.

    :param certificates: PEM texts.
    :param secrets: value → the moment it ends; None: never.
    """

    tenant: str
    certificates: list[str] = dataclasses.field(default_factory=list)
    secrets: dict[str, dt.datetime | None] = dataclasses.field(default_factory=dict)
    roles: tuple[str, ...] = DEFAULT_ROLES


@dataclasses.dataclass(kw_only=True)
class Registry:
    """All that a restart keeps. Tokens carry the ``generation`` they were issued in."""

    tenants: dict[str, str] = dataclasses.field(default_factory=dict)
    clients: dict[str, Client] = dataclasses.field(default_factory=dict)
    key: str = dataclasses.field(default_factory=lambda: secrets.token_hex(32))
    generation: int = 1


class TokenRefusal(Exception):
    """:param number: the AADSTS code."""

    def __init__(self, status: int, error: str, number: int, message: str) -> None:
        super().__init__(f"AADSTS{number}: {message}")
        self.status = status
        self.error = error
        self.number = number


class Identity(Vendor):
    name = "identity"

    @dataclasses.dataclass
    class Options(Vendor.Options):
        expires_in: int = 3599
        clock_skew_s: float = 0
        """The service's clock is so far ahead of the client's when it judges an assertion. The sandbox's own
        clock is left out: a test moves it by hours, while a client's assertions follow the machine's."""
        bad_scope_code: int = 1002012
        """Or 70011: which of the two is not certain."""
        require_typ: bool = True
        """An assertion's header must say ``"typ": "JWT"``."""

    options: Options
    registry: Registry

    def clear(self) -> None:
        if not hasattr(self, "_issued"):
            self._issued: Issued = self.sandbox.authority.client(DEFAULT_CERTIFICATE)
        self.registry = Registry()
        self._add_tenant(DEFAULT_TENANT)
        self.registry.clients[DEFAULT_CLIENT] = Client(
            tenant=DEFAULT_TENANT,
            certificates=[self._issued.certificate.read_text()],
            secrets={DEFAULT_SECRET: None},
        )

    def seed(self, data: dict[str, Any]) -> None:
        """
        ``{"tenants": [name], "clients": [{"id", "tenant", "certificates": [PEM], "secrets": [text or
        {"value", "expires": ISO time}], "roles": [name]}], "revoke_tokens": true}``: a client that exists is
        replaced; revoking ends all tokens issued so far.
        """
        if unknown := set(data) - {"tenants", "clients", "revoke_tokens"}:
            raise ValueError(f"identity takes tenants, clients and revoke_tokens, not {sorted(unknown)}")
        for tenant in data.get("tenants", []):
            self._add_tenant(tenant)
        for entry in data.get("clients", []):
            known_secrets: dict[str, dt.datetime | None] = {}
            for secret in entry.get("secrets", []):
                if isinstance(secret, str):
                    known_secrets[secret] = None
                else:
                    ends = dt.datetime.fromisoformat(secret["expires"])
                    known_secrets[secret["value"]] = ends if ends.tzinfo else ends.replace(tzinfo=dt.UTC)
            for pem in entry.get("certificates", []):
                x509.load_pem_x509_certificate(pem.encode())
            tenant = entry.get("tenant", DEFAULT_TENANT)
            self._add_tenant(tenant)
            self.registry.clients[entry["id"]] = Client(
                tenant=tenant,
                certificates=list(entry.get("certificates", [])),
                secrets=known_secrets,
                roles=tuple(entry.get("roles", DEFAULT_ROLES)),
            )
        if data.get("revoke_tokens"):
            self.registry.generation += 1

    def snapshot(self) -> dict[str, Any]:
        return {
            "tenants": self.registry.tenants,
            "clients": {
                name: {
                    "tenant": client.tenant,
                    "certificates": [_thumbprint(pem, "sha1").hex().upper() for pem in client.certificates],
                    "secrets": len(client.secrets),
                    "roles": list(client.roles),
                }
                for name, client in self.registry.clients.items()
            },
        }

    def dump(self) -> bytes:
        with self.lock:
            return pickle.dumps(self.registry)

    def load(self, dumped: bytes) -> None:
        self.registry = pickle.loads(dumped)  # noqa: S301  # see the import

    def failure(self, request: Request, status: int) -> Response:
        words = "A transient error has occurred. Please try again."
        return self._refused(request, TokenRefusal(status, "temporarily_unavailable", 90033, words))

    def _add_tenant(self, tenant: str) -> None:
        self.registry.tenants.setdefault(tenant, str(uuid.uuid5(uuid.NAMESPACE_DNS, tenant)))

    # Discovery

    @route("GET", "/{tenant}/v2.0/.well-known/openid-configuration", operation="discovery")
    def discovery(self, request: Request) -> Response:
        try:
            tenant = self._tenant(request)
        except TokenRefusal as refusal:
            return self._refused(request, refusal)
        base = f"{self.url}/{request.params['tenant']}"
        return answer_json(
            200,
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{self.url}/{self.registry.tenants[tenant]}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
                "tenant_region_scope": "EU",
                "cloud_instance_name": "sandbox",
            },
        )

    # Tokens

    @route("POST", "/{tenant}/oauth2/v2.0/token", operation="token")
    def token(self, request: Request) -> Response:
        form = request.form()
        try:
            with self.lock:
                return self._issue(request, form)
        except TokenRefusal as refusal:
            return self._refused(request, refusal, form.get("client-request-id"))

    def _issue(self, request: Request, form: dict[str, str]) -> Response:
        tenant = self._tenant(request)
        if "grant_type" not in form:
            raise TokenRefusal(
                400,
                "invalid_request",
                900144,
                "The request body must contain the following parameter: 'grant_type'.",
            )
        if form["grant_type"] != "client_credentials":
            raise TokenRefusal(
                400,
                "unsupported_grant_type",
                70003,
                f"The app requested an unsupported grant type '{form['grant_type']}'.",
            )
        client_id, secret = _client_and_secret(request, form)
        client = self.registry.clients.get(client_id)
        if client is None or client.tenant != tenant:
            raise TokenRefusal(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory '{tenant}'.",
            )
        if "client_assertion" in form:
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise TokenRefusal(
                    400, "invalid_request", 900144, "The client_assertion_type is missing or not supported."
                )
            self._check_assertion(request, form["client_assertion"], client_id, client)
        elif secret is not None:
            self._check_secret(client_id, client, secret)
        else:
            raise TokenRefusal(
                401,
                "invalid_client",
                7000218,
                "The request body must contain 'client_assertion' or 'client_secret'.",
            )
        scope = form.get("scope", "")
        audience, marker, rest = scope.partition("/.default")
        if not marker or rest or not audience:
            raise TokenRefusal(
                400,
                "invalid_scope",
                self.options.bad_scope_code,
                f"The provided value for scope {scope} is not valid. Client credential flows must have a "
                "scope value with /.default suffixed to the resource identifier (application ID URI).",
            )
        now = int(self.now().timestamp())
        claims = {
            "aud": audience,
            "iss": f"{self.url}/{self.registry.tenants[tenant]}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + self.options.expires_in,
            "appid": client_id,
            "roles": list(client.roles),
            "tid": self.registry.tenants[tenant],
            "uti": uuid.uuid4().hex,
            "generation": self.registry.generation,
        }
        token = jwt.encode(claims, self.registry.key, algorithm="HS256")
        life = self.options.expires_in
        return answer_json(
            200,
            {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token},
            [("Cache-Control", "no-store, no-cache"), ("Pragma", "no-cache")],
        )

    def claims(self, token: str) -> tuple[dict[str, Any] | None, str]:
        """What a token of this service says; or None and Graph's words for what is wrong with it."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.registry.key,
                algorithms=["HS256"],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.InvalidSignatureError:
            return None, "Access token validation failure."
        except jwt.InvalidTokenError:
            return None, "CompactToken parsing failed with error code: 80049217"
        if self.now().timestamp() >= claims["exp"]:
            return None, "Lifetime validation failed, the token is expired."
        if claims["generation"] != self.registry.generation:
            return None, "Access token has expired or is not yet valid."
        return claims, ""

    def _tenant(self, request: Request) -> str:
        """The tenant's name; a client may use its id as well."""
        asked = request.params["tenant"].lower()
        for name, tenant_id in self.registry.tenants.items():
            if asked in (name.lower(), tenant_id):
                return name
        raise TokenRefusal(
            400,
            "invalid_request",
            90002,
            f"Tenant '{asked}' not found. Check to make sure you have the correct tenant ID.",
        )

    def _check_secret(self, client_id: str, client: Client, secret: str) -> None:
        if secret not in client.secrets:
            raise TokenRefusal(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent is the client secret value, "
                f"not the client secret ID, for a secret added to app '{client_id}'.",
            )
        ends = client.secrets[secret]
        if ends is not None and self.now() >= ends:
            raise TokenRefusal(
                401,
                "invalid_client",
                7000222,
                f"The provided client secret keys for app '{client_id}' are expired.",
            )

    def _check_assertion(self, request: Request, assertion: str, client_id: str, client: Client) -> None:
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            raise TokenRefusal(400, "invalid_request", 50027, "JWT token is invalid or malformed.") from None
        certificate = self._certificate(header, client)
        algorithm = header.get("alg")
        key = certificate.public_key()
        if algorithm not in ("RS256", "PS256") or not isinstance(key, rsa.RSAPublicKey):
            raise _bad_signature(f"The algorithm '{algorithm}' is not supported.")
        if self.options.require_typ and str(header.get("typ", "")).upper() != "JWT":
            raise TokenRefusal(
                400, "invalid_request", 50027, "JWT token is invalid or malformed: no typ JWT."
            )
        try:
            jwt.decode(
                assertion,
                key,
                algorithms=[algorithm],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.InvalidSignatureError:
            raise _bad_signature("The signature does not match the key.") from None
        except jwt.InvalidTokenError:
            raise TokenRefusal(400, "invalid_request", 50027, "JWT token is invalid or malformed.") from None
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            raise _bad_signature("The issuer and the subject must be the client's id.")
        self._check_audience(request, claims.get("aud"))
        self._check_times(claims)

    def _certificate(self, header: dict[str, Any], client: Client) -> x509.Certificate:
        """The registered certificate that the header names. Thumbprints come with and without padding."""
        named = {
            algorithm: _unpadded(header[name])
            for name, algorithm in (("x5t", "sha1"), ("x5t#S256", "sha256"))
            if header.get(name)
        }
        for pem in client.certificates:
            if named and all(_thumbprint(pem, algorithm) == value for algorithm, value in named.items()):
                certificate = x509.load_pem_x509_certificate(pem.encode())
                if not certificate.not_valid_before_utc <= self.now() < certificate.not_valid_after_utc:
                    raise _bad_signature("The key was expired.")
                return certificate
        raise _bad_signature("The key was not found: the certificate's thumbprint is not registered.")

    def _check_audience(self, request: Request, audience: object) -> None:
        hosts = {self.url, request.base_url}
        if audience not in {f"{host}/{request.params['tenant']}/oauth2/v2.0/token" for host in hosts}:
            raise _bad_signature("The audience is not this token endpoint.")

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = dt.datetime.now(dt.UTC).timestamp() + self.options.clock_skew_s
        ends, begins = claims.get("exp"), claims.get("nbf", now)
        if ends is None or not _are_numbers(ends, begins):
            raise TokenRefusal(
                400, "invalid_request", 50027, "JWT token is invalid or malformed: exp or nbf is no number."
            )
        if not begins <= now < ends <= now + LONGEST_ASSERTION_S:
            raise TokenRefusal(
                401, "invalid_client", 700024, "Client assertion is not within its valid time range."
            )

    def _refused(self, request: Request, refusal: TokenRefusal, asked: str | None = None) -> Response:
        trace = str(uuid.uuid4())
        known = request.headers.get("client-request-id") or asked or str(uuid.uuid4())
        stamp = self.now().strftime("%Y-%m-%d %H:%M:%SZ")
        return answer_json(
            refusal.status,
            {
                "error": refusal.error,
                "error_description": f"{refusal} Trace ID: {trace} Correlation ID: {known} "
                f"Timestamp: {stamp}",
                "error_codes": [refusal.number],
                "timestamp": stamp,
                "trace_id": trace,
                "correlation_id": known,
                "error_uri": f"{self.url}/error?code={refusal.number}",
            },
        )


def _client_and_secret(request: Request, form: dict[str, str]) -> tuple[str, str | None]:
    """From the form, or from HTTP Basic, whose two parts are form-encoded."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic" and "client_secret" not in form:
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise TokenRefusal(401, "invalid_client", 7000215, "Invalid client secret provided.") from None
        return urllib.parse.unquote_plus(name), urllib.parse.unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret")


def _bad_signature(reason: str) -> TokenRefusal:
    return TokenRefusal(
        401,
        "invalid_client",
        700027,
        f"The certificate used to sign the client assertion is not valid. {reason}",
    )


def _thumbprint(pem: str, algorithm: str) -> bytes:
    return hashlib.new(
        algorithm, x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    ).digest()


def _unpadded(text: object) -> bytes:
    try:
        return base64.urlsafe_b64decode(str(text).rstrip("=") + "=" * (-len(str(text).rstrip("=")) % 4))
    except (binascii.Error, ValueError):
        return b""


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
