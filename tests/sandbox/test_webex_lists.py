"""Webex in a box: which meetings are listed, their occurrences, and their states as time goes by."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from tests.sandbox.webex import Receiver, WebexClient

ANA, HOST = "ana@example.test", "roulette@example.test"
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def at(box: Sandbox, client: WebexClient, ahead: dt.timedelta, **fields: Any) -> dict[str, Any]:
    """A meeting of half an hour that starts so much later."""
    start = (box.clock.now() + ahead).replace(second=0, microsecond=0)
    body = {
        "title": "Coffee",
        "start": start.isoformat(),
        "end": (start + HOUR / 2).isoformat(),
        "timezone": "UTC",
        "sendEmail": False,
        **fields,
    }
    meeting: dict[str, Any] = client.post("/meetings", body)
    return meeting


def ids(client: WebexClient, **query: Any) -> list[str]:
    return [entry["id"] for entry in client.get("/meetings", **query)["items"]]


def text(when: dt.datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


# Windows


@pytest.mark.parametrize("kind", ["meetingSeries", "scheduledMeeting"])
def test_without_bounds_a_list_looks_one_week_ahead(box: Sandbox, host: WebexClient, kind: str) -> None:
    near, far = at(box, host, 6 * DAY), at(box, host, 8 * DAY, integrationTags=["far"])
    assert [i[:32] for i in ids(host, meetingType=kind)] == [near["id"]]
    # With a tag as well.
    assert ids(host, meetingType=kind, integrationTag="far") == []
    since, until = box.clock.now() + 7 * DAY, box.clock.now() + 9 * DAY
    bounds = {"from": text(since), "to": text(until)}
    assert [i[:32] for i in ids(host, meetingType=kind, integrationTag="far", **bounds)] == [far["id"]]


def test_one_bound_gives_the_other_a_week_away(box: Sandbox, host: WebexClient) -> None:
    meeting = at(box, host, 10 * DAY)["id"]
    now = box.clock.now()
    assert ids(host, **{"from": text(now + 4 * DAY)}) == [meeting]
    assert ids(host, **{"from": text(now + 2 * DAY)}) == []
    assert ids(host, to=text(now + 16 * DAY)) == [meeting]
    assert ids(host, to=text(now + 18 * DAY)) == []
    host.get("/meetings", 400, **{"from": text(now + DAY), "to": text(now)})


def test_the_end_of_a_window_is_exclusive(box: Sandbox, host: WebexClient) -> None:
    meeting = at(box, host, DAY)
    start, end = (dt.datetime.fromisoformat(meeting[name]) for name in ("start", "end"))
    assert ids(host, **{"from": text(start - HOUR), "to": text(start)}) == []
    assert ids(host, **{"from": text(end), "to": text(end + HOUR)}) == []
    assert ids(host, **{"from": text(start), "to": text(end)}) == [meeting["id"]]


def test_pages_hold_ten(box: Sandbox, host: WebexClient) -> None:
    made = [at(box, host, HOUR * (n + 1))["id"] for n in range(23)]
    pages = host.pages("/meetings")
    assert [len(page) for page in pages] == [10, 10, 3]
    assert [entry["id"] for page in pages for entry in page] == made
    assert len(ids(host, max=1000)) == 23
    host.get("/meetings", 400, max="null")
    host.get("/meetings", 400, cursor="nonsense")


def test_a_link_keeps_the_question(box: Sandbox, host: WebexClient) -> None:
    for number in range(3):
        at(box, host, HOUR * (number + 1), integrationTags=["mine"])
        at(box, host, HOUR * (number + 1))
    pages = host.pages("/meetings", integrationTag="mine", meetingType="scheduledMeeting", max=2)
    assert [len(page) for page in pages] == [2, 1]


# Who and what


def test_a_tag_is_found_by_its_client_alone(box: Sandbox, webex: Webex, host: WebexClient) -> None:
    meeting = at(box, host, DAY, integrationTags=["k-1"])["id"]
    scopes = ["meeting:schedules_read"]
    webex.seed({"tokens": {"token": "other", "person": HOST, "client": "another", "scopes": scopes}})
    other = WebexClient(box, "other")
    assert ids(host, integrationTag="k-1") == [meeting]
    assert ids(other, integrationTag="k-1") == []
    assert ids(other) == [meeting]
    other.http.close()


def test_a_list_has_what_one_is_invited_to(box: Sandbox, webex: Webex, host: WebexClient) -> None:
    meeting = at(box, host, DAY, invitees=[{"email": "Ana@Example.test"}])["id"]
    at(box, host, DAY)
    webex.seed({"tokens": {"token": "ana", "person": ANA, "scopes": ["meeting:schedules_read"]}})
    ana = WebexClient(box, "ana")
    assert ids(ana) == [meeting]
    ana.http.close()


def test_a_meeting_is_found_by_number_or_link_whenever_it_is(box: Sandbox, host: WebexClient) -> None:
    meeting = at(box, host, 30 * DAY)
    assert ids(host, meetingNumber=meeting["meetingNumber"], current="false") == [meeting["id"]]
    (occurrence,) = ids(host, webLink=meeting["webLink"])
    assert occurrence.startswith(meeting["id"] + "_")
    host.get("/meetings", 400, meetingNumber="1", webLink="x")
    assert ids(host, roomId="x") == []


@pytest.mark.parametrize("query", [{"meetingType": "series"}, {"state": "open"}, {"from": "today"}])
def test_a_wrong_question_is_refused(host: WebexClient, query: dict[str, Any]) -> None:
    host.get("/meetings", 400, **query)


def test_times_are_shown_in_the_zone_of_the_header(box: Sandbox, host: WebexClient) -> None:
    meeting = at(box, host, DAY)["id"]
    plain = host.get(f"/meetings/{meeting}")
    assert (plain["timezone"], plain["start"][-1]) == ("UTC", "Z")
    zoned = host.answer("GET", f"/meetings/{meeting}", headers={"timezone": "Asia/Tokyo"}).json()
    assert (zoned["timezone"], zoned["start"][-6:]) == ("Asia/Tokyo", "+09:00")
    assert dt.datetime.fromisoformat(zoned["start"]) == dt.datetime.fromisoformat(plain["start"])
    host.answer("GET", f"/meetings/{meeting}", 400, headers={"timezone": "Mars/Base"})


def test_a_new_meeting_may_be_listed_later(box: Sandbox, webex: Webex, host: WebexClient) -> None:
    webex.set_options({"listing_lag_s": 60})
    meeting = at(box, host, DAY)["id"]
    assert ids(host) == []
    host.get(f"/meetings/{meeting}")
    box.clock.advance(61)
    assert ids(host) == [meeting]


# Occurrences and states


def only(client: WebexClient, **query: Any) -> dict[str, Any]:
    (entry,) = client.get("/meetings", **query)["items"]
    found: dict[str, Any] = entry
    return found


def test_an_occurrence_is_named_by_its_start(box: Sandbox, host: WebexClient) -> None:
    meeting = at(box, host, DAY)
    start = dt.datetime.fromisoformat(meeting["start"])
    occurrence = only(host, meetingType="scheduledMeeting")
    assert occurrence["id"] == f"{meeting['id']}_{start:%Y%m%dT%H%M%SZ}"
    assert (occurrence["meetingSeriesId"], occurrence["isModified"]) == (meeting["id"], False)
    assert host.get(f"/meetings/{occurrence['id']}") == occurrence
    assert host.get(f"/meetings/{meeting['id']}", current="true") == occurrence
    host.get(f"/meetings/{meeting['id']}_20200101T000000Z", 404)


def past(box: Sandbox) -> dict[str, str]:
    return {"from": text(box.clock.now() - 5 * DAY), "to": text(box.clock.now())}


def test_a_meeting_nobody_came_to_is_missed(box: Sandbox, host: WebexClient) -> None:
    meeting = at(box, host, DAY)["id"]
    # Ready at once, though it is a day away.
    assert only(host, meetingType="scheduledMeeting")["state"] == "ready"
    box.clock.advance(2 * 86_400)
    assert only(host, meetingType="scheduledMeeting", **past(box))["state"] == "missed"
    assert host.get(f"/meetings/{meeting}")["state"] == "expired"
    assert ids(host, meetingType="meeting") == []


def test_a_meeting_somebody_came_to_has_an_instance_and_ends(
    box: Sandbox, webex: Webex, host: WebexClient
) -> None:
    meeting = at(box, host, DAY)["id"]
    box.clock.advance(86_400 + 60)
    (instance,) = webex.seed({"attend": {"meeting": meeting, "state": "started"}})["attend"]
    assert instance.startswith(f"{meeting}_I_")
    assert host.get(f"/meetings/{meeting}")["state"] == "inProgress"
    assert host.get(f"/meetings/{instance}")["state"] == "inProgress"
    box.clock.advance(3600)
    webex.seed({"attend": {"meeting": meeting, "state": "ended"}})
    ended = only(host, meetingType="meeting")
    assert (ended["id"], ended["state"]) == (instance, "ended")
    # What does not apply to the past any more.
    assert not {"password", "hostKey", "meetingNumber"} & set(ended)
    occurrence = only(host, meetingType="scheduledMeeting", **past(box))
    assert (occurrence["id"], occurrence["state"]) == (ended["scheduledMeetingId"], "ended")
    assert [e["kind"] for e in box.effects.entries()][-2:] == ["meeting_started", "meeting_ended"]


def test_meetings_can_be_marked_after_they_are_over(box: Sandbox, webex: Webex, host: WebexClient) -> None:
    one, two = at(box, host, DAY)["id"], at(box, host, DAY + HOUR)["id"]
    box.clock.advance(2 * 86_400)
    webex.set_options({"attendance": "everybody"})
    webex.seed({"attend": {"meeting": two, "state": "missed"}})
    seen = {
        entry["meetingSeriesId"]: entry["state"]
        for entry in host.get("/meetings", meetingType="scheduledMeeting", **past(box))["items"]
    }
    assert seen == {one: "ended", two: "missed"}
    assert [i[:32] for i in ids(host, meetingType="meeting")] == [one]
    webex.set_options({"attendance": "nobody"})
    webex.seed({"attend": {"meeting": two, "state": "ended"}})
    assert ids(host, meetingType="scheduledMeeting", state="ended", **past(box)) == [
        webex.snapshot()["meetings"][1]["occurrences"][0]["id"]
    ]


def test_what_is_over_for_half_a_year_is_kept_no_more(box: Sandbox, host: WebexClient, webex: Webex) -> None:
    meeting = at(box, host, HOUR)["id"]
    webex.set_options({"access_life_s": 400 * 86_400})
    box.clock.advance(12 * 86_400)
    host.get(f"/meetings/{meeting}")
    box.clock.advance(170 * 86_400)
    token = next(iter(webex.world.access.values()))
    token.expires += 400 * DAY
    host.get(f"/meetings/{meeting}", 404)


def test_starts_and_ends_are_told(box: Sandbox, webex: Webex, host: WebexClient, receiver: Receiver) -> None:
    for event in ("created", "updated", "deleted", "started", "ended"):
        hook = {"name": event, "targetUrl": receiver.url, "resource": "meetings", "event": event}
        host.post("/webhooks", hook)
    meeting = at(box, host, DAY)["id"]
    host.patch(f"/meetings/{meeting}", {"title": "Tea"})
    webex.seed({"attend": {"meeting": meeting, "state": "ended"}})
    host.delete(f"/meetings/{at(box, host, DAY)['id']}")
    events = [envelope["event"] for envelope in receiver.envelopes(6)]
    assert sorted(events) == ["created", "created", "deleted", "ended", "started", "updated"]


# Series


def weekly(box: Sandbox, host: WebexClient, **fields: Any) -> dict[str, Any]:
    return at(box, host, DAY, recurrence="FREQ=WEEKLY;INTERVAL=1;COUNT=3", **fields)


def occurrences(host: WebexClient, series: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = host.get(
        "/meetings", meetingSeriesId=series, meetingType="scheduledMeeting", max=100
    )["items"]
    return found


def test_a_series_has_occurrences_the_first_of_which_is_ready(box: Sandbox, host: WebexClient) -> None:
    series = weekly(box, host)
    found = occurrences(host, series["id"])
    assert [o["state"] for o in found] == ["ready", "scheduled", "scheduled"]
    starts = [dt.datetime.fromisoformat(o["start"]) for o in found]
    assert [b - a for a, b in itertools.pairwise(starts)] == [7 * DAY, 7 * DAY]
    box.clock.advance(2 * 86_400)
    assert [o["state"] for o in occurrences(host, series["id"])] == ["missed", "ready", "scheduled"]
    assert host.get(f"/meetings/{series['id']}")["start"] == text(starts[0])
    # A list shows the series with its current occurrence.
    assert only(host)["start"] == text(starts[1])


def test_local_time_stays_over_a_change_of_the_clocks(host: WebexClient) -> None:
    body = {
        "title": "Coffee",
        "start": "2031-03-27T15:10:00",
        "end": "2031-03-27T15:40:00",
        "timezone": "Europe/Kyiv",
        "recurrence": "FREQ=WEEKLY;COUNT=2",
    }
    series = host.post("/meetings", body)["id"]
    assert [o["start"] for o in occurrences(host, series)] == ["2031-03-27T13:10:00Z", "2031-04-03T12:10:00Z"]


@pytest.mark.parametrize(
    ("rule", "most"),
    [("FREQ=YEARLY", 5), ("FREQ=MONTHLY", 60), ("FREQ=WEEKLY;COUNT=999", 261), ("FREQ=DAILY", 1826)],
)
def test_occurrences_have_an_end(box: Sandbox, webex: Webex, host: WebexClient, rule: str, most: int) -> None:
    at(box, host, DAY, recurrence=rule)
    assert len(webex.snapshot()["meetings"][0]["occurrences"]) == most


def test_one_occurrence_moves_between_its_neighbours(box: Sandbox, host: WebexClient) -> None:
    series = weekly(box, host)
    second = occurrences(host, series["id"])[1]
    start = dt.datetime.fromisoformat(second["start"]) + DAY
    body = {"start": text(start), "end": text(start + HOUR), "title": "Tea"}
    moved = host.patch(f"/meetings/{second['id']}", body)
    assert (moved["id"], moved["isModified"], moved["start"]) == (second["id"], True, text(start))
    assert [o["title"] for o in occurrences(host, series["id"])] == ["Coffee", "Tea", "Coffee"]
    assert ids(host, meetingSeriesId=series["id"], meetingType="scheduledMeeting", isModified="true") == [
        second["id"]
    ]
    beyond = {"start": text(start + 7 * DAY), "end": text(start + 7 * DAY + HOUR)}
    told = host.patch(f"/meetings/{second['id']}", beyond, 400)
    assert told["message"] == "meeting.err.two_meeting_schedule_at_same_day"
    host.patch(f"/meetings/{second['id']}", {"integrationTags": ["x"]}, 400)


def test_one_occurrence_is_cancelled_and_the_series_goes_on(box: Sandbox, host: WebexClient) -> None:
    series = weekly(box, host)["id"]
    second = occurrences(host, series)[1]["id"]
    host.delete(f"/meetings/{second}")
    assert len(occurrences(host, series)) == 2
    host.get(f"/meetings/{second}", 404)
    single = at(box, host, DAY)["id"]
    host.delete(f"/meetings/{occurrences(host, single)[0]['id']}")
    host.get(f"/meetings/{single}", 404)


def test_somebody_is_invited_to_one_occurrence(box: Sandbox, host: WebexClient) -> None:
    series = weekly(box, host)["id"]
    first, second, _ = (o["id"] for o in occurrences(host, series))
    host.post("/meetingInvitees", {"meetingId": second, "email": ANA})
    assert host.get("/meetingInvitees", meetingId=first)["items"] == []
    (invitee,) = host.get("/meetingInvitees", meetingId=second)["items"]
    assert (invitee["email"], invitee["meetingId"]) == (ANA, second)


def test_occurrences_and_instances_of_a_series_are_listed_together(
    box: Sandbox, webex: Webex, host: WebexClient
) -> None:
    series = weekly(box, host)["id"]
    box.clock.advance(2 * 86_400)
    webex.seed({"attend": {"meeting": series, "state": "ended"}})
    kinds = [entry["meetingType"] for entry in host.get("/meetings", meetingSeriesId=series)["items"]]
    assert sorted(kinds) == ["meeting", "scheduledMeeting", "scheduledMeeting", "scheduledMeeting"]
    assert len(ids(host, meetingSeriesId=series, meetingType="meeting")) == 1
