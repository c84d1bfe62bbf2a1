"""
Is the stored file the one that was sent?

Facts from Microsoft's hashes resource and rclone's notes: business drives give a quickXorHash, sometimes only some
time after the upload and never for empty files; Office documents are rewritten by the server, so that neither size
nor hash stays.
"""

from __future__ import annotations

from enum import StrEnum

_ALTERED_BY_SERVER = {
    "doc", "docx", "docm", "dot", "dotx", "xls", "xlsx", "xlsm", "xlsb", "xltx", "ppt", "pptx", "pptm", "potx",
    "one", "vsdx",
}  # fmt: skip


class Verdict(StrEnum):
    """How far the proof goes."""

    SAME = "size and hash"
    SAME_SIZE_NO_HASH = "size only: the server gives no hash"
    ALTERED_BY_SERVER = "none: the server rewrites files of this kind"
    DIFFERENT = "different"


def judge(name: str, *, size: int, quick_xor_hash: str, stored_size: int, stored_hash: str | None) -> Verdict:
    """
    Compare what was sent with what the server says it has.

    :param name: the file's name; its ending tells whether the server rewrites such files.
    :param size: bytes that were sent; ``stored_size`` is the server's.
    :param quick_xor_hash: base64 of what was sent; ``stored_hash`` is the server's, None or empty where it gives none.
    """
    if stored_size == size:
        if not stored_hash:
            return Verdict.SAME_SIZE_NO_HASH
        if stored_hash == quick_xor_hash:
            return Verdict.SAME
    if name.rpartition(".")[2].lower() in _ALTERED_BY_SERVER and stored_size > 0:
        return Verdict.ALTERED_BY_SERVER
    return Verdict.DIFFERENT
