"""Which drive item a URL means, and which names OneDrive takes."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

from include.sandbox.vendors.microsoft.errors import invalid

PATH_LIMIT = 400
"""Characters of the whole decoded path."""

_DRIVE = re.compile(r"/v1\.0/(?:users/(?P<user>[^/]+)/drive|drives/(?P<drive>[^/]+))(?P<rest>(?:/.*)?)")
# A bare colon begins a path and ends it; inside a segment it must not appear, not even encoded.
_ITEM = re.compile(
    r"/(?:root|items/(?P<item>[^/:]+))"
    r"(?::/(?P<path>[^:]*)(?::(?:/(?P<facet>\w+))?)?|/(?P<plain_facet>\w+))?"
)
_FORBIDDEN = re.compile(r'["*:<>?/\\|\x00-\x1f]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")


@dataclass(frozen=True, kw_only=True)
class Address:
    """
    :param user: id or principal name; else ``drive`` is given.
    :param item: the id from which ``segments`` lead on; None: the drive's root.
    :param facet: what of the item is meant: ``content``, ``children``, …
    """

    user: str | None
    drive: str | None
    item: str | None
    segments: tuple[str, ...]
    facet: str | None


def parse_address(raw_path: str, *, hash_and_percent_allowed: bool = True) -> Address:
    """
    :param raw_path: the URL's path, still percent-encoded: every segment is decoded on its own.
    :raises Refusal: 400 for what is no address, or holds a name that OneDrive does not take.
    """
    found = _DRIVE.fullmatch(raw_path)
    place = _ITEM.fullmatch(found["rest"]) if found and found["rest"] else None
    if found is None or (found["rest"] and place is None):
        raise invalid("A valid path must be provided.", "invalidPath")
    segments: tuple[str, ...] = ()
    item = facet = None
    if place is not None:
        facet = place["facet"] or place["plain_facet"]
        item = None if place["item"] in (None, "root") else _decode(place["item"])
        if place["path"] is not None:
            segments = tuple(_decode(part) for part in place["path"].split("/"))
            check_names(segments, from_root=item is None, hash_and_percent_allowed=hash_and_percent_allowed)
    return Address(
        user=_decode(found["user"]) if found["user"] else None,
        drive=_decode(found["drive"]) if found["drive"] else None,
        item=item,
        segments=segments,
        facet=facet,
    )


def _decode(text: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise invalid("A valid path must be provided.", "invalidPath") from None


def check_names(
    segments: tuple[str, ...], *, from_root: bool, hash_and_percent_allowed: bool = True, folder: bool = False
) -> None:
    """
    :param from_root: the first segment lies at the drive's root, where one more name is reserved.
    :param folder: the last segment names a folder too.
    :raises Refusal: 400 with inner code invalidPath.
    """
    for depth, name in enumerate(segments):
        is_folder = folder or depth < len(segments) - 1
        lower = name.lower()
        if (
            not name
            or _FORBIDDEN.search(name)
            or name != name.strip(" ")
            or (is_folder and name.endswith("."))
            or name in (".", "..")
            or len(name) > 255
            or lower in (".lock", "desktop.ini")
            or _DEVICES.fullmatch(lower)
            or "_vti_" in lower
            or name.startswith("~")
            or (from_root and depth == 0 and lower == "forms")
            or (not hash_and_percent_allowed and ("#" in name or "%" in name))
        ):
            raise invalid("The provided path is not valid: a name is not allowed.", "invalidPath")


def check_length(path: str) -> None:
    if len(path.lstrip("/")) > PATH_LIMIT:
        raise invalid("The path is too long.", "pathIsTooLong")
