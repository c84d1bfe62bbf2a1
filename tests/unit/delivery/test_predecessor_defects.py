# ruff: noqa: N802  # the names begin with the numbers of our list
"""
Eleven mistakes of an older exporter of the same kind (a 2020 service between Qualtrics, OneDrive and Modo).

One test for each, by its number in our list of them: it fails if our workflow made the same mistake.
"""

from __future__ import annotations

import re
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import interchange.hooks
from include.sandbox.core import Sandbox
from interchange.core.windows import Window
from interchange.errors import InterchangeError, Refused, Unavailable
from interchange.hooks.modo import ModoHook
from interchange.hooks.onedrive import OneDriveHook
from interchange.provider_info import get_provider_info
from tests.unit.delivery.conftest import Work
from tests.unit.vendors import (
    USER,
    WINDOW,
    Connections,
    Waits,
    arm,
    calls,
    effects,
    files,
    statuses,
    stored,
)


def options(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("qualtrics").set_options(values)


def test_D1_a_failed_endless_or_long_job_does_not_hold_us_for_ever(sandbox: Sandbox, work: Work):
    """Defect D1: it knew one ending only, had no deadline, and used one token for as long as the job took."""
    options(sandbox, fail_jobs=2)
    with pytest.raises(Refused, match="2 jobs gave no file"):
        work().job(1)
    assert len(calls(sandbox, "export_progress")) == 2, "each failed job was asked about once"
    options(sandbox, endless_jobs=1)
    with pytest.raises(Refused, match="still runs after"):
        work("bob", request="run/c1", settings={"deadline_minutes": 0.00001}).job(1)
    later = Window(WINDOW.end, WINDOW.end.replace(hour=12))
    options(sandbox, polls_until_complete=2)
    patient = work("cid", interval=later)
    patient.job(1)
    sandbox.clock.advance(3700)
    assert [patient.job(1).file_id is None for _ in range(2)] == [True, False]
    assert statuses(sandbox, "export_progress").count(401) == 1
    assert len(effects(sandbox, "export_started")) == 4, "the token was renewed, the job was kept"


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock on the wall is nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_D2_windows_are_utc_and_meet(sandbox: Sandbox, work: Work, far_east: None):
    """Defect D2: it wrote the wall clock's time with a Z behind it, and left gaps and overlaps between its windows."""
    following = Window(WINDOW.end, WINDOW.end + (WINDOW.end - WINDOW.start))
    for number, interval in enumerate((WINDOW, following)):
        work(f"worker {number}", interval=interval).job(1)
    first, second = effects(sandbox, "export_started")
    assert (first["startDate"], first["endDate"]) == ("2026-11-01T00:00:00Z", "2026-11-01T06:00:00Z")
    assert (second["startDate"], second["endDate"]) == ("2026-11-01T06:00:00Z", "2026-11-01T12:00:00Z")


def deliver(work: Work, owner: str, **given: Any) -> dict[str, Any]:
    run = work(owner, **given)
    revision = run.choose_revision(None)
    return run.deliver(revision, run.job(revision))


def test_D3_an_error_is_never_stored_as_the_file(sandbox: Sandbox, work: Work):
    """Defect D3: it never looked at the status: what the vendor said about its trouble was uploaded as the ZIP."""
    for kind, status in (("status", 500), ("html", 502), ("html", 200), ("status", 404)):
        arm(sandbox, "qualtrics", kind, status=status, operation="export_file", times=4)
        with pytest.raises(InterchangeError):
            deliver(work, f"{kind} {status}", request=f"{kind} {status}/c0")
        sandbox.clear_faults()
    assert files(sandbox) == {}


def test_D4_a_large_file_does_not_pass_through_memory_whole(sandbox: Sandbox, work: Work):
    """Defect D4: it held the whole file, twice."""
    size = 24_000_000
    sandbox.vendor("qualtrics").seed({"large": {"survey_id": "SV_0large", "bytes": size}})
    # The simulated vendors live in this process too; what they keep goes to their disk.
    settings = {
        "survey_id": "SV_0large",
        "destination": {"user": USER, "file_name": "large", "fragment_mib": 1},
    }
    run = work(settings=settings)
    revision = run.choose_revision(None)
    job = run.job(revision)
    tracemalloc.start()
    try:
        receipt = run.deliver(revision, job)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert receipt["size"] > size
    assert files(sandbox)["/large.zip"]["sha256"] == receipt["sha256"]
    assert peak < size // 2


def test_D5_an_upload_is_resumed_checked_and_its_failure_is_one(sandbox: Sandbox, work: Work):
    """Defect D5: it sent one request, compared nothing, and reported "Uploaded" whatever came back."""
    sandbox.vendor("qualtrics").seed({"large": {"survey_id": "SV_0large", "bytes": 4_500_000}})
    settings = {
        "survey_id": "SV_0large",
        "destination": {"user": USER, "file_name": "large", "fragment_mib": 1},
    }
    arm(sandbox, "qualtrics", "truncate", operation="export_file", after_bytes=3_000_000)
    with pytest.raises(Unavailable):
        deliver(work, "ann", settings=settings)
    assert files(sandbox) == {}
    assert 0 < len(calls(sandbox, "fragment")) < 5
    sandbox.vendor("graph").set_options({"hashes": "wrong"})
    with pytest.raises(Unavailable, match="not the one that was sent"):
        deliver(work, "bob", settings=settings)
    taken = [entry for entry in statuses(sandbox, "fragment") if entry in (201, 202)]
    assert len(taken) == 5, "bob went on where ann stopped"
    sandbox.vendor("graph").set_options({"hashes": "right"})
    assert deliver(work, "cid", settings=settings)["proof"] == "size and hash"


def test_D6_a_folder_is_found_however_many_there_are(
    sandbox: Sandbox, airflow: Connections, waits: Waits, work: Work
):
    """Defect D6: it looked through the first page of the root's children."""
    sandbox.vendor("graph").set_options({"children_page_size": 1})
    hook = OneDriveHook(pause=waits)
    for name in ("Aaa", "Bbb", "Exports/Deep"):
        hook.ensure_folder(USER, name)
    made = len(effects(sandbox, "folder_created"))
    deeper = {"destination": {"user": USER, "folder": "Exports/Deep", "file_name": "tracker"}}
    deliver(work, "ann", settings=deeper)
    assert list(files(sandbox)) == ["/Exports/Deep/tracker.zip"]
    assert len(effects(sandbox, "folder_created")) == made
    assert not calls(sandbox, "list_children")


@pytest.mark.parametrize(
    ("vendor", "operation"),
    [
        ("qualtrics", "export_progress"),
        ("qualtrics", "export_file"),
        ("graph", "get_item"),
        ("identity", "token"),
    ],
)
@pytest.mark.parametrize("kind", ["reset", "truncate", "stall"])
def test_D7_trouble_is_retried_and_never_ends_the_process(
    vendor: str, operation: str, kind: str, sandbox: Sandbox, work: Work, monkeypatch: pytest.MonkeyPatch
):
    """Defect D7: it called exit() from its library on any error, tried nothing twice, and waited without end."""
    monkeypatch.setenv("INTERCHANGE_READ_TIMEOUT_S", "0.5")
    options(sandbox, polls_until_complete=0)
    arm(sandbox, vendor, kind, operation=operation, seconds=30)
    started = time.monotonic()
    try:
        deliver(work, "ann")
    except Unavailable:
        # A download that breaks off is Airflow's to try again.
        deliver(work, "bob")
    assert time.monotonic() - started < 20
    assert len(files(sandbox)) == 1


def test_D8_a_second_try_makes_no_second_file(sandbox: Sandbox, work: Work):
    """Defect D8: its unique names came from the clock, to the second."""
    arm(sandbox, "graph", "lose_answer", operation="put_content")
    with pytest.raises(InterchangeError):
        deliver(work, "ann")
    sandbox.clock.advance(60)
    deliver(work, "bob")
    deliver(work, "cid", request="run/c1")
    assert list(files(sandbox)) == ["/Exports/tracker_20261101T000000Z-20261101T060000Z.zip"]


def test_D9_modo_is_configured_quiet_and_enabled(
    airflow: Connections, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """Defect D9: it printed Modo's answers, had token, text and file name in its source, and enabled no revision."""
    sandbox.vendor("modo").set_options({"channel_token": "another-channel", "directory_token": "another-dir"})
    airflow.change(
        "modo_default",
        extra={
            "channel_token": "another-channel",
            "directory_token": "another-dir",
            "enable_path": "/enable/{name}",
        },
    )
    hook = ModoHook()
    hook.send_message({"title": "T", "body": "a-secret-body", "push_notifications": True})
    (tmp_path / "other.xml").write_text("<d><p/></d>")
    with (tmp_path / "other.xml").open("rb") as content:
        hook.upload_directory(content, name="staff", file_name="other.xml")
    with pytest.raises(Refused):
        hook.enable_directory("staff", None)
    assert calls(sandbox, "unknown")[0]["path"] == "/enable/staff"
    assert sandbox.vendor("modo").revisions[0]["file_name"] == "other.xml"
    printed = capsys.readouterr()
    for word in ("a-secret-body", "another-channel", "another-dir", '"id"'):
        assert word not in printed.out + printed.err


READ_BY_NAME = re.compile(r"""(?:extra(?:\.get\(|\[)|secret\()\s*["'](\w+)["']""")


def test_D10_a_setting_is_read_under_the_name_it_is_documented_under():
    """Defect D10: two of its secrets were described by one name and read by another."""
    folder = Path(next(iter(interchange.hooks.__path__)))
    common = READ_BY_NAME.findall((folder / "http.py").read_text())
    assert "ca_bundle" in common
    for kind in get_provider_info()["connection-types"]:
        module = folder / f"{kind['connection-type']}.py"
        source = module.read_text()
        if kind["connection-type"] == "onedrive":
            source += (folder / "sign_in.py").read_text()
        read = {*READ_BY_NAME.findall(source), *common, *re.findall(r'_authorized\("(\w+)"\)', source)}
        assert read == set(kind["conn-fields"]), kind["connection-type"]


def test_D11_edited_and_late_responses_are_exported(sandbox: Sandbox, work: Work):
    """Defect D11: what was edited, or stored late, fell out of the window and was never exported."""
    survey = {"id": "SV_0edited", "name": "Edited", "questions": []}
    response = {"survey_id": "SV_0edited", "id": "R_edited", "recordedDate": "2026-11-01T01:00:00Z"}
    sandbox.vendor("qualtrics").seed({"surveys": [survey], "responses": [response]})
    settings = {
        "survey_id": "SV_0edited",
        "format": "json",
        "options": {"sortByLastModifiedDate": True, "compress": False},
        "window": "lookback",
        "lookback_hours": 48,
        "destination": {"user": USER, "file_name": "edited"},
    }
    deliver(work, "ann", settings=settings)
    assert stored(sandbox, "/edited.json").count(b"R_edited") > 0
    late = {**response, "id": "R_late", "recordedDate": "2026-11-01T05:59:00Z"}
    edited = {**response, "lastModified": "2026-11-03T01:00:00Z"}
    sandbox.vendor("qualtrics").seed({"responses": [late, edited]})
    days_later = Window(*(WINDOW.start.replace(day=3, hour=hour) for hour in (0, 5)))
    deliver(work, "bob", settings=settings, interval=days_later)
    content = stored(sandbox, "/edited.json")
    assert b"R_late" in content
    assert b"R_edited" in content
