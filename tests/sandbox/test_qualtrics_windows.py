"""Which responses an export of the simulated Qualtrics has: windows, edits, late ones, continuation."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.sandbox.core import Sandbox
from include.sandbox.vendors.qualtrics import Qualtrics
from tests.sandbox.qualtrics_client import DAY, FEEDBACK, HOUR, SYMPTOMS, VISITORS, Api

QUIET = "SV_0quiet"


def client(sandbox: Sandbox) -> Api:
    api = Api(sandbox)
    api.switch(polls_until_complete=0, limit_start=0, limit_file=0, limit_progress=0, limit_brand=0)
    api.vendor.seed({"surveys": [{"id": QUIET, "name": "No responses of its own"}]})
    return api


@pytest.fixture
def api() -> Iterator[Api]:
    with Sandbox([Qualtrics]) as sandbox:
        yield client(sandbox)


@pytest.fixture(scope="module")
def shared() -> Iterator[Api]:
    """One sandbox for tests that only read."""
    with Sandbox([Qualtrics]) as sandbox:
        api = client(sandbox)
        # On the second, and just beside it: boundaries are what windows get wrong.
        api.vendor.seed(
            {"generate": {"survey_id": QUIET, "every_s": 1, "count": 86400, "from": DAY["startDate"]}}
        )
        yield api


def put(api: Api, response_id: str, recorded: str, **more: Any) -> None:
    item = {"survey_id": QUIET, "id": response_id, "recordedDate": recorded, **more}
    api.vendor.seed({"responses": [item]})


# Windows


def test_start_is_inclusive_and_end_exclusive(api: Api) -> None:
    for second in (9, 10, 11, 19, 20, 21):
        put(api, f"R_{second}", f"2026-03-01T00:00:{second:02}Z")
    window = {"startDate": "2026-03-01T00:00:10Z", "endDate": "2026-03-01T00:00:20Z"}
    assert api.ids(QUIET, **window) == ["R_10", "R_11", "R_19"]


def test_the_filter_is_on_the_recorded_date(api: Api) -> None:
    put(api, "R_begunbefore", "2026-03-01T09:30:00Z", startDate="2026-02-27T00:00:00Z")
    assert api.ids(QUIET, **HOUR) == ["R_begunbefore"]


OFFSETS = st.integers(-14 * 60, 14 * 60)
SPAN_S = 86400


def written(second: int, offset_min: int) -> str:
    """A second of the seeded day in some notation."""
    zone = dt.timezone(dt.timedelta(minutes=offset_min))
    moment = dt.datetime(2026, 3, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)
    text = moment.astimezone(zone).isoformat()
    return text.replace("+00:00", "Z") if offset_min == 0 else text


@settings(max_examples=60, deadline=None)
@given(
    survey=st.sampled_from([SYMPTOMS, FEEDBACK, VISITORS]),
    cuts=st.lists(st.integers(0, SPAN_S), min_size=2, max_size=5, unique=True).map(sorted),
    offsets=st.lists(OFFSETS, min_size=5, max_size=5),
    by_modified=st.booleans(),
)
def test_adjacent_windows_neither_lose_nor_double(
    shared: Api, survey: str, cuts: list[int], offsets: list[int], by_modified: bool
) -> None:
    bounds = [written(cut, offset) for cut, offset in zip(cuts, offsets, strict=False)]

    def ids(start: str, end: str) -> list[str]:
        return shared.ids(
            survey, startDate=start, endDate=end, sortByLastModifiedDate=by_modified, questionIds=[]
        )

    parts = [ids(start, end) for start, end in itertools.pairwise(bounds)]

    whole = ids(written(cuts[0], 0), written(cuts[-1], 0))
    assert list(itertools.chain(*parts)) == whole
    assert len(set(whole)) == len(whole)


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(0, SPAN_S - 40),
    sizes=st.lists(st.integers(1, 10), min_size=1, max_size=4),
    offsets=st.lists(OFFSETS, min_size=5, max_size=5),
)
def test_windows_over_a_response_each_second(
    shared: Api, first: int, sizes: list[int], offsets: list[int]
) -> None:
    cuts = list(itertools.accumulate(sizes, initial=first))
    bounds = [written(cut, offset) for cut, offset in zip(cuts, offsets, strict=False)]
    counts = [len(shared.ids(QUIET, startDate=a, endDate=b)) for a, b in itertools.pairwise(bounds)]
    assert counts == sizes


# Generated responses


def test_boundaries_at_the_second_of_a_generated_response(shared: Api) -> None:
    header, _, _, first, second, *_ = shared.table(**DAY)
    bounds = [row[header.index("RecordedDate")].replace(" ", "T") + "Z" for row in (first, second)]
    between = shared.ids(startDate=bounds[0], endDate=bounds[1])
    assert between == [first[header.index("ResponseId")]]


@settings(max_examples=40, deadline=None)
@given(hour=st.integers(0, 24 * 365 * 2))
def test_every_past_hour_has_responses(shared: Api, hour: int) -> None:
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
    window = {"startDate": start.isoformat(), "endDate": (start + dt.timedelta(hours=1)).isoformat()}
    counts = {survey: len(shared.ids(survey, **window)) for survey in (SYMPTOMS, FEEDBACK, VISITORS)}
    assert counts == {SYMPTOMS: 4, FEEDBACK: 2, VISITORS: 3}


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "ndjson", "xml"])
def test_the_same_window_has_the_same_bytes_in_every_sandbox(shared: Api, api: Api, form: str) -> None:
    api.sandbox.clock.advance(3600)
    assert api.export(format=form, **DAY) == shared.export(format=form, **DAY)


def test_generated_responses_do_not_depend_on_the_machine(shared: Api) -> None:
    # A change here changes what every demo and every recorded expectation contains.
    assert shared.ids(**HOUR) == [
        "R_ZRYYTJXCRLKM6KB",
        "R_N7JAXA3WYAJSAFE",
        "R_S34QOU2ONZSLHTO",
        "R_E5T47Z47VBGHY65",
    ]


def test_nothing_comes_from_the_future(api: Api) -> None:
    start = (api.sandbox.clock.now() + dt.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert api.ids(startDate=start) == []
    api.sandbox.clock.advance(7260)
    assert len(api.ids(startDate=start)) in (7, 8, 9)


def test_generated_series(api: Api) -> None:
    api.vendor.seed(
        {"generate": {"survey_id": QUIET, "count": 5, "every_s": 600, "from": HOUR["startDate"], "seed": 7}}
    )
    assert len(api.ids(QUIET)) == 5
    assert len(api.ids(QUIET, endDate="2026-03-01T09:20:00Z")) == 2
    first = api.export(QUIET)
    api.vendor.clear()
    api.vendor.seed({"surveys": [{"id": QUIET, "name": "No responses of its own"}]})
    api.vendor.seed(
        {"generate": [{"survey_id": QUIET, "count": 5, "every_s": 600, "from": HOUR["startDate"], "seed": 8}]}
    )
    assert len(api.ids(QUIET)) == 5
    assert api.export(QUIET) != first


# Edits, late and unfinished responses


def test_an_edit_moves_only_in_the_modified_date(api: Api) -> None:
    put(api, "R_a", "2026-03-01T09:10:00Z", values={"note": "old"})
    put(api, "R_a", "2026-03-01T09:10:00Z", lastModified="2026-03-01T11:00:00Z", values={"note": "new"})
    later = {"startDate": "2026-03-01T10:00:00Z", "endDate": "2026-03-01T12:00:00Z"}

    assert (api.ids(QUIET, **HOUR), api.ids(QUIET, **later)) == (["R_a"], [])
    assert api.ids(QUIET, sortByLastModifiedDate=True, **HOUR) == []
    header, _, _, row = api.table(QUIET, sortByLastModifiedDate=True, **later)
    assert row[header.index("LastModifiedDate")] == "2026-03-01 11:00:00"
    assert row[header.index("RecordedDate")] == "2026-03-01 09:10:00"


def test_an_edit_of_a_generated_response(api: Api) -> None:
    edited = api.ids(**HOUR)[1]
    item = {
        "survey_id": SYMPTOMS,
        "id": edited,
        "recordedDate": "2026-03-01T09:20:00Z",
        "values": {"Q3": "edited"},
    }
    api.vendor.seed({"responses": [item]})
    assert sorted(api.ids(**HOUR)) == sorted(set(api.ids(**HOUR)))
    assert b"edited" in api.export(**HOUR)
    assert edited in api.ids(**HOUR)


def test_a_late_response(api: Api) -> None:
    put(api, "R_late", "2026-03-01T09:59:59Z", visible_from="2099-01-01T00:00:00Z")
    assert api.ids(QUIET, **HOUR) == []
    years = dt.datetime(2099, 1, 1, tzinfo=dt.UTC) - api.sandbox.clock.now()
    api.sandbox.clock.advance(years.total_seconds())
    assert api.ids(QUIET, **HOUR) == ["R_late"]


def test_the_delay_before_a_response_can_be_exported(api: Api) -> None:
    api.switch(visible_delay_s=60)
    now = api.sandbox.clock.now()
    put(api, "R_fresh", now.isoformat())
    assert api.ids(QUIET) == []
    api.sandbox.clock.advance(60)
    assert api.ids(QUIET) == ["R_fresh"]

    api.switch(visible_delay_s=4 * 3600)
    # A later moment than that of the delay: a response of the minute in between could be exported already.
    start = (api.sandbox.clock.now() - dt.timedelta(hours=3, minutes=59)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert api.ids(startDate=start) == []
    api.sandbox.clock.advance(2 * 3600)
    assert len(api.ids(startDate=start)) in (7, 8, 9)


def test_responses_in_progress_are_exported_alone(api: Api) -> None:
    put(api, "R_done", "2026-03-01T09:10:00Z")
    put(api, "R_open", "2026-03-01T09:20:00Z", finished=False)
    assert api.ids(QUIET, **HOUR) == ["R_done"]
    header, _, _, row = api.table(QUIET, exportResponsesInProgress=True, sortByLastModifiedDate=True, **HOUR)
    assert (row[header.index("ResponseId")], row[header.index("Finished")]) == ("R_open", "0")
    assert "LastModifiedDate" not in header

    unfinished = api.ids(exportResponsesInProgress=True, **DAY)
    assert len(unfinished) == 12
    assert not set(unfinished) & set(api.ids(**DAY))


def test_a_saved_filter(api: Api) -> None:
    header, _, _, *data = api.table(filterId="FT_0yes", **DAY)
    assert data
    assert {row[header.index("Q1")] for row in data} == {"1"}
    assert len(data) < len(api.ids(**DAY))


# Limit and continuation


def test_limit_keeps_the_oldest(api: Api) -> None:
    assert api.ids(limit=3, **DAY) == api.ids(**DAY)[:3]


def continued(api: Api, **options: Any) -> tuple[list[str], str]:
    """Ids and next token of an export."""
    done = api.wait(api.begin(QUIET, compress=False, format="ndjson", **options), QUIET)
    lines = api.download(done["fileId"], QUIET).text.splitlines()
    return [json.loads(line)["responseId"] for line in lines], done["continuationToken"]


def test_continuation_gives_what_came_since(api: Api) -> None:
    put(api, "R_1", "2026-03-01T09:10:00Z")
    first, token = continued(api, allowContinuation=True)
    assert first == ["R_1"]

    second, token = continued(api, continuationToken=token)
    assert second == []

    put(api, "R_2", "2026-03-01T09:20:00Z")
    put(api, "R_1", "2026-03-01T09:10:00Z", lastModified="2026-03-01T09:30:00Z")
    third, token = continued(api, continuationToken=token)
    assert third == ["R_2"]

    assert continued(api, continuationToken=token)[0] == []


def test_continuation_with_the_modified_date_includes_edits(api: Api) -> None:
    put(api, "R_1", "2026-03-01T09:10:00Z")
    _, token = continued(api, allowContinuation=True, sortByLastModifiedDate=True)
    put(api, "R_1", "2026-03-01T09:10:00Z", lastModified="2026-03-01T09:30:00Z")
    assert continued(api, continuationToken=token, sortByLastModifiedDate=True)[0] == ["R_1"]


def test_continuation_loses_nothing_to_a_limit(api: Api) -> None:
    for minute in range(7):
        put(api, f"R_{minute}", f"2026-03-01T09:0{minute}:00Z")
    found, token = continued(api, allowContinuation=True, limit=3)
    while part := (page := continued(api, continuationToken=token, limit=3))[0]:
        found, token = found + part, page[1]
    assert found == [f"R_{minute}" for minute in range(7)]


def test_continuation_with_a_late_response(api: Api) -> None:
    api.switch(visible_delay_s=60)
    put(api, "R_late", api.sandbox.clock.now().isoformat())
    first, token = continued(api, allowContinuation=True)
    api.sandbox.clock.advance(61)
    assert (first, continued(api, continuationToken=token)[0]) == ([], ["R_late"])


def test_a_continuation_token_ends_after_a_week(api: Api) -> None:
    _, token = continued(api, allowContinuation=True)
    assert api.start(QUIET, continuationToken=token, allowContinuation=True).status_code == 400
    assert api.start(QUIET, continuationToken=token).status_code == 200
    assert api.start(FEEDBACK, continuationToken=token).status_code == 400
    api.sandbox.clock.advance(7 * 24 * 3600)
    assert api.start(QUIET, continuationToken=token).status_code == 400


# A finished job


def test_a_finished_job_is_fixed(api: Api) -> None:
    put(api, "R_1", "2026-03-01T09:10:00Z")
    running, done = api.begin(QUIET), api.finish(QUIET)
    before = api.download(done, QUIET).content

    put(api, "R_2", "2026-03-01T09:20:00Z")
    put(api, "R_1", "2026-03-01T09:10:00Z", values={"note": "edited"})
    api.vendor.seed({"generate": {"survey_id": QUIET, "count": 3, "from": HOUR["startDate"]}})
    api.vendor.seed({"surveys": [{"id": QUIET, "name": "Renamed", "embedded": ["note"]}]})

    assert api.download(done, QUIET).content == before
    # One that was still running has what was there when it ended.
    later = api.download(api.wait(running, QUIET)["fileId"], QUIET).content
    assert later != before


def test_jobs_seeds_and_tokens_outlive_a_restart(tmp_path: Path) -> None:
    with Sandbox([Qualtrics], folder=tmp_path) as sandbox:
        api = client(sandbox)
        api.vendor.seed({"large": {"survey_id": "SV_0large", "bytes": 100_000}})
        put(api, "R_1", "2026-03-01T09:10:00Z")
        token = api.sign_in()
        done, running = api.finish(QUIET), api.begin(QUIET)
        before = api.download(done, QUIET).content
        _, continuation = continued(api, allowContinuation=True)

    with Sandbox([Qualtrics], folder=tmp_path) as sandbox:
        api = Api(sandbox)
        del api.session.headers["X-API-TOKEN"]
        api.session.headers["Authorization"] = f"Bearer {token}"
        assert api.download(done, QUIET).content == before
        assert api.wait(running, QUIET)["status"] == "complete"
        assert continued(api, continuationToken=continuation)[0] == []
        assert "SV_0large" in [survey["id"] for survey in api.vendor.snapshot()["surveys"]]
        started = sandbox.effects.entries(kind="export_started")
        assert len(started) == 4


def test_a_completed_job_outlives_a_crash(tmp_path: Path) -> None:
    with Sandbox([Qualtrics], folder=tmp_path) as sandbox:
        api = client(sandbox)
        put(api, "R_1", "2026-03-01T09:10:00Z")
        done = api.finish(QUIET)
        saved = (tmp_path / "state.pickle").read_bytes()

    # As if the process had been killed after the last poll.
    (tmp_path / "state.pickle").write_bytes(saved)
    with Sandbox([Qualtrics], folder=tmp_path) as sandbox:
        assert Api(sandbox).download(done, QUIET).status_code == 200
