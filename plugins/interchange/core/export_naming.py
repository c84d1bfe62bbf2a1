"""How the effects of an export are named in the ledger: by what they are, never by the run that makes
them."""

from __future__ import annotations

from interchange.core.windows import Window


def delivery_key(name: str, window: Window, content: str, revision: int | None) -> str:
    """
    The key of one revision of one window's file; without ``revision`` what all of them begin with.

    A revision is what one request asked for: the first export of the window, or a later repetition of it.

    :param content: a digest of what is exported and where to. Another survey, format or destination is another
        effect: its file is never taken for this one's.
    """
    return f"{name}/{window.stamp}/{content}/r{'' if revision is None else revision}"


def revision_of(key: str) -> int:
    """The revision in a key of :func:`delivery_key`."""
    return int(key.rsplit("/r", 1)[1])


def job_key(name: str, window: Window, content: str, revision: int, number: int | None) -> str:
    """The key of the ``number``-th job for a revision; without it what all of them begin with."""
    return f"{delivery_key(name, window, content, revision)}/j{'' if number is None else number}"
