"""
Where an export goes, and what it is called there.

A unique name comes from the export's window, never from the clock: doing the same window again replaces the
same file, and two windows never share one. Without it there is one file, replaced each time.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from interchange.core.qualtrics_options import extension
from interchange.core.windows import Window
from interchange.errors import BadRecord

URL_SCHEMES = ("file", "s3", "gs", "abfs")
_BAD_IN_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")


def file_name(base: str, export_format: str, window: Window, *, unique: bool, zipped: bool) -> str:
    """
    The file's name: ``responses_20261101T000000Z-20261101T010000Z.zip`` or ``responses.zip``.

    :param base: the settings' ``file_name``, without an extension.
    :param zipped: whether the file is a ZIP, as its bytes say.
    :raises BadRecord: the base cannot be part of a file name.
    """
    check_base(base)
    stem = f"{base}_{window.stamp}" if unique else base
    return f"{stem}.{extension(export_format, zipped=zipped)}"


def check_base(base: str) -> None:
    """
    Refuse a base that would leave its folder or that no store takes.

    :raises BadRecord: with ``file_name`` as its field.
    """
    if not base or base != base.strip():
        raise BadRecord("file_name", "is empty, or begins or ends with a space")
    if _BAD_IN_NAME.search(base):
        raise BadRecord(
            "file_name", f"{base!r} contains a slash or a control character; folders go elsewhere"
        )
    if base.startswith("."):
        raise BadRecord("file_name", f"{base!r} begins with a full stop")


def check_url(url: str) -> None:
    """
    Accept what Airflow's ``ObjectStoragePath`` reads as a folder: ``file:///data/exports``,
    ``s3://bucket/prefix``, or with an Airflow connection in front, ``s3://CONN_ID@bucket/prefix``,
    ``abfs://CONN_ID@container/prefix``.

    :raises BadRecord: with ``url`` as its field. The URL itself is not repeated: it may hold a credential.
    """
    parts = urlsplit(url)
    if parts.scheme not in URL_SCHEMES:
        hint = " For Azure write abfs://CONN_ID@container/path." if parts.scheme == "abfss" else ""
        raise BadRecord("url", f"must begin with {', '.join(f'{s}://' for s in URL_SCHEMES)}.{hint}")
    if not url.startswith(f"{parts.scheme}://"):
        raise BadRecord("url", f"must begin with {parts.scheme}://")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadRecord("url", "must not contain ? or #")
    if ":" in parts.netloc:
        raise BadRecord(
            "url",
            "must not contain a password or a port; name an Airflow connection, as in s3://CONN_ID@bucket",
        )
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise BadRecord("url", "a local folder has three slashes: file:///data/exports")
    elif not parts.netloc.rpartition("@")[2]:
        raise BadRecord("url", f"names no bucket or container: {parts.scheme}://bucket/prefix")
    if any(unquote(segment) in (".", "..") for segment in parts.path.split("/")):
        raise BadRecord("url", "must not contain . or .. as a folder")


def join_url(url: str, name: str) -> str:
    """
    The address of a file in the folder ``url``.

    :raises BadRecord: the folder is not acceptable, or the name would leave it.
    """
    check_url(url)
    check_base(name)
    folder = url if url.endswith("/") else f"{url}/"
    return folder + name
