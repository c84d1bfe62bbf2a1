"""
Webex's sign-in: ``/authorize``, ``/access_token``, and the pair of tokens of a service app.

There is no official description of the first two. Sources: the public Python clients WebexPythonSDK and wxc_sdk
for fields and forms; developer.webex.com/docs/api/v1/authorizations and published samples for lives. Rotation
and the bodies of errors are not certain: switches.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
import urllib.parse

from include.sandbox.vendors.webex.answers import Refusal, answered, refused
from include.sandbox.vendors.webex.base import Call, WebexBase, api
from include.sandbox.vendors.webex.model import ORG_ID, Client, Grant
from include.sandbox.wire import Request, Response, route

FORM = "application/x-www-form-urlencoded"
DEAD = "The refresh token provided is expired, revoked, malformed, or invalid."


class SignIn(WebexBase):
    @route("GET", "/v1/authorize", operation="authorize")
    def authorize(self, request: Request) -> Response:
        """A person logs in and agrees at once, or refuses: ``logs_in``. No page is shown."""
        client = self.world.clients.get(request.arg("client_id") or "")
        target = request.arg("redirect_uri") or ""
        # Nothing is sent to an address that nobody has registered.
        if client is None or client.kind != "integration":
            return refused(Refusal(400, "Invalid client_id."))
        if target not in client.redirect_uris:
            return refused(Refusal(400, "The redirect_uri does not match a registered one."))
        scopes = frozenset((request.arg("scope") or "").split())
        with self.lock:
            person = self.person_at(self.options.logs_in)
            if request.arg("response_type") != "code":
                fields = {"error": "unsupported_response_type", "error_description": "Use code."}
            elif not scopes or scopes - client.scopes:
                fields = {"error": "invalid_scope", "error_description": "The requested scope is invalid."}
            elif person is None:
                fields = {"error": "access_denied", "error_description": "The user denied the request."}
            else:
                code = secrets.token_urlsafe(32)
                self.world.codes[code] = Grant(
                    client_id=client.id,
                    person_id=person.id,
                    scopes=scopes,
                    expires=self.now() + dt.timedelta(seconds=self.options.code_life_s),
                    redirect_uri=target,
                )
                fields = {"code": code}
        if (state := request.arg("state")) is not None:
            fields["state"] = state
        separator = "&" if urllib.parse.urlsplit(target).query else "?"
        location = f"{target}{separator}{urllib.parse.urlencode(fields)}"
        return answered(302, headers=[("Location", location)])

    @route("POST", "/v1/access_token", operation="access_token")
    def access_token(self, request: Request) -> Response:
        if request.headers.get_content_type() != FORM:
            request.body.drain()
            return self._refused(Refusal(400, f"The content type must be {FORM}."), "invalid_request")
        form = request.form()
        request.notes["form"] = sorted(form)
        request.notes["grant_type"] = form.get("grant_type")
        with self.lock:
            client = self.world.clients.get(form.get("client_id", ""))
            if client is None or not hmac.compare_digest(
                client.secret.encode(), form.get("client_secret", "").encode()
            ):
                return self._refused(Refusal(401, "Client authentication failed."), "invalid_client")
            try:
                match form.get("grant_type"):
                    case "authorization_code":
                        return self._exchanged(client, form)
                    case "refresh_token":
                        return self._refreshed(client, form)
            except Refusal as refusal:
                return self._refused(refusal, "invalid_grant")
        return self._refused(Refusal(400, "The grant type is not supported."), "unsupported_grant_type")

    def _exchanged(self, client: Client, form: dict[str, str]) -> Response:
        # Whoever presents it, and however wrongly: a code is good for one try.
        code = self.world.codes.pop(form.get("code", ""), None)
        if code is None or code.client_id != client.id or code.expires <= self.now():
            raise Refusal(400, "The authorization code is invalid or expired.")
        if form.get("redirect_uri") != code.redirect_uri:
            raise Refusal(400, "The redirect_uri does not match the one of the authorization request.")
        self.effect("signed_in", client_id=client.id, person=self.world.people[code.person_id].email)
        return self._pair(code, None)

    def _refreshed(self, client: Client, form: dict[str, str]) -> Response:
        token = form.get("refresh_token", "")
        grant = self.world.refresh.get(token)
        if grant is None or grant.client_id != client.id or grant.expires <= self.now():
            raise Refusal(400, DEAD)
        return self._pair(grant, token)

    def _pair(self, grant: Grant, presented: str | None, *, scope: bool = True) -> Response:
        """An access token and a refresh token; ``presented`` is the refresh token that was shown for them."""
        now, options = self.now(), self.options
        access = secrets.token_urlsafe(48)
        self.world.access[access] = Grant(
            client_id=grant.client_id,
            person_id=grant.person_id,
            scopes=grant.scopes,
            expires=now + dt.timedelta(seconds=options.access_life_s),
        )
        whole = now + dt.timedelta(seconds=options.refresh_life_s)
        refresh, until = presented or secrets.token_urlsafe(48), grant.expires
        if presented is None or options.slide:
            until = whole
        if presented is not None and options.rotate:
            self.world.refresh.pop(presented)
            refresh = secrets.token_urlsafe(48)
        self.world.refresh[refresh] = Grant(
            client_id=grant.client_id, person_id=grant.person_id, scopes=grant.scopes, expires=until
        )
        payload: dict[str, object] = {
            "access_token": access,
            # One less than the whole life, as published answers have it.
            "expires_in": options.access_life_s - 1,
            "token_type": "Bearer",
        }
        if presented is None or options.refresh_in_answer:
            payload["refresh_token"] = refresh
            payload["refresh_token_expires_in"] = int((until - now).total_seconds()) - 1
        if scope and options.scope_in_answer:
            payload["scope"] = " ".join(sorted(grant.scopes))
        return answered(200, payload, [("Cache-Control", "no-store")])

    def _refused(self, refusal: Refusal, error: str) -> Response:
        if self.options.token_errors == "oauth":
            answer = refused(refusal)
            tracked = dict(answer.headers)["trackingid"]
            payload = {"error": error, "error_description": str(refusal), "trackingId": tracked}
            return answered_with(refusal.status, payload, tracked)
        return refused(refusal, without_errors=not self.options.errors_array)

    @api(
        "POST",
        "/applications/{application}/token",
        operation="service_app_token",
        scopes=["spark:applications_token"],
    )
    def service_app_token(self, call: Call) -> Response:
        """The first pair of a service app; later ones come by the refresh grant."""
        client = self.world.clients.get(str(call.body.get("clientId")))
        if call.body.get("targetOrgId") != ORG_ID:
            raise Refusal(400, "The application is not authorized for the target organization.")
        if (
            client is None
            or client.account is None
            or call.request.params["application"] != client.id
            or not hmac.compare_digest(client.secret.encode(), str(call.body.get("clientSecret")).encode())
        ):
            raise Refusal(401, "Invalid client credentials")
        grant = Grant(client_id=client.id, person_id=client.account, scopes=client.scopes, expires=self.now())
        return self._pair(grant, None, scope=False)


def answered_with(status: int, payload: dict[str, str], tracked: str) -> Response:
    answer = answered(status, payload)
    answer.headers = [(name, value) for name, value in answer.headers if name != "trackingid"]
    answer.headers.append(("trackingid", tracked))
    return answer
