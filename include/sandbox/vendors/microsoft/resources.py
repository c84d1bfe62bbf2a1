"""Drive items and their URLs as a client sees them."""

from __future__ import annotations

import datetime as dt
import mimetypes
import urllib.parse
from typing import Any

from include.sandbox.vendors.microsoft.drive import Library
from include.sandbox.vendors.microsoft.model import Drive, Item, Session

DOWNLOAD_LIFE_S = 3600


class Resources:
    """:param upload_host: the address of the host that takes fragments and gives files."""

    def __init__(self, library: Library, upload_host: str) -> None:
        self._library = library
        self._host = upload_host

    def drive_item(self, drive: Drive, item: Item) -> dict[str, Any]:
        times = {"createdDateTime": time_text(item.created), "lastModifiedDateTime": time_text(item.modified)}
        shown: dict[str, Any] = {
            "id": item.id,
            "name": item.name,
            "size": item.size,
            "eTag": item.etag,
            "cTag": item.ctag,
            **times,
            "webUrl": self.web_url(drive, item),
            "fileSystemInfo": times | item.client_times,
        }
        if item.parent is None:
            shown["root"] = {}
            shown["parentReference"] = {"driveId": drive.id, "driveType": "business"}
        else:
            parent = drive.items[item.parent]
            shown["parentReference"] = {
                "driveId": drive.id,
                "driveType": "business",
                "id": parent.id,
                "name": parent.name,
                "path": f"/drives/{drive.id}/root:{urllib.parse.quote(drive.path_of(parent).rstrip('/'))}",
            }
        if item.folder:
            shown["folder"] = {"childCount": len(drive.children(item))}
        else:
            shown["file"] = {"mimeType": mime_type(item), **self._hashes(item)}
            shown["@microsoft.graph.downloadUrl"] = self.download_url(drive, item)
        return shown

    def _hashes(self, item: Item) -> dict[str, Any]:
        mode = (
            "empty"
            if item.size == 0 and not self._library.options.empty_file_hashed
            else self._library.options.hashes
        )
        if mode == "missing" or item.hashless_gets > 0:
            return {}
        if mode == "empty":
            return {"hashes": {}}
        value = item.versions[-1].quick_xor_hash
        if mode == "wrong":
            value = ("B" if value[0] == "A" else "A") + value[1:]
        return {"hashes": {"quickXorHash": value}}

    def web_url(self, drive: Drive, item: Item) -> str:
        path = urllib.parse.quote(drive.path_of(item).rstrip("/"))
        return f"{self._host}/personal/{site_name(drive)}/Documents{path}"

    def upload_url(self, drive: Drive, session: Session) -> str:
        ticket = self._library.ticket(session.guid, self._library.options.credential_life_s)
        where = f"/personal/{site_name(drive)}/_api/v2.0/drive/items/{session.anchor}/uploadSession"
        overwrite = session.conflict == "replace"
        return f"{self._host}{where}?guid='{session.guid}'&overwrite={overwrite}&tempauth={ticket}"

    def download_url(self, drive: Drive, item: Item) -> str:
        ticket = self._library.ticket(item.id, DOWNLOAD_LIFE_S)
        where = f"/personal/{site_name(drive)}/_layouts/15/download.aspx"
        return f"{self._host}{where}?UniqueId={item.id}&tempauth={ticket}"


def site_name(drive: Drive) -> str:
    """The user as the upload host writes them: ``reports_contoso_example``."""
    return "".join(letter if letter.isalnum() else "_" for letter in drive.user)


def time_text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def mime_type(item: Item) -> str:
    return mimetypes.guess_type(item.name)[0] or "application/octet-stream"
