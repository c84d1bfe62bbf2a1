"""Somebody is forgotten: what tells who they are goes, what happened stays without a name."""

from __future__ import annotations

from collections.abc import Sequence

from interchange.ledger.receipts import forget_personal_data_of
from interchange.roulette.absences import Absences
from interchange.roulette.desk import WORKFLOW, Desk


class Erasing:
    def __init__(self, desk: Desk, absences: Absences) -> None:
        self._desk = desk
        self._absences = absences

    def forget(self, person: str, groups: Sequence[str]) -> None:
        """
        Cancel somebody's meetings to come, tell the others, and erase the person. Done already, nothing happens.

        :param groups: their meetings to come.
        :raises OutcomeUnknown: whether a meeting was cancelled is not known yet; nothing was erased.
        """
        desk = self._desk
        for group in groups:
            self._absences.leave(group, person)
        desk.talk.forget(person)
        for workflow in (WORKFLOW, "webex_roulette"):
            forget_personal_data_of(desk.ledger.engine, workflow, person, by=desk.ledger.owner)
        desk.people.forget(person)
