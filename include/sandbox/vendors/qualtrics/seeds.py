"""Putting surveys, responses and credentials into the simulated Qualtrics."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from include.sandbox.vendors.qualtrics import defaults
from include.sandbox.vendors.qualtrics.access import Access, Client
from include.sandbox.vendors.qualtrics.data import Series, Store, Survey, moment, response_from_json

SEEDS = frozenset(
    {"surveys", "many_surveys", "responses", "generate", "large", "clients", "api_tokens", "revoke_tokens"}
)
SERIES = frozenset({"survey_id", "count", "every_s", "from", "seed", "jitter", "unfinished_every"})
SMALLEST_LARGE = 1 << 16
LARGEST_LARGE = 4_000_000_000  # its ZIP must do without ZIP64


def plant(data: dict[str, Any], store: Store, access: Access, now: dt.datetime) -> None:
    """
    Take in a seed:

    * ``surveys``: see :meth:`Survey.from_json`; one seeded again is changed.
    * ``many_surveys``: so many empty ones.
    * ``responses``: see :func:`response_from_json`, with ``survey_id``. One seeded again is an edit.
    * ``generate``: one or a list of ``survey_id``, ``count`` (else without end), ``every_s``, ``from`` (a
      time), ``seed``, ``jitter``, ``unfinished_every``; see :class:`Series`.
    * ``large``: ``survey_id`` and ``bytes``, the exact size of its CSV, whatever an export selects.
    * ``clients``: ``id``, ``secret``, ``scopes``. ``api_tokens``: texts.
    * ``revoke_tokens``: true ends all OAuth tokens now.

    :raises ValueError: an unknown key or survey, a malformed value.
    """
    _only(SEEDS, data, "qualtrics")
    for item in data.get("surveys", ()):
        store.add_survey(Survey.from_json(item))
    for number in range(data.get("many_surveys", 0)):
        store.add_survey(Survey(id=f"SV_0many{number:05}", name=f"Survey no. {number}"))
    if large := data.get("large"):
        size = int(large["bytes"])
        if not SMALLEST_LARGE <= size <= LARGEST_LARGE:
            raise ValueError(f"a large survey has {SMALLEST_LARGE} to {LARGEST_LARGE} bytes")
        store.add_survey(
            replace(defaults.FEEDBACK, id=large["survey_id"], name="Large survey", large_bytes=size)
        )
    for item in data.get("responses", ()):
        survey = store.survey(item["survey_id"])
        store.add_response(survey.id, response_from_json(survey, item, store.revision, now))
    generated = data.get("generate", ())
    for item in [generated] if isinstance(generated, dict) else generated:
        store.add_series(item["survey_id"], _series(item))
    for item in data.get("clients", ()):
        access.clients[item["id"]] = Client(secret=item["secret"], scopes=tuple(item.get("scopes", ())))
    access.api_tokens |= set(data.get("api_tokens", ()))
    if data.get("revoke_tokens"):
        access.tokens.clear()


def _series(item: dict[str, Any]) -> Series:
    _only(SERIES, item, "generate")
    every_s = float(item.get("every_s", 60))
    if every_s < 1:
        raise ValueError("every_s is at least 1")
    return Series(
        seed=str(item.get("seed", 0)),
        begin=moment(item["from"]),
        every_s=every_s,
        count=item.get("count"),
        jitter=bool(item.get("jitter", False)),
        unfinished_every=int(item.get("unfinished_every", 0)),
    )


def _only(known: frozenset[str], data: dict[str, Any], what: str) -> None:
    if unknown := set(data) - known:
        raise ValueError(f"{what} takes no {sorted(unknown)}; it takes {sorted(known)}")
