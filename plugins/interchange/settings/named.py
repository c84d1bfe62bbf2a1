"""Settings that are a list of things with names, some of which a person chooses on the trigger form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from interchange.core.suggest import did_you_mean
from interchange.errors import SettingsError


class Named(Protocol):
    @property
    def name(self) -> str: ...


class NamedModel(Named, Protocol):
    """One entry of such a list, as a model."""

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


N = TypeVar("N", bound=Named)
M = TypeVar("M", bound=NamedModel)


def chosen(entries: Sequence[N], names: object, *, key: str) -> list[N]:
    """
    The entries that were chosen by name, in the settings' order; all of them where none was.

    :param names: as the form sends it: a list of names, or nothing.
    :param key: of the form and the settings, such as ``exports``.
    :raises SettingsError: no list, or a name that no entry has.
    """
    given = names or []
    if not isinstance(given, list):
        raise SettingsError(f"{key}: {names!r} is not a list of names")
    wanted = [str(name) for name in given]
    known = {entry.name: entry for entry in entries}
    for name in wanted:
        if name not in known:
            raise SettingsError(
                f"{key}: {name!r} is no {key.removesuffix('s')}; allowed: {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )
    return [entry for entry in entries if not wanted or entry.name in wanted]


def twice(values: Sequence[str]) -> list[str]:
    """What is there more than once, sorted."""
    return sorted({value for value in values if values.count(value) > 1})


def digest(entry: NamedModel) -> str:
    """Of everything an entry says: what runs is what was planned, or nothing."""
    content = json.dumps(entry.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def as_planned(entries: Sequence[M], name: str, planned_digest: str, *, kind: str) -> M:
    """
    The settings behind an entry of a run's plan.

    :param kind: for people, such as ``app``.
    :raises SettingsError: they have changed since the plan was made.
    """
    for entry in entries:
        if entry.name == name and digest(entry) == planned_digest:
            return entry
    raise SettingsError(
        f"the settings of {kind} {name!r} have changed since this run was planned: clear task 'plan' of this run, or "
        "start another run"
    )
