"""
Knack: an application's metadata, the records of a view, one record read and written.

Knack publishes prose and no machine-readable description (docs.knack.com, read 2026-11-26: api-limits,
object-based-requests, pagination, response-format, constructing-filters). What other clients have found out besides is
in docs/sources/knack.md. Success is JSON; failure mostly is plain text or HTML.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from interchange.errors import RateLimited, Refused, SettingsError, Unavailable
from interchange.hooks.http import Limit, VendorHook

LIMIT_PER_SECOND = 10
# Knack counts by its own clock's seconds and refuses the rest of one in which there were more. Calls that are granted
# 0.105 s apart leave room for 50 ms of jitter between here and there, at 95 % of the rate.
PERIOD_S = 1.05
ROWS_PER_PAGE = 1000  # vendor maximum
LARGEST_METADATA = 64 << 20
LARGEST_PAGE = 64 << 20
MOST_PASSES = 6
MOST_PAGES = 1000
BURST_WAIT_S = 1.0
DAY_S = 86_400
MIDNIGHT_WITHIN_S = 60.0
# The literal words of the vendor's errors, as our codes.
_WORDS = {
    "Invalid API key": "wrong key",
    "Invalid API Request": "no application id",
    "Malformed App ID": "wrong application id",
    "Invalid or Expired Token": "login needed",
    "Rate limit exceeded": "rate limit",
}


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The account's requests of the day, as of the last answer. ``resets_in_s``: seconds until 00:00 UTC."""

    limit: int
    remaining: int
    resets_in_s: float


