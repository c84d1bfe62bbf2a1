"""
Which names OneDrive takes, how a path is written in a Graph URL, and when two names are the same.

Sources: Microsoft's list of restrictions in OneDrive and SharePoint, the Graph pages on addressing items, and
rclone's notes on what the service refuses in practice.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from interchange.errors import BadRecord

PATH_LIMIT = 400
"""Characters of the whole decoded path, folders and name together."""
SEGMENT_LIMIT = 255
"""Characters of one folder or file name."""

_FORBIDDEN = re.compile(r'["*:<>?/\\|\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\.|$)", re.IGNORECASE)
_WHOLE_NAMES = {".lock", "desktop.ini"}


def split_folder(folder: str) -> list[str]:
    """The segments of a folder path such as ``A/B``; the drive's root, ``""`` or ``/``, has none."""
    return [segment for segment in folder.split("/") if segment]


def check_path(folder: str, name: str) -> None:
    """
    Refuse a folder or file name that OneDrive would refuse, before anything is exported or sent.

    :param folder: path below the drive's root, segments separated by ``/``; empty for the root itself.
    :param name: the file's name.
    :raises BadRecord: with ``folder`` or ``file_name`` as its field.
    """
    if not name:
        raise BadRecord("file_name", "is empty")
    if "//" in folder:
        raise BadRecord("folder", f"{folder!r} has an empty segment")
    segments = split_folder(folder)
    for depth, segment in enumerate(segments):
        _check_segment("folder", segment, at_root=depth == 0)
        if segment.endswith("."):
            raise BadRecord("folder", f"{segment!r} ends with a full stop")
    _check_segment("file_name", name, at_root=not segments)
    whole = "/".join([*segments, name])
    if len(whole) > PATH_LIMIT:
        raise BadRecord(
            "file_name", f"the path has {len(whole)} characters; OneDrive takes at most {PATH_LIMIT}"
        )


def _check_segment(field: str, segment: str, *, at_root: bool) -> None:
    found = _FORBIDDEN.search(segment)
    if found:
        raise BadRecord(field, f'{segment!r} contains {found.group()!r}; not allowed: " * : < > ? / \\ |')
    if segment != segment.strip():
        raise BadRecord(field, f"{segment!r} begins or ends with a space")
    if segment in {".", ".."}:
        raise BadRecord(field, f"{segment!r} is no name")
    if len(segment) > SEGMENT_LIMIT:
        raise BadRecord(field, f"a name of {len(segment)} characters; OneDrive takes at most {SEGMENT_LIMIT}")
    folded = segment.casefold()
    if folded in _WHOLE_NAMES or _RESERVED.match(segment):
        raise BadRecord(field, f"{segment!r} is a name that OneDrive reserves")
    if "_vti_" in folded:
        raise BadRecord(field, f"{segment!r} contains _vti_, which OneDrive reserves")
    if segment.startswith("~"):
        raise BadRecord(field, f"{segment!r} begins with ~")
    if at_root and folded == "forms":
        raise BadRecord(field, f"{segment!r} is reserved at the root of a drive")


def encode_path(*parts: str) -> str:
    """
    Folder paths and names joined and percent-encoded for a Graph URL, each segment on its own.

    ``encode_path("A/B c", "50% #1.csv")`` is ``A/B%20c/50%25%20%231.csv``.
    """
    segments = [segment for part in parts for segment in split_folder(part)]
    return "/".join(quote(segment, safe="") for segment in segments)


def comparison_key(name: str) -> str:
    """Two names are the same item in OneDrive exactly if their keys are equal: letter case does not count."""
    # One character stays one character, as on Windows: casefold() would make "Straße" and "STRASSE" equal.
    return "".join(upper if len(upper := character.upper()) == 1 else character for character in name)
