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
``enable_path``        none                                   posted to after an upload, if set; ``{id}`` (from the
                                                              upload's answer) and ``{name}`` are filled in
=====================  =====================================  ====================================================
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote

import requests
from requests_toolbelt import MultipartEncoder

from interchange.errors import OutcomeUnknown, Refused, SettingsError, Unavailable
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

    def _call(self, operation: str, path: str, *, repeatable: bool, **options: Any) -> requests.Response:
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
        return response

    def upload_directory(self, content: IO[bytes], *, name: str, file_name: str) -> str | None:
        """
        Post a directory file as a new revision, streamed. Modo documents no look-up and no answer.

        :param content: a file that can be rewound: each attempt reads it from its start.
        :return: the revision's ``id``, if the answer is JSON that has one.
        :raises OutcomeUnknown: the revision may exist.
        """
        boundary = uuid.uuid4().hex

        def form() -> MultipartEncoder:
            content.seek(0)
            fields = {"name": name, "upload": (file_name, content, "application/xml")}
            return MultipartEncoder(fields=fields, boundary=boundary)

        response = self._call(
            "modo.upload_directory",
            self.extra.get("directory_path") or DIRECTORY_PATH,
            repeatable=False,
            timeout_s=UPLOAD_TIMEOUT_S,
            headers={
                **self._authorized("directory_token"),
                "Content-Type": f"multipart/form-data; boundary={boundary}",
            },
            data_of=form,
        )
        return _id_in(response)

    @property
    def enables_separately(self) -> bool:
        """Whether this Modo wants a second request before a new revision is the current one."""
        return bool(self.extra.get("enable_path"))

    def enable_directory(self, name: str, revision_id: str | None) -> None:
        """
        Make a revision the current directory, where extra ``enable_path`` says how; may be repeated.

        :raises Refused: the path wants an id, and the upload's answer had none.
        """
        path = self.secret("enable_path")
        if "{id}" in path and not revision_id:
            raise Refused(
                "modo.enable_directory",
                "the answer to the upload held no id of the revision: enable it in Modo's console, and take {id} out "
                f"of extra 'enable_path' of connection {self.http_conn_id}",
            )
        for placeholder, value in (("{id}", revision_id or ""), ("{name}", name)):
            path = path.replace(placeholder, quote(value, safe=""))
        self._call(
            "modo.enable_directory",
            path,
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


def _id_in(response: requests.Response) -> str | None:
    try:
        payload = response.json()
    except ValueError:
        return None
    found = payload.get("id") if isinstance(payload, dict) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None
