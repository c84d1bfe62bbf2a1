"""
The span of time one run works on.

A window includes its start and excludes its end, like Qualtrics' ``startDate`` and ``endDate``. Two windows
that follow each other write their common border with the same text, so nothing falls between them or into
both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from interchange.errors import SettingsError

_TEXT = "%Y-%m-%dT%H:%M:%SZ"
_STAMP = "%Y%m%dT%H%M%SZ"


def to_whole_seconds(moment: datetime) -> datetime:
    """
    The same moment in UTC with the fraction of a second cut off.

    Vendors compare whole seconds, and some of them refuse fractions. Cutting (not rounding) both ends the
    same way keeps neighbouring windows adjacent.

    :raises ValueError: the moment has no time zone.
    """
    if moment.utcoffset() is None:
        raise ValueError("a moment without a time zone says nothing: it needs an offset")
    return moment.astimezone(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Window:
    """
    From ``start`` (included) to ``end`` (excluded), aware UTC, in whole seconds.

    Any aware moments may be given; they are converted.

    :raises ValueError: a moment has no time zone, or the window is empty or runs backwards.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", to_whole_seconds(self.start))
        object.__setattr__(self, "end", to_whole_seconds(self.end))
        if self.start >= self.end:
            raise ValueError(f"the window's start {self.start_text} is not before its end {self.end_text}")

    @classmethod
    def before(cls, end: datetime, length: timedelta) -> Window:
        """The window of this length that ends at ``end``."""
        cut = to_whole_seconds(end)
        return cls(cut - length, cut)

    @property
    def start_text(self) -> str:
        """``2026-11-01T00:00:00Z``"""
        return self.start.strftime(_TEXT)

    @property
    def end_text(self) -> str:
        """``2026-11-01T01:00:00Z``"""
        return self.end.strftime(_TEXT)

    @property
    def stamp(self) -> str:
        """For file names: ``20261101T000000Z-20261101T010000Z``."""
        return f"{self.start.strftime(_STAMP)}-{self.end.strftime(_STAMP)}"

    def __str__(self) -> str:
        return f"{self.start_text}/{self.end_text}"


def parse_moment(name: str, value: str) -> datetime:
    """
    Read an ISO 8601 moment with an offset, as a person or Airflow's date-time picker writes it.

    Airflow's trigger form sends ``2026-11-20T00:00:00.000Z``: it has already converted from the zone shown in
    the UI. Airflow itself does not check the format, so this is where a wrong one is found.

    :param name: what to call the value in the error.
    :raises SettingsError: not such a moment, or one without an offset.
    """
    text = value.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"{name}: {value!r} is not a date and time. Write it like 2026-11-20T00:00:00Z or "
            "2026-11-20T01:00:00+01:00"
        ) from None
    if moment.utcoffset() is None:
        raise SettingsError(
            f"{name}: {value!r} does not say in which time zone. Add an offset or Z, like "
            "2026-11-20T00:00:00Z or 2026-11-20T01:00:00+01:00"
        )
    return moment
