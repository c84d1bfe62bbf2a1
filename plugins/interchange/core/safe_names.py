"""
Names that come from outside, made into paths that every disk and store can hold and that lead nowhere else.

Nothing is refused for its name: what it names may exist only once. The same name always gives the same path; two names
may give one, so whoever stores files keeps them apart (:func:`distinct`).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from interchange.errors import BadRecord

LONGEST_SEGMENT = 200
"""Bytes in UTF-8. File systems take 255; a temporary name and a mark of distinction need some."""
LONGEST_PATH = 900
"""Bytes in UTF-8; S3 takes keys of 1,024, with the folder that a person chose in front."""
MARK = "~"

# Forbidden on Windows and by SharePoint, or with a meaning of their own in a URL or a shell's pattern.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\#%]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
# What tells one kind of file from another: up to two short extensions.
_SUFFIX = re.compile(r"(?:\.[A-Za-z0-9]{1,10}){0,2}\Z")
_DIGITS = 8


def safe_path(name: str) -> str:
    """
    A relative path, with ``/`` between its parts: no ``..``, no part that a system reserves, none too long.

    :raises BadRecord: there is nothing left of the name.
    """
    text = unicodedata.normalize("NFC", name)
    parts = [_safe(part) for part in text.split("/") if part not in ("", ".")]
    if not parts:
        raise BadRecord("fileName", "is empty")
    path = "/".join(parts)
    if len(path.encode()) > LONGEST_PATH:
        # The file's own name tells more than its folders.
        path = f"{MARK}{_digest(path)}/{parts[-1]}"
    return path


def _safe(part: str) -> str:
    text = "".join("_" if unicodedata.category(letter) in ("Cs", "Co", "Cn") else letter for letter in part)
    text = _FORBIDDEN.sub("_", text).strip(" ")
    # A point or blank at the end vanishes on Windows; only points are this folder or its parent.
    text = re.sub(r"[. ]+\Z", lambda found: "_" * len(found.group()), text) or "_"
    if _RESERVED.fullmatch(text):
        text = f"_{text}"
    if len(text.encode()) <= LONGEST_SEGMENT:
        return text
    stem, suffix = _split(text)
    mark = f"{MARK}{_digest(part)}{suffix}"
    room = LONGEST_SEGMENT - len(mark.encode())
    return stem.encode()[:room].decode(errors="ignore") + mark


def distinct(path: str, source: str) -> str:
    """
    The path of a file whose own one is taken by another file: marked, before its suffix, by where it comes from.

    :param source: names the file at its source, for ever.
    """
    stem, suffix = _split(path)
    return f"{stem}{MARK}{_digest(source)}{suffix}"


def comparison_key(path: str) -> str:
    """Text that is equal for two paths that some disk takes for one: letter case does not count there."""
    return unicodedata.normalize("NFC", path).casefold()


def _split(text: str) -> tuple[str, str]:
    folder, slash, name = text.rpartition("/")
    found = _SUFFIX.search(name, 1)
    cut = found.start() if found else len(name)
    return f"{folder}{slash}{name[:cut]}", name[cut:]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
