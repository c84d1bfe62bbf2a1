"""
Surveys and responses, and which responses an export selects.

The store only grows: a changed response is a further version, and everything carries the revision at which it
was put in. A selection is a pure function of the store's revision and a moment, so a finished job needs to
remember only those two, and its file is the same at each download whatever is seeded later.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.vendors.qualtrics import invented

# Export tag, question text, import id of what is kept beside the answers; in the order of the vendor's files.
METADATA = (
    ("StartDate", "Start Date", "startDate"),
    ("EndDate", "End Date", "endDate"),
    ("Status", "Response Type", "status"),
    ("IPAddress", "IP Address", "ipAddress"),
    ("Progress", "Progress", "progress"),
    ("Duration (in seconds)", "Duration (in seconds)", "duration"),
    ("Finished", "Finished", "finished"),
    ("RecordedDate", "Recorded Date", "recordedDate"),
    ("ResponseId", "Response ID", "_recordId"),
    ("RecipientLastName", "Recipient Last Name", "recipientLastName"),
    ("RecipientFirstName", "Recipient First Name", "recipientFirstName"),
    ("RecipientEmail", "Recipient Email", "recipientEmail"),
    ("ExternalReference", "External Data Reference", "externalDataReference"),
    ("LocationLatitude", "Location Latitude", "locationLatitude"),
    ("LocationLongitude", "Location Longitude", "locationLongitude"),
    ("DistributionChannel", "Distribution Channel", "distributionChannel"),
    ("UserLanguage", "User Language", "userLanguage"),
)
CHOICE, MULTI, TEXT, NUMBER = "choice", "multi", "text", "number"
SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """``id`` is ``QID1``, ``tag`` the column's name, ``choices`` pairs of recode and label."""

    id: str
    tag: str
    text: str
    kind: str = CHOICE
    choices: tuple[tuple[int, str], ...] = ()

    @property
    def import_id(self) -> str:
        return f"{self.id}_TEXT" if self.kind in (TEXT, NUMBER) else self.id

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Question:
        choices = tuple((int(code), label) for code, label in dict(data.pop("choices", {})).items())
        return cls(choices=choices, **data)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A saved filter: keeps responses whose value of ``import_id`` is ``equals``."""

    id: str
    name: str
    import_id: str
    equals: Any
    created: dt.datetime = invented.BEGIN


@dataclass(frozen=True, kw_only=True)
class Survey:
    """
    :param anonymous: address, recipient and location are not kept: their columns are missing.
    :param large_bytes: above 0, the size of its generated CSV; it has no single responses.
    """

    id: str
    name: str
    owner_id: str = "UR_0sandbox"
    created: dt.datetime = invented.BEGIN
    modified: dt.datetime = invented.BEGIN
    active: bool = True
    anonymous: bool = False
    questions: tuple[Question, ...] = ()
    embedded: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    large_bytes: int = 0

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Survey:
        """
        From a seed; keys as the fields, with the API's ``isActive``, ``creationDate`` and ``lastModified``.
        """
        given = {FIELD_OF_KEY.get(key, key): value for key, value in data.items()}
        for name in ("created", "modified"):
            if name in given:
                given[name] = moment(given[name])
        given["questions"] = tuple(Question.from_json(dict(item)) for item in given.get("questions", ()))
        given["embedded"] = tuple(given.get("embedded", ()))
        given["filters"] = tuple(Filter(**item) for item in given.get("filters", ()))
        return cls(**given)

    def value_key(self, name: str) -> str:
        """The key of a value in a response, by that key or by the column's name."""
        return next((q.import_id for q in self.questions if name in (q.tag, q.id)), name)


FIELD_OF_KEY = {
    "isActive": "active",
    "creationDate": "created",
    "lastModified": "modified",
    "ownerId": "owner_id",
}


