"""Who meets whom: rounds of pairs over several weeks, explained, and put right when people leave or join."""

from interchange.core.pairing.draw import draw_rounds
from interchange.core.pairing.mend import mend_round
from interchange.core.pairing.model import (
    Amount,
    Draw,
    Finding,
    Group,
    Link,
    Mended,
    PairingRules,
    PastGroup,
    PastRound,
    Person,
    Quality,
    Rest,
    Round,
    Slot,
    people_from,
)

__all__ = [
    "Amount",
    "Draw",
    "Finding",
    "Group",
    "Link",
    "Mended",
    "PairingRules",
    "PastGroup",
    "PastRound",
    "Person",
    "Quality",
    "Rest",
    "Round",
    "Slot",
    "draw_rounds",
    "mend_round",
    "people_from",
]
