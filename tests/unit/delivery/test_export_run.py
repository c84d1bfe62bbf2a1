"""The steps of one export: which revision, which job, which file."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.core.windows import Window
from interchange.delivery.export_run import DELIVERY, JOB, ExportRun, Superseded
from interchange.delivery.source import Damaged
from interchange.errors import Busy, NotFound, OutcomeUnknown, Refused, SettingsError, Unavailable
from interchange.ledger import Ledger, State
from tests.unit.delivery.conftest import Work
from tests.unit.vendors import (
    TRACKER,
    arm,
    calls,
    effects,
    files,
    stored,
    wait_for,
)

PATH = "/Exports/tracker_20261101T000000Z-20261101T060000Z.zip"


def options(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("qualtrics").set_options(values)


def done(work: ExportRun) -> dict[str, Any]:
    revision = work.choose_revision(None)
    return work.deliver(revision, work.job(revision))


# Revisions


def test_a_window_is_exported_once_per_request(sandbox: Sandbox, work: Work):
    """A retry finds it done; another request, by a person or a run, does it anew in the same place."""
    done(work())
    again = work("bob")
    assert again.choose_revision(None) == 1
    assert again.delivered(1) is not None
    other = work("cid", request="run/c1")
    assert other.choose_revision(None) == 2
    assert other.delivered(2) is None
    done(other)
    assert list(files(sandbox)) == [PATH]
    assert files(sandbox)[PATH]["versions"] == 2
    assert len(effects(sandbox, "export_started")) == 2


def test_a_retry_finds_its_own_file_although_others_came_after_it(work: Work):
    """Its process may have died between the receipt and the end of the task."""
    done(work())
    done(work("cid", request="run/c1"))
    assert work("bob").choose_revision(None) == 1
    assert work("cid", request="run/c1").choose_revision(None) == 2
    assert work("dan", request="another run/c0").choose_revision(None) == 3


def test_an_unfinished_window_is_joined_by_whoever_comes(sandbox: Sandbox, work: Work):
    options(sandbox, polls_until_complete=10**6)
    first = work()
    running = first.job(first.choose_revision(None))
    second = work("bob", request="another run/c0")
    revision = second.choose_revision(None)
    assert revision == 1
    assert second.job(revision) == running
    assert len(effects(sandbox, "export_started")) == 1


def test_a_revision_that_was_waited_for_is_kept(work: Work):
    first = work()
    assert first.choose_revision(first.choose_revision(None)) == 1
    done(first)
    other = work("bob", request="run/c1")
    assert other.choose_revision(1) == 1


def test_two_windows_are_not_written_to_one_place_at_once(sandbox: Sandbox, work: Work):
    """Their bytes must not meet under one name."""
    first, second = work(settings=REPLACED), work("bob", settings=REPLACED, **OLDER)
    jobs = first.job(first.choose_revision(None)), second.job(second.choose_revision(None))
    arm(sandbox, "qualtrics", "slow", seconds=1.0, operation="export_file")
    ann = threading.Thread(target=first.deliver, args=(1, jobs[0]))
    ann.start()
    wait_for(lambda: bool(calls(sandbox, "export_file")))
    with pytest.raises(Busy, match="is held by ann"):
        second.deliver(1, jobs[1])
    ann.join()
    second.deliver(1, jobs[1])
    assert files(sandbox)["/Exports/tracker.zip"]["versions"] == 2


# Settling and superseding


def test_a_young_window_waits_for_its_late_responses(work: Work):
    now = dt.datetime.now(dt.UTC)
    bounds = {
        "window_start": (now - dt.timedelta(hours=1)).isoformat(),
        "window_end": (now - dt.timedelta(minutes=1)).isoformat(),
    }
    moment = work(**bounds).not_before()
    assert moment is not None
    assert dt.timedelta(0) < moment - now < dt.timedelta(minutes=2)
    assert work(settings={"settle_minutes": 0}, **bounds).not_before() is None
    assert work().not_before() is None


REPLACED = {"destination": {**TRACKER["destination"], "unique": False}}
OLDER = {"window_start": "2026-10-01T00:00:00Z", "window_end": "2026-10-02T00:00:00Z"}


def test_an_older_window_does_not_replace_a_newer_file(sandbox: Sandbox, work: Work):
    """A backfill must not put last month's responses over today's; a person who asks for it may."""
    done(work(settings=REPLACED))
    older = Window(*(dt.datetime.fromisoformat(text) for text in OLDER.values()))
    late = work("bob", settings=REPLACED, interval=older)
    with pytest.raises(Superseded, match=r"already holds a newer window \(up to 2026-11-01T06:00:00Z\)"):
        late.check_newest()
    with pytest.raises(Superseded):
        done(late)
    assert files(sandbox)["/Exports/tracker.zip"]["versions"] == 1
    # Neither does a backfill that reprocesses its runs, or a person who clears the task.
    with pytest.raises(Superseded):
        done(work("cid", settings=REPLACED, interval=older, request="run/c1"))
    # Others may: asked for by its window, or with a name of its own.
    done(work("bob", settings=REPLACED, **OLDER))
    done(work("dan", interval=older))


def test_the_newest_window_is_replaced_by_its_own_repetition(sandbox: Sandbox, work: Work):
    done(work(settings=REPLACED))
    done(work("bob", settings=REPLACED, request="run/c1"))
    assert files(sandbox)["/Exports/tracker.zip"]["versions"] == 2


def test_a_newer_window_that_was_faster_is_not_replaced(sandbox: Sandbox, work: Work):
    """Both had looked before either had written."""
    interval = Window(*(dt.datetime.fromisoformat(text) for text in OLDER.values()))
    newer, older = work(settings=REPLACED), work("bob", settings=REPLACED, interval=interval)
    older.check_newest()
    job = older.job(older.choose_revision(None))
    done(newer)
    with pytest.raises(Superseded, match="already holds a newer window"):
        older.deliver(1, job)
    assert files(sandbox)["/Exports/tracker.zip"]["versions"] == 1


def test_what_a_newer_window_overtook_leaves_nothing_open(
    sandbox: Sandbox, work: Work, worker: Callable[..., Ledger]
):
    """Its upload session is ended, and nobody is asked what became of it."""
    interval = Window(*(dt.datetime.fromisoformat(text) for text in OLDER.values()))
    sandbox.vendor("qualtrics").seed({"large": {"survey_id": "SV_0large", "bytes": 5_600_000}})
    in_fragments = {**REPLACED["destination"], "fragment_mib": 1}
    large = {"survey_id": "SV_0large", "destination": in_fragments}
    older = work("bob", settings=large, interval=interval)
    revision = older.choose_revision(None)
    job = older.job(revision)
    arm(sandbox, "upload", "lose_answer", operation="fragment", call=2)
    arm(sandbox, "upload", "status", operation="session_status", times=99)
    with pytest.raises((OutcomeUnknown, Unavailable)):
        older.deliver(revision, job)
    sandbox.faults.clear()
    done(work(settings=large))
    assert not calls(sandbox, "cancel")
    with pytest.raises(Superseded):
        work("cid", settings=large, interval=interval).deliver(revision, job)
    assert len(calls(sandbox, "cancel")) == 1
    assert not worker("eve").list(state=State.UNKNOWN)


def test_a_window_that_was_overtaken_can_still_be_read(sandbox: Sandbox, work: Work):
    """For its messages; a useless file asks for another job here, too."""
    interval = Window(*(dt.datetime.fromisoformat(text) for text in OLDER.values()))
    done(work(settings=REPLACED))
    options(sandbox, html_files=1)
    older = work("bob", settings=REPLACED, interval=interval)
    revision = older.choose_revision(None)
    with pytest.raises(Unavailable, match="another job is needed"):
        older.read(revision, older.job(revision))
    job = older.job(revision)
    assert older.read(revision, job)["file_id"] == job.file_id
    assert files(sandbox)["/Exports/tracker.zip"]["versions"] == 1


# Corrected settings


CORRECTIONS: dict[str, dict[str, Any]] = {
    "survey": {"survey_id": "SV_0feedback"},
    "format": {"format": "json"},
    "options": {"options": {"useLabels": True}},
    "folder": {"destination": {**TRACKER["destination"], "folder": "Corrected"}},
}


@pytest.mark.parametrize("changed", CORRECTIONS)
def test_after_a_correction_nothing_of_before_is_delivered(changed: str, sandbox: Sandbox, work: Work):
    """The job that ran when a person found the mistake is of no use any more, and neither is its upload."""
    wrong = work()
    first = wrong.job(wrong.choose_revision(None))
    right = work("bob", request="run/c1", settings=CORRECTIONS[changed])
    revision = right.choose_revision(None)
    job = right.job(revision)
    assert job.progress_id != first.progress_id
    receipt = right.deliver(revision, job)
    assert receipt["file_id"] == job.file_id
    assert receipt["survey_id"] == CORRECTIONS[changed].get("survey_id", "SV_0symptoms")
    ((path, _),) = files(sandbox).items()
    assert path.startswith("/Corrected/" if changed == "folder" else "/Exports/")
    # Taken back, the first one is what it was.
    again = work("cid", request="run/c2")
    assert again.job(again.choose_revision(None)).progress_id == first.progress_id


def test_another_format_on_the_form_does_not_join_a_running_job(sandbox: Sandbox, work: Work):
    options(sandbox, polls_until_complete=10**6)
    first, second = work(), work("bob", request="form/c0", format="json")
    jobs = [run.job(run.choose_revision(None)) for run in (first, second)]
    assert jobs[0].progress_id != jobs[1].progress_id


# Jobs


def test_a_running_job_is_joined_not_doubled(sandbox: Sandbox, work: Work):
    options(sandbox, polls_until_complete=2)
    jobs = [work(owner).job(1) for owner in ("ann", "bob", "cid")]
    assert [job.file_id is None for job in jobs] == [True, True, False]
    assert len({job.progress_id for job in jobs}) == 1
    assert len(effects(sandbox, "export_started")) == 1


def test_a_job_whose_start_was_not_answered_is_started_again(sandbox: Sandbox, work: Work):
    """It cannot be looked up, and one that nobody fetches changes nothing."""
    arm(sandbox, "qualtrics", "lose_answer", operation="start_export")
    with pytest.raises(OutcomeUnknown):
        work().job(1)
    assert work("bob").job(1).file_id
    assert len(effects(sandbox, "export_started")) == 2


def test_a_survey_is_found_by_its_name(sandbox: Sandbox, work: Work):
    by_name = {"survey_id": None, "survey_name": "Course feedback"}
    assert work(settings=by_name).job(1).survey_id == "SV_0feedback"
    with pytest.raises(SettingsError, match="no survey has the name"):
        work("bob", settings={"survey_id": None, "survey_name": "Else"}, request="run/c1").job(2)


@pytest.mark.parametrize("ending", ["fail_jobs", "vanish_jobs"])
def test_a_job_that_gives_nothing_is_asked_for_once_more(ending: str, sandbox: Sandbox, work: Work):
    options(sandbox, **{ending: 1, "vanish_after_polls": 0})
    job = work().job(1)
    assert (job.number, job.file_id is not None) == (2, True)
    assert len(effects(sandbox, "export_started")) == 2


@pytest.mark.parametrize("ending", ["fail_jobs", "vanish_jobs"])
def test_after_two_jobs_a_person_must_look(ending: str, sandbox: Sandbox, work: Work):
    """Clearing the task asks anew."""
    options(sandbox, **{ending: 2, "vanish_after_polls": 0})
    for owner in ("ann", "bob"):
        with pytest.raises(Refused, match=r"2 jobs gave no file, the last one because .*clear this task"):
            work(owner).job(1)
    assert len(effects(sandbox, "export_started")) == 2
    assert work("cid", request="run/c1").job(1).number == 3


def test_a_job_has_a_deadline_of_our_own(sandbox: Sandbox, work: Work):
    options(sandbox, endless_jobs=1, percent_while_running=37.0)
    short = {"deadline_minutes": 0.00001}
    with pytest.raises(Refused, match=r"still runs after 1e-05 minutes, at 37 %; raise deadline_minutes"):
        work(settings=short).job(1)
    assert work("bob", request="run/c1", settings=short).job(1).number == 2


def test_a_token_that_ends_in_mid_poll_keeps_the_job(sandbox: Sandbox, work: Work):
    options(sandbox, polls_until_complete=1)
    run = work()
    run.job(1)
    sandbox.clock.advance(3700)
    assert run.job(1).file_id
    assert len(effects(sandbox, "export_started")) == 1


# Files


def test_a_delivery_says_what_it_did(sandbox: Sandbox, work: Work):
    run = work()
    receipt = done(run)
    result = run.result(1, receipt)
    assert result["bytes"] == files(sandbox)[PATH]["size"]
    assert result["sha256"] == files(sandbox)[PATH]["sha256"]
    assert result["rows"] > 0
    assert result["proof"] == "size and hash"
    assert result["survey_url"] == f"{sandbox.url('qualtrics')}/survey-builder/SV_0symptoms/edit"
    assert result["file_url"].startswith("/interchange/ledger/file?ref=qualtrics_to_onedrive")
    assert receipt["web_url"].startswith(sandbox.url("upload"))
    assert "contoso" not in json.dumps(result)
    assert stored(sandbox, PATH).startswith(b"PK")


@pytest.mark.parametrize("damage", ["corrupt_zips", "html_files", "empty_files"])
def test_a_useless_file_asks_for_another_job(damage: str, sandbox: Sandbox, work: Work):
    options(sandbox, **{damage: 1})
    with pytest.raises(Unavailable, match="another job is needed") as raised:
        done(work())
    assert isinstance(raised.value.__cause__, Damaged)
    assert files(sandbox) == {}
    assert done(work("bob"))["proof"] == "size and hash"
    assert len(effects(sandbox, "export_started")) == 2


def test_files_that_are_always_useless_are_given_up(sandbox: Sandbox, work: Work):
    options(sandbox, html_files=-1)
    for owner in ("ann", "bob"):
        with pytest.raises(Unavailable):
            done(work(owner))
    with pytest.raises(Refused, match="2 jobs gave no file"):
        done(work("cid"))


def test_a_file_whose_week_is_over_is_exported_again(sandbox: Sandbox, work: Work):
    run = work()
    job = run.job(run.choose_revision(None))
    sandbox.clock.advance(8 * 24 * 3600)
    with pytest.raises(Unavailable, match="another job is needed") as raised:
        run.deliver(1, job)
    assert isinstance(raised.value.__cause__, NotFound)
    assert done(work("bob"))["file_id"] != job.file_id


def test_a_missing_drive_asks_for_no_other_job(sandbox: Sandbox, work: Work):
    elsewhere = {"destination": {**TRACKER["destination"], "user": "nobody@contoso.example"}}
    with pytest.raises(Refused, match="no such user or drive"):
        done(work(settings=elsewhere))
    assert len(effects(sandbox, "export_started")) == 1


@pytest.mark.parametrize("export_format", ["csv", "tsv", "json", "ndjson", "xml", "spss"])
@pytest.mark.parametrize("packed", [True, False])
def test_every_format_arrives(export_format: str, packed: bool, sandbox: Sandbox, work: Work):
    """Also where the vendor packs what was asked for unpacked."""
    options(sandbox, always_zip=True)
    receipt = done(work(settings={"format": export_format, "options": {"compress": packed}}))
    ((path, facts),) = files(sandbox).items()
    extension = "zip" if packed else {"spss": "sav"}.get(export_format, export_format)
    assert path.endswith(f".{extension}")
    assert stored(sandbox, path).startswith(b"PK") is packed
    assert facts["size"] == receipt["size"]


def test_a_folder_on_a_disk_is_a_destination_too(sandbox: Sandbox, work: Work, tmp_path: Path):
    to_disk = {"destination": {"url": f"file://{tmp_path}/exports", "file_name": "tracker"}}
    receipt = done(work(settings=to_disk))
    assert (tmp_path / "exports" / "tracker.zip").stat().st_size == receipt["size"]
    assert not calls(sandbox, "put_content")
    assert work().result(1, receipt)["file_url"] is None


def test_personal_data_stay_out_of_the_ledger(work: Work, worker: Callable[..., Ledger]):
    done(work())
    for kind in (DELIVERY, JOB):
        for effect in worker("eve").list(kind=kind):
            assert effect.state is State.CONFIRMED
            known = dataclasses.asdict(effect)
            receipt = known["receipt"]
            known["receipt"] = {
                key: receipt[key] for key in receipt if key not in receipt.get("personal", ())
            }
            assert "contoso" not in repr(known)
            assert "reports" not in repr(known)
