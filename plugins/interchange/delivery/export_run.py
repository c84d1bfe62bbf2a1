"""
The steps of one export, each safe to repeat: choose the revision, have a job, deliver its file.

Nothing here knows Airflow. What has happened is in the ledger; what happens next follows from it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from interchange.core.export_naming import delivery_key, job_key, revision_of
from interchange.core.onedrive_names import comparison_key
from interchange.core.qualtrics_options import build_export_body, is_compressed, media_type
from interchange.delivery.ledger_progress import LedgerProgress
from interchange.delivery.objects import ObjectDelivery
from interchange.delivery.onedrive import OneDriveDelivery, Target, receipt_of
from interchange.delivery.source import Damaged, Source
from interchange.errors import Busy, Conflict, NotFound, Refused, Unavailable
from interchange.exports import DAG_ID, PlannedExport
from interchange.hooks.http import Limiter
from interchange.hooks.onedrive import OneDriveHook
from interchange.hooks.qualtrics import JobStatus, QualtricsHook
from interchange.ledger import Effect, EffectRef, Ledger, RunRef, State
from interchange.ledger.keys import keyed_hash
from interchange.settings.qualtrics_to_onedrive import Export, OneDriveDestination

DELIVERY = "delivery"
JOB = "export"
JOBS_PER_REQUEST = 2
DIGEST_LENGTH = 12
# How far back an in-place file's deliveries are looked through for a newer one.
RECENT_DELIVERIES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """An export job at Qualtrics. ``file_id`` is None while it runs."""

    survey_id: str
    progress_id: str
    deadline: datetime
    number: int
    file_id: str | None


class Superseded(Exception):
    """The file already holds a newer window, which this older one would replace."""


class ExportRun:
    """The steps of one export, each safe to repeat."""

    def __init__(
        self,
        planned: PlannedExport,
        export: Export,
        *,
        ledger: Ledger,
        qualtrics: QualtricsHook,
        run: RunRef,
        limiter: Limiter,
        lease_s: float,
    ) -> None:
        self._planned = planned
        self._export = export
        self._ledger = ledger
        self._qualtrics = qualtrics
        self._run = run
        self._limiter = limiter
        self._lease_s = lease_s

    @property
    def conn_id(self) -> str:
        """Qualtrics' connection."""
        return self._export.conn_id

    # Which delivery is ours

    def choose_revision(self, joined: int | None) -> int:
        """
        The revision of the file this request is about.

        What the request has delivered stays its own, whoever came after it. Otherwise an unfinished revision is joined,
        whoever began it; after a finished one the next is begun. All of them are about the same content and place:
        after a correction of the settings nothing of before is joined.
        """
        if joined is not None:
            return joined
        prefix = delivery_key(self._planned.name, self._planned.window, self._content, None)
        known = self._ledger.list(workflow=DAG_ID, kind=DELIVERY, key_prefix=prefix, limit=None)
        revisions = {revision_of(effect.ref.key): effect for effect in known}
        done = [number for number, effect in revisions.items() if effect.state is State.CONFIRMED]
        if ours := [number for number in done if revisions[number].request == self._run.request]:
            return max(ours)
        revision = max(revisions, default=1)
        revision += revision in done
        self._ledger.plan(self._delivery_ref(revision), run=self._run)
        return revision

    @functools.cached_property
    def _body(self) -> dict[str, Any]:
        return build_export_body(self._export.format, self._export.options, self._planned.window)

    @functools.cached_property
    def _content(self) -> str:
        """What is exported and where to: whatever differs in one of them is another effect."""
        survey = [self._export.conn_id, self._export.survey_id, self._export.survey_name]
        parts = json.dumps([survey, self._body, self._place()], sort_keys=True)
        return keyed_hash(parts)[:DIGEST_LENGTH]

    def _delivery_ref(self, revision: int) -> EffectRef:
        key = delivery_key(self._planned.name, self._planned.window, self._content, revision)
        return EffectRef(DAG_ID, DELIVERY, key)

    def delivered(self, revision: int) -> Effect | None:
        effect = self._ledger.get(self._delivery_ref(revision))
        return effect if effect is not None and effect.state is State.CONFIRMED else None

    def not_before(self) -> datetime | None:
        """When the window may be asked for, if that is still to come."""
        moment = self._planned.window.end + self._export.settle
        return moment if moment > datetime.now(UTC) else None

    def check_newest(self) -> None:
        """
        Make sure that a file replaced in place does not already hold a newer window.

        A late retry, a backfill or a cleared task must not put yesterday's responses over today's. Only a person who
        names the window on the form may.

        :raises Superseded: it does.
        """
        if self._export.destination.unique or self._planned.asked_for:
            return
        prefix = f"{self._planned.name}/"
        newest = ""
        for effect in self._ledger.list(
            workflow=DAG_ID,
            kind=DELIVERY,
            state=State.CONFIRMED,
            key_prefix=prefix,
            limit=RECENT_DELIVERIES,
            newest_first=True,
        ):
            receipt = effect.receipt or {}
            if receipt.get("place") == self._place():
                newest = max(newest, receipt.get("window_end", ""))
        if newest > self._planned.window_end:
            raise Superseded(
                f"{self._planned.destination} already holds a newer window (up to {newest}), which this older one "
                "would replace. To do that anyway, trigger the DAG with window_start and window_end."
            )

    # The job

    def job(self, revision: int) -> Job:
        """
        The job whose file is to be delivered: the one that runs or is done, or a new one.

        A failed job is asked for once more; a second failure is for a person.

        :raises Refused: jobs fail, or one has run longer than the deadline.
        """
        jobs = self._jobs(revision)
        number = len(jobs) or 1
        while True:
            effect = next((entry for entry in jobs if entry.ref.key.endswith(f"/j{number}")), None)
            if effect is None or effect.state is not State.CONFIRMED:
                self._check_allowance(jobs, number)
            ours = effect is None or effect.request in (None, self._run.request)
            receipt = self._start(revision, number)
            survey_id, progress_id = str(receipt["survey_id"]), str(receipt["progress_id"])
            deadline = datetime.fromisoformat(receipt["started_at"]) + self._export.deadline
            try:
                progress = self._qualtrics.export_progress(survey_id, progress_id)
            except NotFound:
                failure = "its job is gone"
            else:
                if progress.status is JobStatus.COMPLETE:
                    return Job(
                        survey_id=survey_id,
                        progress_id=progress_id,
                        deadline=deadline,
                        number=number,
                        file_id=progress.file_id,
                    )
                if progress.status is JobStatus.IN_PROGRESS and datetime.now(UTC) < deadline:
                    return Job(
                        survey_id=survey_id,
                        progress_id=progress_id,
                        deadline=deadline,
                        number=number,
                        file_id=None,
                    )
                failure = "Qualtrics reports the job as failed" + (
                    f" (request {progress.request_id})" if progress.request_id else ""
                )
                if progress.status is JobStatus.IN_PROGRESS:
                    failure = (
                        f"the job still runs after {self._export.deadline_minutes:g} minutes, at "
                        f"{progress.percent:.0f} %; raise deadline_minutes, or clear this task to start another job"
                    )
                    if ours:
                        raise Refused("qualtrics.export_progress", failure)
            jobs = self._jobs(revision)
            self._check_allowance(jobs, number + 1, failure)
            number += 1
            jobs.append(self._ledger.plan(self._job_ref(revision, number), run=self._run))

    def _start(self, revision: int, number: int) -> dict[str, Any]:
        def start() -> dict[str, Any]:
            survey_id = self._export.survey_id or self._qualtrics.survey_id_of(self._export.survey_name or "")
            return {
                "survey_id": survey_id,
                "progress_id": self._qualtrics.start_export(survey_id, self._body),
                "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            }

        # Jobs cannot be looked up. One whose id was lost with its answer changes nothing outside and ends by itself,
        # so starting again is safe.
        return self._ledger.perform(
            self._job_ref(revision, number),
            send=start,
            find=None,
            resend=True,
            lease_s=self._lease_s,
            run=self._run,
        )

    def _check_allowance(self, jobs: Sequence[Effect], number: int, failure: str = "its job failed") -> None:
        """Jobs of this one request are few, whatever happens to them; a cleared task is another request."""
        before = sum(
            entry.request == self._run.request and not entry.ref.key.endswith(f"/j{number}") for entry in jobs
        )
        if before >= JOBS_PER_REQUEST:
            raise Refused(
                "qualtrics.export",
                f"{JOBS_PER_REQUEST} jobs gave no file, the last one because {failure}; clear this task to try again",
            )

    def _jobs(self, revision: int) -> list[Effect]:
        prefix = job_key(self._planned.name, self._planned.window, self._content, revision, None)
        return self._ledger.list(workflow=DAG_ID, kind=JOB, key_prefix=prefix, limit=None)

    def _job_ref(self, revision: int, number: int) -> EffectRef:
        key = job_key(self._planned.name, self._planned.window, self._content, revision, number)
        return EffectRef(DAG_ID, JOB, key)

    # The file

    def deliver(self, revision: int, job: Job) -> dict[str, Any]:
        """
        Bring the job's file to its destination.

        :raises Unavailable: the next try goes on.
        :raises Superseded: another run was faster with a newer window.
        """
        ref = self._delivery_ref(revision)
        # Two windows may be written to one place; their bytes must not meet.
        claim = self._ledger.hold(f"{DAG_ID}/place/{self._place()}", lease_s=self._lease_s)
        with self._usable(revision, job) as source, claim:
            # Only now can nobody else write there any more.
            try:
                self.check_newest()
            except Superseded:
                self._abandon(ref)
                raise
            receipt = self._to_destination(ref, source, job)
        self._retire_others()
        return receipt

    def read(self, revision: int, job: Job) -> dict[str, Any]:
        """
        Make sure that the job's file is a whole export, and store it nowhere: for messages about a window whose file
        a newer one has replaced.

        :raises Unavailable: it is not; the next try asks for another job.
        """
        with self._usable(revision, job) as source, source.reading() as reading:
            return {"survey_id": job.survey_id, "file_id": job.file_id, "rows": reading.measure().rows}

    @contextmanager
    def _usable(self, revision: int, job: Job) -> Iterator[Source]:
        """The job's file; where it turns out to be no export, the next try asks for another."""
        file_id = job.file_id or ""
        source = Source(
            lambda: self._qualtrics.export_file(job.survey_id, file_id),
            identity=file_id,
            export_format=self._export.format,
            packed=is_compressed(self._export.options),
        )
        try:
            yield source
        except (Damaged, NotFound) as exc:
            if isinstance(exc, NotFound) and not exc.operation.startswith("qualtrics."):
                raise
            self._ledger.plan(self._job_ref(revision, job.number + 1), run=self._run)
            raise Unavailable(
                exc.operation, f"{exc.detail}; another job is needed", status=exc.status
            ) from exc

    def _retire_others(self) -> None:
        """Ask nobody what became of attempts for the same window with settings that were corrected since."""
        prefix = delivery_key(self._planned.name, self._planned.window, self._content, None)
        window = prefix.removesuffix(f"{self._content}/r")
        for effect in self._ledger.list(workflow=DAG_ID, key_prefix=window, limit=None):
            if effect.state in (State.BEGUN, State.UNKNOWN) and not effect.ref.key.startswith(prefix):
                # One that is still at it keeps its claim.
                with suppress(Busy, Conflict):
                    self._ledger.settle(
                        effect.ref,
                        to=State.PLANNED,
                        by=self._ledger.owner,
                        reason="the export has other settings now, with which it was delivered",
                    )

    def _abandon(self, ref: EffectRef) -> None:
        """Leave nothing half done where nothing is to be done any more; the caller holds the claim on the place."""
        # An attempt whose outcome nobody saw: whatever it stored has been replaced.
        with suppress(Busy, Conflict, NotFound):
            self._ledger.settle(
                ref, to=State.PLANNED, by=self._ledger.owner, reason="a newer window has replaced it"
            )
        to = self._export.destination
        if isinstance(to, OneDriveDestination):
            with closing(OneDriveHook(to.conn_id, limiter=self._limiter)) as onedrive:
                self._onedrive_delivery(onedrive, to, ref).abandon()

    def _place(self) -> str:
        """One name for one file, whichever export and window it is for; hashed, since a mailbox is part of it."""
        to = self._export.destination
        if isinstance(to, OneDriveDestination):
            address = [to.conn_id, to.user, to.folder.strip("/"), self._planned.file_name]
            return keyed_hash(comparison_key("/".join(address)))
        return keyed_hash(f"{to.url.rstrip('/')}/{self._planned.file_name}")

    def _to_destination(self, ref: EffectRef, source: Source, job: Job) -> dict[str, Any]:
        common = {
            "destination": self._planned.destination,
            "place": self._place(),
            "file_name": self._planned.file_name,
            "window_start": self._planned.window_start,
            "window_end": self._planned.window_end,
            "format": self._planned.format,
            "survey_id": job.survey_id,
            "progress_id": job.progress_id,
            "file_id": job.file_id,
        }
        to = self._export.destination
        if isinstance(to, OneDriveDestination):
            common["conn_id"] = to.conn_id
            with closing(OneDriveHook(to.conn_id, limiter=self._limiter)) as onedrive:
                delivery = self._onedrive_delivery(onedrive, to, ref)

                def find() -> dict[str, Any] | None:
                    found = delivery.find()
                    return None if found is None else {**common, **receipt_of(found)}

                return self._ledger.perform(
                    ref,
                    send=lambda: {**common, **receipt_of(delivery.deliver(source))},
                    find=find,
                    lease_s=self._lease_s,
                    run=self._run,
                )
        store = ObjectDelivery(to.url, self._planned.file_name)
        # Storing the same window again replaces the same object, so doing it again is always safe.
        return self._ledger.perform(
            ref,
            send=lambda: {**common, **store.deliver(source)},
            find=None,
            resend=True,
            lease_s=self._lease_s,
            run=self._run,
        )

    def _onedrive_delivery(
        self, hook: OneDriveHook, to: OneDriveDestination, ref: EffectRef
    ) -> OneDriveDelivery:
        target = Target(
            user=to.user,
            folder=to.folder,
            name=self._planned.file_name,
            media_type=media_type(self._export.format, zipped=is_compressed(self._export.options)),
        )
        return OneDriveDelivery(
            hook, target, LedgerProgress(self._ledger, ref), fragment_size=to.fragment_size
        )

    def result(self, revision: int, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """
        What goes into XCom: keys and small facts.

        ``file_url`` is a path of our page, which leads on to the file: OneDrive's own address of it names the mailbox.
        """
        ref = {"ref": str(self._delivery_ref(revision))}
        return {
            "name": self._planned.name,
            "destination": receipt.get("destination", self._planned.destination),
            "window_start": self._planned.window_start,
            "window_end": self._planned.window_end,
            "survey_id": receipt.get("survey_id"),
            "file_id": receipt.get("file_id"),
            "bytes": receipt.get("size"),
            "rows": receipt.get("rows"),
            "sha256": receipt.get("sha256"),
            "item_id": receipt.get("item_id"),
            "version": receipt.get("version"),
            "proof": receipt.get("proof"),
            "file_url": f"/interchange/ledger/file?{urlencode(ref)}" if receipt.get("item_id") else None,
            "survey_url": self._qualtrics.survey_url(str(receipt.get("survey_id", ""))),
        }