@dataclass(frozen=True, kw_only=True)
class Response:
    """
    :param recorded: when it was handed in, or last touched while it is unfinished; the date exports select
    by.
    :param visible_from: when the export service knows of it; None: with the switch's delay after
    ``modified``.
    :param values: by import id: the answers (recode, list of recodes, text, number) and further metadata.
    """

    id: str
    recorded: dt.datetime
    modified: dt.datetime
    started: dt.datetime
    finished: bool = True
    visible_from: dt.datetime | None = None
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> int:
        return int((self.recorded - self.started).total_seconds())


@dataclass(frozen=True, kw_only=True)
class Series:
    """
    Responses as a pure function of time: one in each slot of ``every_s`` seconds, at its start or
    (``jitter``) within.

    :param count: how many; None: without end.
    :param unfinished_every: in each so many-th slot somebody else begins and does not finish.
    """

    seed: str
    begin: dt.datetime
    every_s: float
    count: int | None = None
    jitter: bool = False
    unfinished_every: int = 0

    def between(
        self, survey: Survey, start: dt.datetime, end: dt.datetime, *, finished: bool
    ) -> Iterator[Response]:
        """All with ``start <= recorded < end``, in order of time."""
        first = max(0, int((start - self.begin).total_seconds() // self.every_s))
        for number in itertools.count(first) if self.count is None else range(first, self.count):
            slot = self.begin + dt.timedelta(seconds=number * self.every_s)
            if slot >= end:
                return
            if not finished and (not self.unfinished_every or number % self.unfinished_every):
                continue
            response = self._response(survey, slot, number, finished=finished)
            if start <= response.recorded < end:
                yield response

    def _response(self, survey: Survey, slot: dt.datetime, number: int, *, finished: bool) -> Response:
        draw = invented.Draw(f"{self.seed}/{survey.id}/{number}/{finished}")
        recorded = slot + draw.below(int(self.every_s)) * SECOND if self.jitter else slot
        return Response(
            id="R_" + draw.text,
            recorded=recorded,
            modified=recorded,
            started=recorded - (40 + draw.below(600)) * SECOND,
            finished=finished,
            values=invented.values(survey, draw, finished=finished),
        )


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far an export came: where one with its continuation token goes on."""

    moment: dt.datetime
    revision: int
    delay: dt.timedelta
    last: tuple[dt.datetime, str] | None = None
    """With a limit: the date and id it was cut after."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """What an export asks of the store. ``moment`` and ``revision`` say as of when."""

    survey: Survey
    moment: dt.datetime
    revision: int
    delay: dt.timedelta
    start: dt.datetime
    end: dt.datetime
    by_modified: bool = False
    finished: bool = True
    filter: Filter | None = None
    limit: int | None = None
    since: Mark | None = None


class Store:
    """All surveys and responses. The caller locks writes; reads of what a revision covers need no lock."""

    def __init__(self) -> None:
        self.revision = 0
        self.surveys: dict[str, Survey] = {}
        self._versions: dict[str, list[tuple[int, Response]]] = {}
        self._series: dict[str, list[tuple[int, Series]]] = {}

    def copy(self) -> Store:
        other = Store()
        other.revision = self.revision
        other.surveys = dict(self.surveys)
        other._versions = {survey_id: list(items) for survey_id, items in self._versions.items()}
        other._series = {survey_id: list(items) for survey_id, items in self._series.items()}
        return other

    def add_survey(self, survey: Survey) -> None:
        self.surveys[survey.id] = survey

    def add_response(self, survey_id: str, response: Response) -> None:
        self.survey(survey_id)
        self.revision += 1
        self._versions.setdefault(survey_id, []).append((self.revision, response))

    def add_series(self, survey_id: str, series: Series) -> None:
        self.survey(survey_id)
        self.revision += 1
        self._series.setdefault(survey_id, []).append((self.revision, series))

    def survey(self, survey_id: str) -> Survey:
        try:
            return self.surveys[survey_id]
        except KeyError:
            raise ValueError(f"no survey {survey_id!r}; there are {sorted(self.surveys)[:20]}") from None

    def seeded_counts(self) -> dict[str, int]:
        return {survey_id: len({r.id for _, r in items}) for survey_id, items in self._versions.items()}

    def select(self, query: Query) -> list[Response]:
        """The responses of an export, oldest first; at most ``query.limit``."""
        mark = Mark(moment=query.moment, revision=query.revision, delay=query.delay)
        edited, arrived = self._seeded(query, mark)
        found = [
            response
            for response in edited.values()
            if query.start <= _date(query, response) < query.end and response.finished == query.finished
        ]
        for revision, series in tuple(self._series.get(query.survey.id, ())):
            if revision > query.revision:
                continue
            # Nothing is recorded in the future, so an open end costs nothing.
            end = min(query.end, query.moment + SECOND)
            for response in series.between(query.survey, query.start, end, finished=query.finished):
                arrival = (revision, response)
                if response.id not in edited and _known_at(arrival, mark):
                    arrived[response.id] = arrival
                    found.append(response)
        if query.filter is not None:
            found = [r for r in found if r.values.get(query.filter.import_id) == query.filter.equals]
        if (since := query.since) is not None:
            found = [r for r in found if not self._exported(query, since, r, arrived[r.id])]
        found.sort(key=lambda response: (_date(query, response), response.id))
        return found[: query.limit]

    def _seeded(
        self, query: Query, mark: Mark
    ) -> tuple[dict[str, Response], dict[str, tuple[int, Response]]]:
        """
        Of each seeded response the version known at ``mark``; and the version that counts as its arrival: the
        first, or with the modified date the latest.
        """
        latest: dict[str, Response] = {}
        arrived: dict[str, tuple[int, Response]] = {}
        for version in tuple(self._versions.get(query.survey.id, ())):
            if not _known_at(version, mark):
                continue
            response = version[1]
            latest[response.id] = response
            if query.by_modified or response.id not in arrived:
                arrived[response.id] = version
        return latest, arrived

    @staticmethod
    def _exported(query: Query, since: Mark, response: Response, arrival: tuple[int, Response]) -> bool:
        if not _known_at(arrival, since):
            return False
        return since.last is None or (_date(query, response), response.id) <= since.last


def _date(query: Query, response: Response) -> dt.datetime:
    return response.modified if query.by_modified else response.recorded


def _known_at(version: tuple[int, Response], mark: Mark) -> bool:
    """Whether the export service knew this version of a response at that time."""
    revision, response = version
    visible = response.visible_from or response.modified + mark.delay
    return revision <= mark.revision and visible <= mark.moment


def moment(text: str) -> dt.datetime:
    """
    A time from a seed, in UTC.

    :raises ValueError: no ISO 8601 time, or one without an offset.
    """
    parsed = dt.datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no offset: write it with Z or ±hh:mm")
    return parsed.astimezone(dt.UTC)


def response_from_json(survey: Survey, data: dict[str, Any], number: int, now: dt.datetime) -> Response:
    """
    A seeded response; what is not given is invented from ``number``.

    :param data: ``id``, ``recordedDate``, ``lastModified``, ``startDate``, ``finished``, ``visible_from``,
        and ``values`` by import id, question id or column name.
    :raises ValueError: another key, or a malformed time.
    """
    known = {
        "survey_id",
        "id",
        "recordedDate",
        "lastModified",
        "startDate",
        "finished",
        "visible_from",
        "values",
    }
    if unknown := set(data) - known:
        raise ValueError(f"a response has no {sorted(unknown)}; it has {sorted(known)}")
    draw = invented.Draw(f"seeded/{survey.id}/{number}")
    finished = bool(data.get("finished", True))
    recorded = moment(data["recordedDate"]) if "recordedDate" in data else now.replace(microsecond=0)
    values = invented.values(survey, draw, finished=finished)
    values.update({survey.value_key(name): value for name, value in data.get("values", {}).items()})
    return Response(
        id=data.get("id") or "R_" + draw.text,
        recorded=recorded,
        modified=moment(data["lastModified"]) if "lastModified" in data else recorded,
        started=moment(data["startDate"]) if "startDate" in data else recorded - 60 * SECOND,
        finished=finished,
        visible_from=moment(data["visible_from"]) if "visible_from" in data else None,
        values=values,
    )
