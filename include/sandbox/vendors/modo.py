"""
Modo Labs Communicate: directory revisions and personal messages (v1), recipients (v2).

Modo publishes its API to customers only. What is certain comes from a public program of a university that
uploads a directory and sends messages (paths, the `Token` header, part and field names), and from public
sample programs that call the v2 recipients. All else is a switch in :class:`Modo.Options`; the defaults are
what Django's REST framework, whose `Token` scheme and trailing slashes these are, does by itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

import jwt
from lxml import etree

from include.sandbox.core import Vendor
from include.sandbox.wire import Part, Request, Response, answer_json, route

V2_MEDIA_TYPE = "application/vnd.modo.communicate.v2"
TITLE_LIMIT = 120
"""The console takes titles of fewer characters."""


class Refusal(Exception):
    """A request that is answered with an error; ``fields`` names what is wrong where."""

    def __init__(self, status: int, detail: str, *, fields: dict[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = fields


class Modo(Vendor):
    name: ClassVar[str] = "modo"

    @dataclasses.dataclass
    class Options:
        directory_token: str = "sandbox-modo-directory-token-0001"
        channel_token: str = "sandbox-modo-channel-token-0001"
        signing_key: str = "sandbox-modo-signing-key-000000000001"
        """Secret of the v2 tokens (HS256); :meth:`Modo.v2_token` issues them."""

        success_status: int = 201
        """Of uploads and messages: 200, 201 or 202."""
        success_body: str = "json"
        """json, text or empty."""
        error_body: str = "django"
        """django (`{"detail"}` or `{field: [text]}`), text or empty."""
        wrong_token_status: int = 401
        """For a token that is missing, unknown, or belongs to the other resource: 401 or 403."""
        without_slash: str = "redirect"
        """redirect (301), not_found (404) or error (500)."""

        enable_at_upload: bool = True
        """A revision is the current one as soon as it is uploaded; otherwise it stays pending."""
        enable_action: str = "enable"
        """POST …/revisions/{id}/{this}/ makes a revision current; empty: only a person at the console can."""
        bad_xml: str = "refuse"
        """refuse (400), or ignore: accepted, and the current revision stays what it was."""
        max_upload_bytes: int = 32 << 20

        long_title: str = "accept"
        """accept, or refuse (400), titles of 120 characters and more."""
        known_styles: tuple[str, ...] = ()
        """If given, any other style is refused."""

        missing_version_status: int = 406
        """v2 without its Accept header: 406 or 404."""
        patch_fails_for: tuple[str, ...] = ()
        """Recipients that a PATCH leaves unchanged while the others are done."""

    def clear(self) -> None:
        self.revisions: list[dict[str, Any]] = []
        self.current: str | None = None
        self.messages: list[dict[str, Any]] = []
        self.recipients: dict[str, dict[str, Any]] = {}

    def seed(self, data: dict[str, Any]) -> None:
        """``{"recipients": {id: {attribute: value}}}``; revisions and messages come through the API."""
        if unknown := set(data) - {"recipients"}:
            raise ValueError(f"unknown seeds {sorted(unknown)}; known: recipients")
        self.recipients.update(data["recipients"])

    def snapshot(self) -> dict[str, Any]:
        return {
            "revisions": [{**facts, "content": None} for facts in self.revisions],
            "current": self.current,
            "messages": self.messages,
            "recipients": self.recipients,
        }

    def dump(self) -> Any:
        return self.revisions, self.current, self.messages, self.recipients

    def load(self, dumped: Any) -> None:
        self.revisions, self.current, self.messages, self.recipients = dumped

    def content(self, revision: str) -> bytes:
        """The uploaded bytes, for a test."""
        found: bytes = self._revision(revision)["content"]
        return found

    # Directory, v1

    @route("POST", "/api/v1/directories/revisions/", operation="upload_directory")
    def upload_directory(self, request: Request) -> Response:
        return self._answered(request, self._upload_directory)

    def _upload_directory(self, request: Request) -> Response:
        self._require_token(request, self.options.directory_token)
        if (request.body.length or 0) > self.options.max_upload_bytes:
            raise Refusal(413, "Request entity too large.")
        parts = request.multipart()
        upload, name = parts.get("upload"), parts.get("name")
        if upload is None or not upload.filename:
            raise Refusal(400, "no file", fields={"upload": ["No file was submitted."]})
        if not upload.content:
            # What a client sends that repeats an upload without going back to the start of its file.
            raise Refusal(400, "empty file", fields={"upload": ["The submitted file is empty."]})
        label = _text(name)
        if not label:
            raise Refusal(400, "no name", fields={"name": ["This field is required."]})
        readable = _is_xml(upload.content)
        if not readable and self.options.bad_xml == "refuse":
            raise Refusal(400, "not XML", fields={"upload": ["Upload a valid XML document."]})
        facts = {
            "id": uuid.uuid4().hex[:12],
            "name": label,
            "file_name": upload.filename,
            "content_type": upload.content_type,
            "size": len(upload.content),
            "sha256": hashlib.sha256(upload.content).hexdigest(),
            "readable": readable,
            "at": self.now().isoformat(),
            "content": upload.content,
        }
        with self.lock:
            self.revisions.append(facts)
        self.effect(
            "directory_revision",
            revision=facts["id"], name=label, size=facts["size"], sha256=facts["sha256"],
        )  # fmt: skip
        if self.options.enable_at_upload:
            self._enable(facts)
        return self._success({"id": facts["id"], "name": label})

    def _enable(self, facts: dict[str, Any]) -> None:
        if not facts["readable"]:
            return
        with self.lock:
            self.current = facts["id"]
        self.effect("directory_enabled", revision=facts["id"])

    def _revision(self, revision: str) -> dict[str, Any]:
        for facts in self.revisions:
            if facts["id"] == revision:
                return facts
        raise Refusal(404, "Not found.")

    @route("POST", "/api/v1/directories/revisions/{id}/{action}/", operation="enable_directory")
    def enable_directory(self, request: Request) -> Response:
        return self._answered(request, self._enable_directory)

    def _enable_directory(self, request: Request) -> Response:
        if request.params["action"] != self.options.enable_action:
            raise Refusal(404, "Not found.")
        self._require_token(request, self.options.directory_token)
        facts = self._revision(request.params["id"])
        if not facts["readable"]:
            raise Refusal(400, "not XML", fields={"upload": ["The revision cannot be read."]})
        self._enable(facts)
        return answer_json(200, {"id": facts["id"], "current": True})

    # Messages, v1

    @route("POST", "/api/v1/messages/personal/", operation="send_message")
    def send_message(self, request: Request) -> Response:
        return self._answered(request, self._send_message)

    def _send_message(self, request: Request) -> Response:
        self._require_token(request, self.options.channel_token)
        if request.headers.get_content_type() != "application/json":
            raise Refusal(415, f'Unsupported media type "{request.headers.get_content_type()}" in request.')
        message = request.json()
        if not isinstance(message, dict):
            raise Refusal(400, "not an object", fields={"non_field_errors": ["Expected an object."]})
        if wrong := self._wrong_fields(message):
            raise Refusal(400, "wrong fields", fields=wrong)
        facts = {
            "title": message["title"],
            "body_sha256": hashlib.sha256(message["body"].encode()).hexdigest(),
            "body_length": len(message["body"]),
            "style": message.get("style"),
            "send_tag": message.get("send_tag"),
            "push": message.get("push_notifications", False),
        }
        with self.lock:
            number = len(self.messages) + 1
            self.messages.append({"id": number, "at": self.now().isoformat(), **facts})
        self.effect("message_sent", message=number, **facts)
        return self._success({"id": number})

    def _wrong_fields(self, message: dict[str, Any]) -> dict[str, list[str]]:
        wrong: dict[str, list[str]] = {}
        for field in ("title", "body"):
            value = message.get(field)
            if value is None:
                wrong[field] = ["This field is required."]
            elif not isinstance(value, str):
                wrong[field] = ["Not a valid string."]
            elif not value.strip():
                wrong[field] = ["This field may not be blank."]
        title = message.get("title")
        if self.options.long_title == "refuse" and isinstance(title, str) and len(title) >= TITLE_LIMIT:
            wrong["title"] = [f"Ensure this field has no more than {TITLE_LIMIT - 1} characters."]
        if not isinstance(message.get("push_notifications", False), bool):
            wrong["push_notifications"] = ["Must be a valid boolean."]
        style, known = message.get("style"), self.options.known_styles
        if known and style is not None and style not in known:
            wrong["style"] = [f'"{style}" is not a valid choice.']
        return wrong

    # Recipients, v2

    @route("GET", "/api/applications/{application}/{target}/recipients", operation="list_recipients")
    @route("PATCH", "/api/applications/{application}/{target}/recipients", operation="patch_recipients")
    @route("GET", "/api/applications/{application}/{target}/recipients/{id}", operation="get_recipient")
    def v2(self, request: Request) -> Response:
        return self._answered(request, self._v2)

    def _v2(self, request: Request) -> Response:
        if V2_MEDIA_TYPE not in [
            part.split(";")[0].strip() for part in request.headers.get("Accept", "").split(",")
        ]:
            raise Refusal(self.options.missing_version_status, "Could not satisfy the request Accept header.")
        claims = self._require_jwt(request)
        if request.method == "PATCH":
            _require_scope(claims, "recipients_create")
            return self._patch_recipients(request)
        _require_scope(claims, "recipients_view")
        if (wanted := request.params.get("id")) is None:
            listed = [{"id": name, "attributes": attributes} for name, attributes in self.recipients.items()]
            return answer_json(200, {"recipients": listed})
        if wanted not in self.recipients:
            raise Refusal(404, "Not found.")
        return answer_json(200, {"id": wanted, "attributes": self.recipients[wanted]})

    def _patch_recipients(self, request: Request) -> Response:
        given = request.json()
        entries = given.get("recipients") if isinstance(given, dict) else None
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict)
            and isinstance(entry.get("id"), str)
            and isinstance(entry.get("attributes"), dict)
            for entry in entries
        ):
            raise Refusal(400, "wrong body", fields={"recipients": ["Expected a list of id and attributes."]})
        failed = [entry["id"] for entry in entries if entry["id"] in self.options.patch_fails_for]
        done = [entry for entry in entries if entry["id"] not in failed]
        with self.lock:
            for entry in done:
                self.recipients.setdefault(entry["id"], {}).update(entry["attributes"])
        if done:
            self.effect("recipients_patched", count=len(done))
        return answer_json(
            200, {"updated": [entry["id"] for entry in done], "errors": dict.fromkeys(failed, "not updated")}
        )

    def v2_token(
        self, *, application: str, target: str, scopes: list[str], valid_s: int = 365 * 86400
    ) -> str:
        """A token as the console would issue it."""
        now = int(self.now().timestamp())
        claims = {
            "iss": "communicate", "aud": "communicate", "sub": application, "jti": uuid.uuid4().hex,
            "iat": now, "nbf": now, "exp": now + valid_s, "scopes": scopes, "targets": [target],
            "channels": [], "all_channels": True,
        }  # fmt: skip
        return jwt.encode(claims, self.options.signing_key, algorithm="HS256", headers={"kid": "sandbox"})

    def _require_jwt(self, request: Request) -> dict[str, Any]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Refusal(401, "Invalid token.")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.options.signing_key,
                algorithms=["HS256"],
                audience="communicate",
                issuer="communicate",
                # The times are those of the sandbox's clock.
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "require": ["exp", "nbf"],
                },
            )
        except jwt.InvalidTokenError as exc:
            raise Refusal(401, "Invalid token.") from exc
        if not claims["nbf"] <= self.now().timestamp() < claims["exp"]:
            raise Refusal(401, "Signature has expired.")
        if (
            claims["sub"] != request.params["application"]
            or request.params["target"] not in claims["targets"]
        ):
            raise Refusal(403, "You do not have permission to perform this action.")
        return claims

    # Answers

    def not_found(self, request: Request) -> Response:
        if request.path + "/" in ("/api/v1/directories/revisions/", "/api/v1/messages/personal/"):
            match self.options.without_slash:
                case "redirect":
                    return Response(status=301, headers=[("Location", request.raw_path + "/")])
                case "error":
                    return Response(status=500, body=b"<h1>Server Error (500)</h1>", headers=HTML)
        if any(known.pattern.fullmatch(request.path) for known in self.routes):
            return self._answered(request, self._wrong_method)
        return self._refused(Refusal(404, "Not found."))

    def _wrong_method(self, request: Request) -> Response:
        # The framework looks at the credential before it looks at the method.
        if request.path.startswith("/api/v1/"):
            is_directory = request.path.startswith("/api/v1/directories/")
            self._require_token(
                request, self.options.directory_token if is_directory else self.options.channel_token
            )
        raise Refusal(405, f'Method "{request.method}" not allowed.')

    def bad_body(self, request: Request, reason: str) -> Response:
        return self._refused(Refusal(400, f"Parse error - {reason}"))

    def _answered(self, request: Request, handler: Callable[[Request], Response]) -> Response:
        try:
            return handler(request)
        except Refusal as refusal:
            return self._refused(refusal)

    def _refused(self, refusal: Refusal) -> Response:
        headers = [("WWW-Authenticate", "Token")] if refusal.status == 401 else []
        match self.options.error_body:
            case "empty":
                return Response(status=refusal.status, headers=headers)
            case "text":
                return Response(
                    status=refusal.status, body=refusal.detail.encode(), headers=[*TEXT, *headers]
                )
        return answer_json(refusal.status, refusal.fields or {"detail": refusal.detail}, headers)

    def _success(self, facts: dict[str, Any]) -> Response:
        match self.options.success_body:
            case "empty":
                return Response(status=self.options.success_status)
            case "text":
                return Response(status=self.options.success_status, body=b"OK", headers=TEXT)
        return answer_json(self.options.success_status, facts)

    def _require_token(self, request: Request, token: str) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not given:
            raise Refusal(self.options.wrong_token_status, "Authentication credentials were not provided.")
        if scheme != "Token" or not hmac.compare_digest(given.encode(), token.encode()):
            raise Refusal(self.options.wrong_token_status, "Invalid token.")


HTML = [("Content-Type", "text/html; charset=utf-8")]
TEXT = [("Content-Type", "text/plain; charset=utf-8")]


def _require_scope(claims: dict[str, Any], scope: str) -> None:
    if scope not in claims["scopes"]:
        raise Refusal(403, "You do not have permission to perform this action.")


def _text(part: Part | None) -> str:
    return part.content.decode(errors="replace").strip() if part else ""


def _is_xml(content: bytes) -> bool:
    try:
        etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    except etree.XMLSyntaxError:
        return False
    return True
