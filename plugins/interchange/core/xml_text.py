"""Which characters XML 1.0 allows (https://www.w3.org/TR/xml/#charsets)."""

from __future__ import annotations

import re

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def illegal_characters(text: str) -> list[str]:
    """The characters that no XML document can hold, as ``U+0007``, each once, in order of appearance."""
    return list(dict.fromkeys(f"U+{ord(found):04X}" for found in _ILLEGAL.findall(text)))


def without_illegal(text: str, replacement: str) -> str:
    """The text with ``replacement`` for each of them."""
    return _ILLEGAL.sub(lambda _: replacement, text)
