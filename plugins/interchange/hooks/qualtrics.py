"""
Qualtrics API v3: response exports and the list of surveys.

Sources: Qualtrics' developer documentation (Start Response Export, Get Response Export Progress, Get Response Export
File, List Surveys, OAuth Authentication, Limits) and recorded traffic of the ropensci/qualtRics tests. An export is a
job: start it, poll it, download its file. Starting is not idempotent and lists nowhere; a file is kept for one week.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import requests

from interchange.errors import OutcomeUnknown, Refused, SettingsError, Unavailable
from interchange.hooks.answers import Download
from interchange.hooks.http import Limit, VendorHook

SCOPES = "read:surveys read:survey_responses"
# A token lasts an hour; it is renewed this long before its end, or after nine tenths of a shorter life.
RENEW_BEFORE_S = 60.0
LIMITS_PER_MINUTE = {"start_export": 100, "export_progress": 1000, "export_file": 100}
BRAND_LIMIT_PER_MINUTE = 3000


class JobStatus(StrEnum):
    IN_PROGRESS = "inProgress"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """
    :param status: the only thing that decides; ``percent`` is 100 for failed jobs too.
    :param file_id: there when complete; not the progress id.
    """

    status: JobStatus
    percent: float
    file_id: str | None
    request_id: str | None


class QualtricsHook(VendorHook):
    """
    ``login``/``password`` are an OAuth client's id and secret, or extra ``api_token`` is a static token.

    A static token wins where both are given.
    """

    conn_type = "qualtrics"
    default_conn_name = "qualtrics_default"
    hook_name = "Qualtrics"

    _token: str | None = None
    _token_ends = 0.0

    def _set_base_url(self, connection: Any) -> None:
        if not connection.host:
            raise SettingsError(
                f"connection {self.http_conn_id}: host is missing; give https://{{datacenter}}.qualtrics.com"
            )
        super()._set_base_url(connection)

    @property
    def renewable(self) -> bool:
        return not self.extra.get("api_token")

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        if api_token := self.extra.get("api_token"):
            return {"X-API-TOKEN": str(api_token)}
        if renew or self._token is None or time.monotonic() >= self._token_ends:
            self._fetch_token()
        return {"Authorization": f"Bearer {self._token}"}

    def _fetch_token(self) -> None:
        login, password = self.connection.login, self.connection.password
        if not login or not password:
            raise SettingsError(
                f"connection {self.http_conn_id}: give login and password (OAuth client id and secret), "
                "or extra 'api_token'"
            )
        basic = base64.b64encode(f"{login}:{password}".encode()).decode()
        asked = time.monotonic()
        answer = self.call_json(
            "qualtrics.token",
            "POST",
            "/oauth2/token",
            repeatable=True,  # A token that nobody uses does no harm.
            authorized=False,
            headers={"Authorization": f"Basic {basic}"},
            data={"grant_type": "client_credentials", "scope": SCOPES},
            expected=(200,),
        )
        token, life_s = answer.get("access_token"), answer.get("expires_in", 3600)
        if not isinstance(token, str) or not token or not isinstance(life_s, int | float):
            raise Unavailable("qualtrics.token", "the answer holds no token")
        self._token = token
        self._token_ends = asked + max(
            life_s - RENEW_BEFORE_S, life_s * 0.9 if life_s < 2 * RENEW_BEFORE_S else 0
        )

    def limits_of(self, operation: str) -> list[Limit]:
        name = operation.removeprefix("qualtrics.")
        if name == "token":
            return []
        limits = [Limit(bucket=f"{self.base}/all", limit=BRAND_LIMIT_PER_MINUTE, period_s=60)]
        if (own := LIMITS_PER_MINUTE.get(name)) is not None:
            limits.append(Limit(bucket=f"{self.base}/{name}", limit=own, period_s=60))
        return limits

    def error_code(self, payload: Any) -> str:
        if isinstance(payload.get("error"), str):
            # The token endpoint may answer in OAuth's own form (RFC 6749 §5.2).
            return str(payload["error"])
        error = payload["meta"]["error"]
        return " ".join(str(error[key]) for key in ("errorCode", "instanceId") if error.get(key))

    def request_id_of(self, response: requests.Response) -> str | None:
        # Only in the body, which is not always read: see :meth:`request_id_in` and :meth:`_result`.
        return response.headers.get("X-Request-Id")

    def request_id_in(self, payload: Any) -> str | None:
        # A refused token request may be answered without the envelope.
        return (payload.get("meta") or {}).get("requestId") or None

    def _result(
        self, operation: str, method: str, url: str, *, repeatable: bool, **options: Any
    ) -> dict[str, Any]:
        payload = self.call_json(operation, method, url, repeatable=repeatable, **options)
        meta = payload.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        if meta.get("notice"):
            self.log.warning(
                "%s: Qualtrics says the host is not this brand's own: correct the connection's host",
                operation,
            )
        result = payload.get("result")
        if not isinstance(result, dict):
            kind = Unavailable if repeatable else OutcomeUnknown
            raise kind(operation, "the answer has no result", request_id=meta.get("requestId"))
        return {**result, "requestId": meta.get("requestId")}

    # Operations

    def whoami(self) -> dict[str, Any]:
        """Whose credential this is: ``brandId``, ``userId``, … (a harmless read)."""
        return self._result("qualtrics.whoami", "GET", "/API/v3/whoami", repeatable=True)

    def list_surveys(self) -> Iterator[dict[str, Any]]:
        """All surveys as ``{id, name, isActive, …}``; pages of 100 are followed by ``nextPage``, taken as it comes."""
        url: str | None = "/API/v3/surveys"
        seen: set[str] = set()
        while url and url not in seen:
            seen.add(url)
            page = self._result("qualtrics.list_surveys", "GET", url, repeatable=True)
            elements = page.get("elements")
            yield from elements if isinstance(elements, list) else []
            url = page.get("nextPage")

    def survey_id_of(self, name: str) -> str:
        """
        The id of the survey with exactly this name.

        :raises SettingsError: there is none, or more than one.
        """
        found = [str(survey["id"]) for survey in self.list_surveys() if survey.get("name") == name]
        if len(found) == 1:
            return found[0]
        problem = "no survey has" if not found else f"{len(found)} surveys ({', '.join(sorted(found))}) have"
        raise SettingsError(
            f"{problem} the name {name!r} in {self.http_conn_id}: give survey_id instead of survey_name"
        )

    def start_export(self, survey_id: str, body: Mapping[str, Any]) -> str:
        """
        Start a job and return its progress id.

        Each call makes a new job: Qualtrics knows no idempotency key here and lists no jobs, so a lost answer cannot
        be looked up. A forgotten job changes nothing outside; it only counts against 100 starts a minute.

        :param body: see :func:`interchange.core.qualtrics_options.build_export_body`.
        :raises OutcomeUnknown: a job may run whose id nobody knows.
        """
        operation = "qualtrics.start_export"
        try:
            result = self._result(
                operation,
                "POST",
                self._exports(survey_id),
                repeatable=False,
                json=dict(body),
                expected=(200,),
            )
        except Refused as exc:
            if exc.status != 400 or exc.operation != operation:
                raise
            # The vendor's own words may quote data. Of another datacenter's account it proxies reads, but not this.
            advice = f"check the export's options, and that {self.http_conn_id} names this account's own datacenter"
            raise Refused(
                operation, f"{exc.detail}: {advice}", status=400, request_id=exc.request_id, code=exc.code
            ) from None
        progress_id = result.get("progressId")
        if not isinstance(progress_id, str) or not progress_id:
            raise OutcomeUnknown(operation, "the answer holds no progressId", request_id=result["requestId"])
        return progress_id

    def export_progress(self, survey_id: str, progress_id: str) -> Progress:
        """
        How far a job is.

        :raises NotFound: the job is unknown or gone.
        """
        operation = "qualtrics.export_progress"
        result = self._result(
            operation, "GET", f"{self._exports(survey_id)}/{_segment(progress_id)}", repeatable=True
        )
        try:
            status = JobStatus(result.get("status", ""))
        except ValueError as exc:
            raise Unavailable(
                operation, "the answer holds no known status", request_id=result["requestId"]
            ) from exc
        file_id = result.get("fileId")
        if status is JobStatus.COMPLETE and not isinstance(file_id, str):
            raise Unavailable(
                operation, "the job is complete without a fileId", request_id=result["requestId"]
            )
        return Progress(
            status=status,
            percent=float(result.get("percentComplete") or 0.0),
            file_id=file_id if isinstance(file_id, str) else None,
            request_id=result["requestId"],
        )

    def export_file(self, survey_id: str, file_id: str) -> AbstractContextManager[Download]:
        """
        Open a finished job's file. The same id gives the same bytes for a week; ranges are not documented.

        :raises NotFound: the file's week is over, or the id is none of a file.
        """
        return self.download("qualtrics.export_file", f"{self._exports(survey_id)}/{_segment(file_id)}/file")

    def survey_url(self, survey_id: str) -> str:
        """Where a person edits the survey."""
        return f"{self.base}/survey-builder/{_segment(survey_id)}/edit"

    def probe(self) -> str:
        who = self.whoami()
        if not who.get("userId"):
            raise Refused("qualtrics.whoami", "the answer names no user: is the host a Qualtrics address?")
        return f"Qualtrics answers for brand {who.get('brandId', '?')}"

    @staticmethod
    def _exports(survey_id: str) -> str:
        return f"/API/v3/surveys/{_segment(survey_id)}/export-responses"


def _segment(text: str) -> str:
    return quote(text, safe="")
