"""The routes of the simulated Qualtrics."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import gzip
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from include.sandbox.core import Vendor, new_id
from include.sandbox.vendors.qualtrics import archive, defaults, files, formats, seeds, switches
from include.sandbox.vendors.qualtrics.access import (
    READ_RESPONSES,
    READ_SURVEYS,
    Access,
    Client,
    Throttle,
    TokenRefused,
)
from include.sandbox.vendors.qualtrics.data import Mark, Store, Survey
from include.sandbox.vendors.qualtrics.jobs import Fate, Job, Status, fate
from include.sandbox.vendors.qualtrics.start import ApiError, parse
from include.sandbox.vendors.qualtrics.switches import due
from include.sandbox.wire import Request, Response, answer_html, answer_json, route

API = "/API/v3"
EXPORTS = API + "/surveys/{survey_id}/export-responses"
SURVEY_ID = re.compile(r"SV_[0-9A-Za-z]{1,32}")
EXCESS = 1000
NOTICE = "Request proxied. For faster response times, use this host instead: right.qualtrics.com"
PROXIED = "This request was proxied from another datacenter: send it to the account's own host."
Handler = Callable[["Qualtrics", Request], Response]


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """What a continuation token stands for."""

    survey_id: str
    mark: Mark
    expires_at: dt.datetime


def endpoint(
    method: str, *paths: str, operation: str, scope: str | None = None
) -> Callable[[Handler], Handler]:
    """A route of the API proper: limits, credentials and scope are checked, errors leave in the envelope."""

    def mark(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def guarded(vendor: Qualtrics, request: Request) -> Response:
            if method == "POST" and request.body.absent:
                # The HTTP layer in front says this, before anything else looks at the request.
                return answer_html(411, "<html><body><h1>411 Length Required</h1></body></html>")
            try:
                vendor.admit(request, scope, operation)
                return handler(vendor, request)
            except ApiError as exc:
                request.body.drain()
                return vendor.refuse(exc)

        for path in paths:
            route(method, path, operation=operation)(guarded)
        return guarded

    return mark


class Qualtrics(Vendor):
    """One datacenter with one account. For its seeds see :func:`seeds.plant`."""

    name = "qualtrics"
    Options = switches.Options
    options: switches.Options

    # Life

    def clear(self) -> None:
        self.store = Store()
        defaults.fill(self.store)
        self.access = Access(
            clients={
                defaults.CLIENT_ID: Client(secret=defaults.CLIENT_SECRET, scopes=defaults.CLIENT_SCOPES)
            },
            api_tokens={defaults.API_TOKEN},
        )
        self.jobs: dict[str, Job] = {}
        self.continuations: dict[str, Continuation] = {}
        self.throttle = Throttle()

    def seed(self, data: dict[str, Any]) -> None:
        seeds.plant(data, self.store, self.access, self.now())

    def snapshot(self) -> dict[str, Any]:
        seeded = self.store.seeded_counts()
        return {
            "surveys": [
                {"id": s.id, "name": s.name, "isActive": s.active, "seeded_responses": seeded.get(s.id, 0)}
                for s in self.store.surveys.values()
            ],
            "jobs": [
                {
                    "progress_id": job.progress_id,
                    "file_id": job.file_id if job.status is Status.COMPLETE else None,
                    "survey_id": job.survey.id,
                    "format": job.start.format,
                    "status": job.status.value,
                    "polls": job.polls,
                    "started": job.started.isoformat(),
                    "completed": job.completed.isoformat() if job.completed else None,
                }
                for job in self.jobs.values()
            ],
            "clients": {client_id: list(client.scopes) for client_id, client in self.access.clients.items()},
            "api_tokens": len(self.access.api_tokens),
            "valid_tokens": sum(token.expires_at > self.now() for token in self.access.tokens.values()),
        }

    def dump(self) -> Any:
        with self.lock:
            return {
                "store": self.store.copy(),
                "access": self.access.copy(),
                "jobs": {key: replace(job) for key, job in self.jobs.items()},
                "continuations": dict(self.continuations),
            }

    def load(self, dumped: Any) -> None:
        self.store = dumped["store"]
        self.access = dumped["access"]
        self.jobs = dumped["jobs"]
        self.continuations = dumped["continuations"]

    # Answers

    def _answer(self, result: dict[str, Any]) -> Response:
        meta = {"requestId": new_id(), "httpStatus": "200 - OK"}
        if self.options.wrong_datacenter:
            meta["notice"] = NOTICE
        return answer_json(200, {"result": result, "meta": meta})

    def refuse(self, error: ApiError) -> Response:
        """An error in the vendor's envelope: without ``result``."""
        told: dict[str, Any] = {"errorMessage": error.message}
        if error.code is not None:
            told["errorCode"] = error.code
        if error.instance_id is not None:
            told["instanceId"] = error.instance_id
        status = f"{error.status} - {HTTPStatus(error.status).phrase}"
        request_id = new_id() if error.request_id is None else error.request_id
        payload = {"meta": {"httpStatus": status, "error": told, "requestId": request_id}}
        return answer_json(error.status, payload, error.headers)

    def not_found(self, request: Request) -> Response:
        error = {"errorMessage": "The requested resource does not exist."}
        return answer_json(404, {"meta": {"httpStatus": "404 - Not Found", "error": error}})

    def bad_body(self, request: Request, reason: str) -> Response:
        return self.refuse(ApiError(400, "BRE_0.5", f"The request could not be read: {reason}."))

    def admit(self, request: Request, scope: str | None, operation: str) -> None:
        """Everything that can stop a call before it is looked at."""
        options = self.options
        with self.lock:
            if due(options, "server_errors"):
                raise ApiError(
                    options.server_error_status,
                    "SURVEYS_1.2",
                    "Unexpected server error.",
                    instance_id=new_id(),
                )
            self.access.check(
                authorization=request.headers.get("Authorization"),
                api_token=request.headers.get("X-API-TOKEN"),
                scope=scope,
                now=self.now(),
                wrong_datacenter=options.wrong_datacenter,
                forbidden_code=options.forbidden_code,
            )
            limits = {
                "brand": options.limit_brand,
                "start_export": options.limit_start,
                "export_progress": options.limit_progress,
                "export_file": options.limit_file,
            }
            for kind in ("brand", operation):
                wait_s = self.throttle.wait_s(kind, limits.get(kind, 0), options.limit_period_s, self.now())
                if wait_s:
                    headers = (("Retry-After", str(wait_s)),) if options.retry_after else ()
                    raise ApiError(429, options.limit_code, "Too many requests.", headers=headers)
            if options.wrong_datacenter and request.method == "POST":
                raise ApiError(400, "SANDBOX_PROXIED", PROXIED)

    # Token

    @route("POST", "/oauth2/token", operation="token")
    def token(self, request: Request) -> Response:
        if request.body.absent:
            return answer_html(411, "<html><body><h1>411 Length Required</h1></body></html>")
        form = request.form()
        try:
            with self.lock:
                text, token = self.access.issue(
                    request.headers.get("Authorization", ""),
                    form,
                    now=self.now(),
                    lifetime_s=self.options.token_expires_in_s,
                    scope_required=self.options.scope_required,
                )
        except TokenRefused as exc:
            if self.options.token_error_envelope:
                return self.refuse(ApiError(exc.status, "AUTH_6.0", exc.error))
            return answer_json(exc.status, {"error": exc.error})
        return answer_json(
            200,
            {
                "access_token": text,
                "token_type": "Bearer",
                "expires_in": self.options.token_expires_in_s,
                "scope": " ".join(token.scopes),
            },
        )

    # Account and surveys

    @endpoint("GET", API + "/whoami", operation="whoami")
    def whoami(self, request: Request) -> Response:
        return self._answer(
            {
                "brandId": "sandbox",
                "userId": "UR_0sandbox",
                "userName": "sandbox#sandbox",
                "accountType": "UT_BRANDADMIN",
                "firstName": "Sandbox",
                "lastName": "User",
                "email": "sandbox@example.edu",
                "datacenter": "sandbox",
                "language": "en",
            }
        )

    @endpoint("GET", API + "/surveys", operation="list_surveys", scope=READ_SURVEYS)
    def list_surveys(self, request: Request) -> Response:
        options = self.options
        first = self._page_start(request)
        with self.lock:
            surveys = list(self.store.surveys.values())
        after = first + options.page_size
        following = None
        if after < len(surveys):
            cursor = str(after) if options.cursor_parameter == "offset" else _opaque(after)
            query = urllib.parse.urlencode({options.cursor_parameter: cursor})
            following = f"{request.base_url}{API}/surveys?{query}"
        elements = [
            {
                "id": survey.id,
                "name": survey.name,
                "ownerId": survey.owner_id,
                "lastModified": _iso(survey.modified),
                "creationDate": _iso(survey.created),
                "isActive": survey.active,
            }
            for survey in surveys[first:after]
        ]
        return self._answer({"elements": elements, "nextPage": following})

    def _page_start(self, request: Request) -> int:
        cursor = request.arg(self.options.cursor_parameter)
        if cursor is None:
            return 0
        try:
            if self.options.cursor_parameter != "offset":
                cursor = base64.urlsafe_b64decode(cursor).decode().removeprefix("from:")
            first = int(cursor)
        except (ValueError, binascii.Error):
            raise ApiError(400, "QVAL_7", f"Invalid parameter {self.options.cursor_parameter}.") from None
        if first < 0:
            raise ApiError(400, "QVAL_7", f"Invalid parameter {self.options.cursor_parameter}.")
        return first

    @endpoint("GET", API + "/surveys/{survey_id}/filters", operation="list_filters", scope=READ_SURVEYS)
    def list_filters(self, request: Request) -> Response:
        elements = [
            {"filterId": item.id, "filterName": item.name, "creationDate": _iso(item.created)}
            for item in self._survey(request).filters
        ]
        return self._answer({"elements": elements, "nextPage": None})

    def _survey(self, request: Request) -> Survey:
        survey_id = request.params["survey_id"]
        if not SURVEY_ID.fullmatch(survey_id):
            raise ApiError(400, "QVAL_7", "Invalid surveyId parameter.")
        survey = self.store.surveys.get(survey_id)
        if survey is None:
            raise ApiError(404, "SANDBOX_SURVEY", "The survey does not exist.")
        return survey

    # Exports

    @endpoint("POST", EXPORTS, EXPORTS + "/", operation="start_export", scope=READ_RESPONSES)
    def start_export(self, request: Request) -> Response:
        survey = self._survey(request)
        body = request.json()
        start = parse(body, survey, self.options)
        with self.lock:
            job = Job(
                survey=survey,
                start=start,
                started=self.now(),
                since=self._mark_of(start.continuation_token, survey),
                fate=fate(self.options),
            )
            self.jobs[job.progress_id] = job
        self.effect(
            "export_started",
            survey_id=survey.id,
            progress_id=job.progress_id,
            format=start.format,
            startDate=body.get("startDate"),
            endDate=body.get("endDate"),
        )
        return self._answer({"progressId": job.progress_id, "percentComplete": 0.0, "status": "inProgress"})

    def _mark_of(self, token: str | None, survey: Survey) -> Mark | None:
        if token is None:
            return None
        known = self.continuations.get(token)
        if known is None or known.survey_id != survey.id or known.expires_at <= self.now():
            raise ApiError(400, "QVAL_7", "Invalid parameter continuationToken.")
        return known.mark

    @endpoint("GET", EXPORTS + "/{progress_id}", operation="export_progress", scope=READ_RESPONSES)
    def progress(self, request: Request) -> Response:
        survey = self._survey(request)
        with self.lock:
            job = self.jobs.get(request.params["progress_id"])
            if job is None or job.survey.id != survey.id:
                raise ApiError(404, "SANDBOX_EXPORT", "The export does not exist.")
            job.polls += 1
            if job.fate is Fate.VANISH and job.polls > self.options.vanish_after_polls:
                raise ApiError(404, "SANDBOX_EXPORT", "The export does not exist.")
            ended = job.status is Status.IN_PROGRESS and job.ends_at_this_poll(self.options, self.now())
            if ended:
                self._end(job)
            result = job.progress(self.options)
        if ended:
            # A poll is a GET, after which the core saves nothing; what a file holds must outlive a crash.
            self.sandbox.save()
        return self._answer(result)

    def _end(self, job: Job) -> None:
        if job.fate is not Fate.COMPLETE or job.survey.large_bytes > self.options.export_limit_bytes:
            job.status = Status.FAILED
            return
        now = self.now()
        delay = dt.timedelta(seconds=self.options.visible_delay_s)
        job.mark = Mark(moment=now, revision=self.store.revision, delay=delay)
        job.completed = now
        job.status = Status.COMPLETE
        if not (job.start.allow_continuation or job.start.continuation_token):
            return
        last = None
        if job.start.limit is not None:
            exported = self.store.select(job.query(job.mark))
            by_modified = job.start.sort_by_last_modified
            if len(exported) == job.start.limit:
                last = exported[-1].modified if by_modified else exported[-1].recorded, exported[-1].id
        job.continuation_token = new_id("CT_")
        self.continuations[job.continuation_token] = Continuation(
            survey_id=job.survey.id,
            mark=replace(job.mark, last=last),
            expires_at=now + dt.timedelta(seconds=self.options.continuation_kept_s),
        )

    @endpoint("GET", EXPORTS + "/{file_id}/file", operation="export_file", scope=READ_RESPONSES)
    def file(self, request: Request) -> Response:
        survey = self._survey(request)
        options = self.options
        with self.lock:
            job = next((job for job in self.jobs.values() if job.file_id == request.params["file_id"]), None)
            if (
                job is None
                or job.survey.id != survey.id
                or job.completed is None
                or (self.now() - job.completed).total_seconds() >= options.files_kept_s
            ):
                raise ApiError(404, "SANDBOX_FILE", "The file does not exist.")
            html, empty = due(options, "html_files"), due(options, "empty_files")
            corrupt, excess = due(options, "corrupt_zips"), due(options, "excess_lengths")
        if html:
            return answer_html(200)
        content = files.plain(job, self.store)
        content_type = formats.CONTENT_TYPES[job.start.format]
        extension = formats.EXTENSIONS[job.start.format]
        pieces: Iterable[bytes] = content
        if job.start.compress or options.always_zip:
            name = options.entry_name or f"{job.survey.name}.{extension}"
            content = archive.zipped(name, content, job.completed)
            pieces = archive.damaged(content) if corrupt else content
            content_type, extension = "application/zip", "zip"
        length = content.length
        file_name = urllib.parse.quote_plus(f"{job.survey.name}.{extension}")
        headers = [
            ("Content-Type", content_type),
            ("Content-Disposition", f"attachment; filename={file_name}"),
        ]
        if options.gzip_files and not job.survey.large_bytes and files.gzip_is_offered(request):
            packed = gzip.compress(b"".join(pieces), compresslevel=1, mtime=0)
            pieces, length = [packed], len(packed)
            headers.append(("Content-Encoding", "gzip"))
        announced = 0 if empty else length + EXCESS * excess
        return Response(
            body=self._journalled(job, () if empty else pieces, length),
            headers=headers,
            length=None if options.chunked_files else announced,
        )

    def _journalled(self, job: Job, pieces: Iterable[bytes], length: int) -> Iterator[bytes]:
        """The file's bytes; at the end, also an untimely one, the effect journal says how far they got."""
        sent = 0
        try:
            for piece in pieces:
                yield piece
                sent += len(piece)
        finally:
            self.effect("file_downloaded", file_id=job.file_id, bytes=sent, complete=sent == length)


def _iso(value: dt.datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def _opaque(first: int) -> str:
    return base64.urlsafe_b64encode(f"from:{first}".encode()).decode()
