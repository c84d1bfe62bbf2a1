"""Who it is that writes or clicks: known by what Webex says of them, never by what an event claims."""

from __future__ import annotations

from dataclasses import dataclass

from interchange.core.addresses import normalised
from interchange.errors import BadRecord, NotFound
from interchange.roulette.desk import Desk
from interchange.roulette.people import Participant, person_key


@dataclass(frozen=True, kw_only=True)
class Sender:
    """:param takes_part: in the settings, or still has a meeting. :param admin: may use the commands for admins."""

    participant: Participant
    takes_part: bool
    admin: bool

    @property
    def key(self) -> str:
        return self.participant.key

    @property
    def welcome(self) -> bool:
        return self.takes_part or self.admin


def identify(desk: Desk, *, webex_id: str, address: str = "") -> Sender | None:
    """
    Who somebody is. Addresses are compared whole, after trimming and in lower case.

    :param webex_id: of the fetched message or submission. :param address: of the fetched message, if it has one.
    :return: None: Webex does not say who it is.
    """
    wanted = {*desk.settings.people, *desk.settings.admins}
    own = _normalised(address)
    known = desk.people.get(person_key(own)) if own else desk.people.with_webex_id(webex_id)
    if known is not None and known.webex_id == webex_id and known.address is not None:
        return _sender(desk, known)
    try:
        person = desk.bot.person(webex_id)
    except NotFound:
        return None
    theirs = [own, *(_normalised(entry) for entry in person.addresses)]
    for entry in theirs:
        if entry in wanted or (entry and desk.people.get(person_key(entry)) is not None):
            return _sender(desk, desk.enrolled(entry, person))
    first = next((entry for entry in theirs if entry), None)
    if first is None:
        return None
    # Nothing is kept of people who have nothing to do with us.
    stranger = Participant(
        key=person_key(first),
        address=first,
        name=person.name,
        webex_id=webex_id,
        zone=None,
        paused_until=None,
        skipped_week=None,
    )
    return Sender(participant=stranger, takes_part=False, admin=False)


def _sender(desk: Desk, participant: Participant) -> Sender:
    address = participant.address
    takes_part = address in desk.settings.people or bool(
        desk.rounds.coming(participant.key, after=desk.clock())
    )
    return Sender(participant=participant, takes_part=takes_part, admin=address in desk.settings.admins)


def _normalised(address: str) -> str:
    try:
        return normalised(address)
    except BadRecord:
        return ""