class DailyLimit(RateLimited):
    """The account's requests of the day are used up: nothing helps until 00:00 UTC."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """
    What is needed of an application's metadata.

    :param time_zone: as the metadata names it, see :func:`interchange.core.knack_zones.zone_of`.
    :param objects: names and types of fields, by object and field key.
    :param scenes: scene key by view key.
    :param columns: keys of a view's fields by view key; None for views without columns.
    """

    name: str
    time_zone: str
    objects: Mapping[str, Mapping[str, tuple[str, str]]]
    scenes: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...] | None]

    def scene_of(self, view: str) -> str:
        """
        The page a view is on.

        :raises SettingsError: there is no such view.
        """
        if view not in self.scenes:
            raise SettingsError(f"the Knack application {self.name!r} has no {view}: was it edited?")
        return self.scenes[view]


class KnackHook(VendorHook):
    """``login`` is the application id, ``password`` its REST API key."""

    conn_type = "knack"
    default_conn_name = "knack_default"
    hook_name = "Knack"
    default_host = "https://api.knack.com"  # type: ignore[misc]  # as in the base class

    def __init__(self, conn_id: str = "", **options: Any) -> None:
        super().__init__(conn_id, **options)
        self.allowance: Allowance | None = None

    @property
    def application_id(self) -> str:
        """:raises SettingsError: the connection names none."""
        login = self.connection.login
        if not isinstance(login, str) or not login:
            raise SettingsError(f"connection {self.http_conn_id}: login (the application id) is missing")
        return login

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        key = self.connection.password
        if not key:
            raise SettingsError(f"connection {self.http_conn_id}: password (the REST API key) is missing")
        return {"X-Knack-Application-Id": self.application_id, "X-Knack-REST-API-Key": key}

    def limits_of(self, operation: str) -> list[Limit]:
        # Metadata needs no credential and is not counted.
        if operation == "knack.application":
            return []
        bucket = f"{self.base}/{self.application_id}"
        return [Limit(bucket=bucket, limit=self.requests_per_second, period_s=PERIOD_S)]

    @property
    def requests_per_second(self) -> int:
        """
        Ten in every plan of the vendor; extra ``requests_per_second`` for an account that was granted another limit.

        :raises SettingsError: the extra is no number from 1 to 1000.
        """
        value = self.extra.get("requests_per_second") or LIMIT_PER_SECOND
        if not str(value).isdecimal() or not 1 <= int(value) <= 1000:
            raise SettingsError(
                f"connection {self.http_conn_id}: extra 'requests_per_second' must be a number from 1 to 1000"
            )
        return int(value)

    def saw(self, response: requests.Response) -> None:
        try:
            limit, remaining, reset_ms = (
                int(response.headers[f"X-PlanLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")
            )
        except (KeyError, ValueError):
            return
        self.allowance = Allowance(limit=limit, remaining=remaining, resets_in_s=reset_ms / 1000)

    def asks_to_wait(self, response: requests.Response) -> float | None:
        if response.status_code != 429:
            return super().asks_to_wait(response)
        left = self.allowance
        if left is not None and left.remaining <= 0 and response.headers.get("X-PlanLimit-Remaining"):
            return max(left.resets_in_s, 1.0)
        # Knack never sends a Retry-After; what stands before it may.
        if asked_s := super().asks_to_wait(response):
            return asked_s
        try:
            # Seconds since 1970.
            wait_s = float(response.headers["X-RateLimit-Reset"]) - time.time()
        except (KeyError, ValueError):
            return BURST_WAIT_S
        # Any other wait comes of clocks that differ; a second is all that a burst ever costs.
        return wait_s if 0.05 <= wait_s <= BURST_WAIT_S else BURST_WAIT_S

    def error_text(self, text: str) -> str:
        words = text.removeprefix("ValidationError: ").strip().rstrip(".")
        return _WORDS.get(words, "")

    def error_code(self, payload: Any) -> str:
        # Only of a refused write. Its message may quote what was written.
        return str(payload["errors"][0].get("field") or "")

    def call(self, operation: str, method: str, url: str, **options: Any) -> requests.Response:
        try:
            return super().call(operation, method, url, **options)
        except RateLimited as exc:
            left = self.allowance
            if exc.status == 429 and left is not None and left.remaining <= 0:
                number = f"{left.limit} "
            elif exc.status is None and _until_midnight(exc.retry_after_s):
                # Another worker was told, and the shared limit lets nobody ask until then.
                number = ""
            else:
                raise
            raise DailyLimit(
                operation,
                f"the account's {number}requests of the day are used up",
                retry_after_s=exc.retry_after_s,
                status=exc.status,
            ) from exc

    # Operations

    def application(self) -> Application:
        """
        The application's metadata, which may have changed since the last call: people edit applications at any time.

        A real one has megabytes. They are read whole (at most 64 MiB) and given up at once for what is kept of them.

        :raises Refused: the vendor does not know the application id.
        """
        operation = "knack.application"
        response = self.call(
            operation,
            "GET",
            f"/v1/applications/{self.application_id}",
            repeatable=True,
            authorized=False,
            largest=LARGEST_METADATA,
        )
        try:
            return _application(response.json()["application"])
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Unavailable(operation, "the answer is no application's metadata", status=200) from exc

    def view_records(self, scene: str, view: str, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """
        All records of a view that pass ``filters``, in the view's order, each once.

        Pages are offsets into what passes at that moment: while somebody's edit makes a record leave the set, those
        behind it move forward, over a page's border, and one of them is in no page. One page alone is one moment. With
        more than one, passes over all pages are made until two in a row give the same records in the same order. That
        is proof: to lose a record, another one must have left after its page was read, so this pass has one that the
        next has not; to miss one that joined, it must be in the next.

        Neither ``total_records`` nor ``total_pages`` ends a pass (both are estimates); an empty page does, or a short
        one that is also announced as the last.

        The records are held in memory: some thousand of a few KB each at the worst.

        :raises Unavailable: the set did not hold still for :data:`MOST_PASSES` passes.
        """
        before: list[str] | None = None
        for _ in range(MOST_PASSES):
            records, pages = self._pass(scene, view, filters)
            ids = list(records)
            if pages == 1 or ids == before:
                return list(records.values())
            before = ids
        raise Unavailable(
            "knack.view_records",
            f"{view} kept changing while it was read, {MOST_PASSES} times over; the next run reads it again",
        )

    def _pass(
        self, scene: str, view: str, filters: Mapping[str, Any]
    ) -> tuple[dict[str, dict[str, Any]], int]:
        operation, records = "knack.view_records", dict[str, dict[str, Any]]()
        for page in range(1, MOST_PAGES + 1):
            answer = self.call_json(
                operation,
                "GET",
                f"/v1/pages/{scene}/views/{view}/records",
                repeatable=True,
                largest=LARGEST_PAGE,
                params={"page": page, "rows_per_page": ROWS_PER_PAGE, "filters": json.dumps(filters)},
            )
            found = answer.get("records")
            if not isinstance(found, list) or not all(isinstance(one, dict) and "id" in one for one in found):
                raise Unavailable(operation, "the answer holds no records")
            records.update({str(one["id"]): one for one in found})
            if not found or (len(found) < ROWS_PER_PAGE and page >= _whole(answer.get("total_pages"))):
                return records, page
        raise Unavailable(operation, f"{view} has more than {MOST_PAGES} pages")

    def record(self, object_key: str, record_id: str) -> dict[str, Any]:
        """
        One record as it is now.

        :raises NotFound: it was deleted.
        """
        return dict(
            self.call_json(
                "knack.record", "GET", f"/v1/objects/{object_key}/records/{record_id}", repeatable=True
            )
        )

    def update_record(self, object_key: str, record_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """
        Change fields of a record; send only what changes.

        Knack has no precondition for a write: one that is repeated after its answer was lost could overwrite what a
        person has written meanwhile. So it is not repeated here.

        :raises OutcomeUnknown: it may have been written: read the record.
        :raises Refused: a rule of the field forbids the value; ``code`` names the field.
        """
        return dict(
            self.call_json(
                "knack.update_record",
                "PUT",
                f"/v1/objects/{object_key}/records/{record_id}",
                repeatable=False,
                json=dict(values),
            )
        )

    def probe(self) -> str:
        application = self.application()
        if not application.objects:
            raise Refused("knack.probe", f"the application {application.name!r} has no objects")
        first = next(iter(application.objects))
        self.call_json(
            "knack.probe", "GET", f"/v1/objects/{first}/records", repeatable=True, params={"rows_per_page": 1}
        )
        left = (
            f"; {self.allowance.remaining} of {self.allowance.limit} requests left today"
            if self.allowance
            else ""
        )
        return f"Knack answers for application {application.name!r}{left}"


def _application(data: Mapping[str, Any]) -> Application:
    views: Sequence[tuple[str, Mapping[str, Any]]] = [
        (str(scene["key"]), view) for scene in data["scenes"] for view in scene.get("views", ())
    ]
    return Application(
        name=str(data.get("name", "")),
        time_zone=str(data["settings"]["timezone"]),
        objects={
            str(table["key"]): {
                str(field["key"]): (str(field.get("name", "")), str(field.get("type", "")))
                for field in table.get("fields", ())
            }
            for table in data["objects"]
        },
        scenes={str(view["key"]): scene for scene, view in views},
        columns={
            str(view["key"]): tuple(
                # Link columns show no field.
                str(column["field"]["key"])
                for column in view["columns"]
                if isinstance(column.get("field"), Mapping)
            )
            if isinstance(view.get("columns"), list)
            else None
            for _, view in views
        },
    )


def _until_midnight(seconds: float) -> bool:
    """Whether a wait ends when the vendor's day does, give or take what clocks differ."""
    ends_s = (time.time() + seconds) % DAY_S
    return min(ends_s, DAY_S - ends_s) <= MIDNIGHT_WITHIN_S


def _whole(value: Any) -> int:
    """A number of pages, which may come as text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return MOST_PAGES
