"""
Modo Labs Communicate: directory revisions and personal messages.

Modo's documentation is for its customers only. What is known comes from one public program of the College of William
& Mary (2020, API v1): the two requests, their fields and their two tokens. Everything else is a field of the
connection's extra with a documented default, and nothing is built on it:

=====================  =====================================  ====================================================
extra                  default                                meaning
=====================  =====================================  ====================================================
``auth_scheme``        ``Token``                              first word of the Authorization header
``directory_path``     ``/api/v1/directories/revisions/``     where a revision is posted
``message_path``       ``/api/v1/messages/personal/``         where a personal message is posted
``enable_path``        none                                   posted to after an upload, if set; ``{name}`` is filled in
=====================  =====================================  ====================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote

from requests_toolbelt import MultipartEncoder

from interchange.errors import OutcomeUnknown, SettingsError, Unavailable
from interchange.hooks.http import VendorHook

DIRECTORY_PATH = "/api/v1/directories/revisions/"
MESSAGE_PATH = "/api/v1/messages/personal/"
UPLOAD_TIMEOUT_S = 300.0


class ModoHook(VendorHook):
    """Extra ``directory_token`` uploads directories, ``channel_token`` sends messages; neither does both."""

    conn_type = "modo"
    default_conn_name = "modo_default"
    hook_name = "Modo"
    default_host = "https://communicate.modolabs.net"  # type: ignore[misc]  # as in the base class

    def _authorized(self, token_name: str) -> dict[str, str]:
        return {"Authorization": f"{self.extra.get('auth_scheme') or 'Token'} {self.secret(token_name)}"}

    def _call(self, operation: str, path: str, *, repeatable: bool, **options: Any) -> None:
        """
        Post something. Whatever the body of a success is, it is no web page: those come from a proxy or a sign-in page.

        :raises OutcomeUnknown: it may have happened, unless it is ``repeatable``.
        """
        response = self.call(operation, "POST", path, repeatable=repeatable, **options)
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            kind = Unavailable if repeatable else OutcomeUnknown
            raise kind(
                operation,
                "a web page came instead of Modo's answer: check the connection's host, and what stands before it",
                status=response.status_code,
            )

    def upload_directory(self, content: IO[bytes], *, name: str, file_name: str) -> None:
        """
        Post a directory file as a new revision, streamed. Modo documents no look-up and no answer.

        :param content: a file positioned at its start; it is read once, never rewound.
        :raises OutcomeUnknown: the revision may exist.
        """
        encoder = MultipartEncoder(fields={"name": name, "upload": (file_name, content, "application/xml")})
        self._call(
            "modo.upload_directory",
            self.extra.get("directory_path") or DIRECTORY_PATH,
            repeatable=False,
            timeout_s=UPLOAD_TIMEOUT_S,
            headers={**self._authorized("directory_token"), "Content-Type": encoder.content_type},
            data=encoder,
        )

    @property
    def enables_separately(self) -> bool:
        """Whether this Modo wants a second request before a new revision is the current one."""
        return bool(self.extra.get("enable_path"))

    def enable_directory(self, name: str) -> None:
        """Make a revision the current directory, where extra ``enable_path`` says how; may be repeated."""
        self._call(
            "modo.enable_directory",
            self.secret("enable_path").replace("{name}", quote(name, safe="")),
            repeatable=True,
            headers=self._authorized("directory_token"),
            json={"name": name},
        )

    def send_message(self, message: Mapping[str, Any]) -> None:
        """
        Send one personal message: ``title``, ``body``, ``style``, ``send_tag``, ``push_notifications`` (a boolean).

        There is no idempotency key and no look-up: sent twice, people get it twice.

        :raises OutcomeUnknown: it may have been sent.
        """
        self._call(
            "modo.send_message",
            self.extra.get("message_path") or MESSAGE_PATH,
            repeatable=False,
            headers=self._authorized("channel_token"),
            json=dict(message),
        )

    def probe(self) -> str:
        """
        Ask for a path with GET: any answer but a server's failure shows the host; 401 and 403 a bad token.

        No harmless authenticated call of API v1 is public, and nothing is ever sent here. Each token that the
        connection has is tried on its own path; one that only sends messages needs no other.
        """
        paths = {
            "channel_token": self.extra.get("message_path") or MESSAGE_PATH,
            "directory_token": self.extra.get("directory_path") or DIRECTORY_PATH,
        }
        given = [name for name in paths if self.extra.get(name)]
        if not given:
            raise SettingsError(
                f"connection {self.http_conn_id}: give extra 'channel_token' or 'directory_token'"
            )
        answers = []
        for name in given:
            response = self.call(
                "modo.probe",
                "GET",
                paths[name],
                repeatable=True,
                headers=self._authorized(name),
                expected=(200, 204, 400, 404, 405),
            )
            answers.append(f"HTTP {response.status_code} to the {name.replace('_', ' ')}")
        return f"Modo answers ({', '.join(answers)})"
