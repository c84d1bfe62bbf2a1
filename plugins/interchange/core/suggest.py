"""The "did you mean" of error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`` Did you mean 'useLabels'?`` with a space in front, or nothing when no choice is close."""
    known = list(choices)
    by_folded = {choice.casefold(): choice for choice in known}
    best = by_folded.get(word.casefold())
    if best is None:
        close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.7)
        best = by_folded[close[0]] if close else None
    return "" if best is None else f" Did you mean {best!r}?"
