"""
OneDrive through Microsoft Graph, as an application with a certificate (or a secret).

Sources: Microsoft's documentation of driveItem upload, createUploadSession, the drive, driveItem and hashes resources,
error responses and throttling; MSAL for Python for the token; rclone and the OneDrive API's issue tracker for what the
documents leave out. A simple upload replaces a file in one request; an upload session takes fragments, in order, on
another host whose URL is itself the credential: it is never logged and never gets our token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

import requests

from interchange.core.onedrive_names import encode_path
from interchange.errors import (
    Conflict,
    NotFound,
    OutcomeUnknown,
    Refused,
    SettingsError,
    Unavailable,
)
from interchange.hooks.http import Limit, VendorHook
from interchange.hooks.sign_in import SignInSession, client_credential, token_error

AUTHORITY = "https://login.microsoftonline.com"
FRAGMENT_TIMEOUT_S = 300.0
# The smallest documented allowance is 1,200 resource units a minute; an upload costs two, a read one.
UNITS_PER_MINUTE = 1200
UNITS = {"put_small": 2, "put_fragment": 2, "create_session": 2}


@dataclass(frozen=True, kw_only=True)
class DriveItem:
    """
    A file as the server has it.

    :param size: bytes.
    :param quick_xor_hash: base64; None where the server gives none (just uploaded, empty, or altered files).
    :param etag: changes with every change of the item.
    :param version: the content's tag; changes with the content only.
    """

    id: str
    name: str
    size: int
    quick_xor_hash: str | None
    etag: str | None
    version: str | None
    web_url: str | None
    drive_id: str | None
    is_folder: bool


@dataclass(frozen=True, kw_only=True)
class FragmentAnswer:
    """
    :param next_ranges: what the server still expects, as it writes it (``"0-"``, ``"100-199"``).
    :param item: the finished file, after the last fragment.
    """

    next_ranges: tuple[str, ...] = ()
    item: DriveItem | None = None


class OneDriveHook(VendorHook):
    """
    ``login`` is the application's client id; extra ``tenant`` its directory.

    Extra ``private_key`` (PEM, or a path) with ``thumbprint`` (SHA-1, hex) and/or ``certificate`` (PEM, or a path);
    ``password`` unlocks an encrypted key. Or extra ``client_secret``. Extra ``authority`` for another sign-in address.
    The application needs ``Files.ReadWrite.All`` with an administrator's consent.
    """

    conn_type = "onedrive"
    default_conn_name = "onedrive_default"
    hook_name = "OneDrive"
    default_host = "https://graph.microsoft.com"  # type: ignore[misc]  # as in the base class

    _application: Any = None

    @property
    def account(self) -> str:
        """What the connection leads to: the service's address and the directory whose drives these are."""
        return f"{self.base}/{self.secret('tenant')}"

    # Token

    @property
    def renewable(self) -> bool:
        return True

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        if renew or self._application is None:
            # MSAL cannot be told to forget a revoked token, and it answers repeated failures from a cache of its own:
            # only a new application object really asks again.
            self._application = self._new_application()
        try:
            answer = self._application.acquire_token_for_client(scopes=[f"{self._resource()}/.default"])
        except (ValueError, TypeError, AttributeError):
            raise Unavailable("onedrive.token", "the sign-in service gave no usable answer") from None
        if "access_token" not in answer:
            self._application = None  # It would answer the next question out of its memory, for a minute.
            raise token_error(answer, conn_id=self.http_conn_id)
        return {"Authorization": f"Bearer {answer['access_token']}"}

    def _resource(self) -> str:
        # The scope names Graph itself, wherever the connection's host points.
        return str(self.extra.get("resource") or self.default_host)

    def _new_application(self) -> Any:
        import msal

        tenant, client_id = self.secret("tenant"), self.connection.login
        if not client_id:
            raise SettingsError(
                f"connection {self.http_conn_id}: login (the application's client id) is missing"
            )
        authority = str(self.extra.get("authority") or AUTHORITY).rstrip("/")
        try:
            return msal.ConfidentialClientApplication(
                client_id,
                client_credential=client_credential(
                    self.extra, self.connection.password, conn_id=self.http_conn_id
                ),
                authority=f"{authority}/{tenant}",
                # Looking up an authority's cloud at Microsoft tells nothing about one that a person configured.
                instance_discovery=False if authority != AUTHORITY else None,
                http_client=SignInSession(self.http_conn_id, self.verify),
            )
        except ValueError:
            raise Refused(
                "onedrive.token",
                "the sign-in service does not know the tenant; "
                f"check extra 'tenant' and 'authority' of {self.http_conn_id}",
            ) from None

    # Answers

    def error_code(self, payload: Any) -> str:
        error: Any = payload["error"]
        codes: list[str] = []
        while isinstance(error, dict):
            if error.get("code"):
                codes.append(str(error["code"]))
            # Spelled innererror in older documents; nested to any depth.
            error = error.get("innerError") or error.get("innererror")
        return "/".join(codes)

    def request_id_of(self, response: requests.Response) -> str | None:
        return response.headers.get("request-id")

    def limits_of(self, operation: str) -> list[Limit]:
        units = UNITS.get(operation.removeprefix("onedrive."), 1)
        return [
            Limit(bucket=f"{self.base}/{self.connection.login}", limit=UNITS_PER_MINUTE, period_s=60)
        ] * units

    # Operations

    def item(self, user: str, path: str) -> DriveItem | None:
        """The file or folder at a path below the drive's root, or None."""
        try:
            return _item(self.call_json("onedrive.item", "GET", _address(user, path), repeatable=True))
        except NotFound as exc:
            if "itemNotFound" not in exc.code.split("/"):
                raise self._no_drive(exc) from None
            return None

    def item_by_id(self, drive_id: str, item_id: str) -> DriveItem | None:
        """An item by its ids, wherever it may have been moved to, or None."""
        url = f"/v1.0/drives/{quote(drive_id, safe='!')}/items/{quote(item_id, safe='!')}"
        try:
            return _item(self.call_json("onedrive.item", "GET", url, repeatable=True))
        except NotFound:
            return None

    def ensure_folder(self, user: str, folder: str) -> None:
        """Make a folder and its parents where they are missing; any number of times, by any number of tasks."""
        parts = [part for part in folder.split("/") if part]
        if not parts:
            return
        if (there := self.item(user, "/".join(parts))) is not None:
            if not there.is_folder:
                raise Refused("onedrive.create_folder", f"{folder!r} is a file: choose another folder")
            return
        for depth, name in enumerate(parts, start=1):
            parent = "/".join(parts[: depth - 1])
            try:
                self.call(
                    "onedrive.create_folder",
                    "POST",
                    _address(user, parent, "children"),
                    repeatable=True,  # A second creation is answered with a conflict.
                    json={"name": name, "folder": {}, "@microsoft.graph.conflictBehavior": "fail"},
                )
            except Conflict:
                continue
            except NotFound as exc:
                raise self._no_drive(exc) from None

    def put_small(self, user: str, path: str, content: bytes, *, media_type: str) -> DriveItem:
        """
        Create or replace a file in one request.

        :raises OutcomeUnknown: it may be stored: compare :meth:`item` with what was sent.
        """
        payload = self.call_json(
            "onedrive.put_small",
            "PUT",
            _address(user, path, "content"),
            repeatable=False,
            params={"@microsoft.graph.conflictBehavior": "replace"},
            headers={"Content-Type": media_type},
            data=content,
            expected=(200, 201),
        )
        return _item(payload)

    def create_session(self, user: str, path: str, *, size: int) -> str:
        """
        Open an upload session that replaces the file when its last byte has come, and return its secret URL.

        :param size: bytes; must not change later.
        :raises Conflict: another session is open for this path.
        :raises OutcomeUnknown: a session may be open whose URL nobody knows; it ends by itself after 15 minutes.
        """
        payload = self.call_json(
            "onedrive.create_session",
            "POST",
            _address(user, path, "createUploadSession"),
            repeatable=False,
            json={
                "item": {
                    "@microsoft.graph.conflictBehavior": "replace",
                    "name": path.rsplit("/", 1)[-1],
                    "fileSize": size,
                }
            },
            expected=(200,),
        )
        url = payload.get("uploadUrl")
        if not isinstance(url, str) or not url.startswith("https://"):
            raise OutcomeUnknown("onedrive.create_session", "the answer holds no uploadUrl")
        return url

    def put_fragment(
        self, upload_url: str, content: bytes | memoryview, *, start: int, total: int
    ) -> FragmentAnswer:
        """
        Send one fragment.

        :param start: its offset in the file, in bytes; all but the last fragment are multiples of 327,680 bytes.
        :raises OutcomeUnknown: it may have been taken: ask :meth:`session_ranges`. A 503 can hide a success.
        :raises NotFound: the session is gone.
        :raises Refused: 416 where the server expects another range: ask :meth:`session_ranges`.
        """
        payload = self.call_json(
            "onedrive.put_fragment",
            "PUT",
            upload_url,
            repeatable=False,
            authorized=False,
            timeout_s=FRAGMENT_TIMEOUT_S,
            headers={"Content-Range": f"bytes {start}-{start + len(content) - 1}/{total}"},
            data=content,
            expected=(200, 201, 202),
        )
        if "id" in payload:
            return FragmentAnswer(item=_item(payload))
        return FragmentAnswer(next_ranges=_ranges(payload))

    def session_ranges(self, upload_url: str) -> tuple[str, ...]:
        """
        What an open session still expects.

        :raises NotFound: the session has ended: finished, cancelled or run out.
        """
        return _ranges(
            self.call_json("onedrive.session", "GET", upload_url, repeatable=True, authorized=False)
        )

    def commit_session(self, user: str, path: str, upload_url: str) -> DriveItem:
        """Finish a session whose last fragment met a name conflict: its bytes are kept until then."""
        payload = self.call_json(
            "onedrive.commit_session",
            "PUT",
            _address(user, path),
            repeatable=False,
            json={
                "name": path.rsplit("/", 1)[-1],
                "@microsoft.graph.conflictBehavior": "replace",
                "@microsoft.graph.sourceUrl": upload_url,
            },
            expected=(200, 201),
        )
        return _item(payload)

    def cancel_session(self, upload_url: str) -> None:
        """Give up a session; one that has ended already is no error."""
        try:
            self.call("onedrive.cancel_session", "DELETE", upload_url, repeatable=True, authorized=False)
        except NotFound:
            return

    def drive(self, user: str) -> dict[str, Any]:
        """
        The user's drive: ``id``, ``driveType``, ``quota``, ``webUrl``.

        :raises Refused: the user, the drive or its licence is missing.
        """
        try:
            return cast(
                "dict[str, Any]",
                self.call_json(
                    "onedrive.drive", "GET", f"/v1.0/users/{quote(user, safe='@')}/drive", repeatable=True
                ),
            )
        except NotFound as exc:
            raise self._no_drive(exc) from None

    @staticmethod
    def _no_drive(exc: NotFound) -> Refused:
        return Refused(
            exc.operation,
            "there is no such user or drive; a drive is made when its owner opens OneDrive for the first time",
            status=exc.status,
            request_id=exc.request_id,
        )

    def probe(self) -> str:
        self.authorization(renew=True)
        if user := self.extra.get("test_user"):
            return f"signed in; the drive of extra 'test_user' is a {self.drive(str(user)).get('driveType', '?')} drive"
        # Any answer but a refusal shows that Graph takes the token; the id is one that no drive has.
        try:
            self.call("onedrive.probe", "GET", "/v1.0/drives/0", repeatable=True)
        except NotFound:
            return "signed in, and Graph accepts the token"
        except Refused as exc:
            if exc.status == 400:
                return "signed in, and Graph accepts the token"
            raise
        return "signed in, and Graph accepts the token"


def _item(payload: Mapping[str, Any]) -> DriveItem:
    file = payload.get("file") or {}
    hashes = file.get("hashes") or {}
    return DriveItem(
        id=str(payload.get("id", "")),
        name=str(payload.get("name", "")),
        size=int(payload.get("size") or 0),
        quick_xor_hash=hashes.get("quickXorHash") or None,
        etag=payload.get("eTag"),
        version=payload.get("cTag"),
        web_url=payload.get("webUrl"),
        drive_id=(payload.get("parentReference") or {}).get("driveId"),
        is_folder="folder" in payload,
    )


def _ranges(payload: Mapping[str, Any]) -> tuple[str, ...]:
    ranges = payload.get("nextExpectedRanges")
    return tuple(str(entry) for entry in ranges) if isinstance(ranges, list) else ()


def _address(user: str, path: str, facet: str = "") -> str:
    """``/users/{user}/drive/root:/{path}:/{facet}`` with every segment encoded on its own."""
    root = f"/v1.0/users/{quote(user, safe='@')}/drive/root"
    middle = f":/{encode_path(path)}" if path else ""
    if not facet:
        return root + middle
    return f"{root}{middle}{':' if path else ''}/{facet}"
