"""The page of the rounds: what it shows, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from airflow.models.dag import DagModel, clear_team_name_cache
from airflow.models.dagbundle import DagBundleModel
from airflow.models.team import Team
from airflow.utils.session import create_session

from interchange.core.slots import monday_of, week_of
from interchange.ledger import EffectRef, Ledger
from interchange.roulette.people import People
from interchange.roulette.rounds import Drawn, Rounds, Wanted
from interchange.roulette.talk import Talk
from tests.unit.web.conftest import User, Visitor

PAGE = "/interchange/roulette"
QUALITY = {
    "people": 5, "groups": 4, "trios": 0, "resting": 2, "rests_most": 1, "same_department": 0, "repeats": 0,
    "past_repeats": 1, "cross_department_percent": 100.0, "gap": "proven best: no draw is better",
}  # fmt: skip
NOW = datetime.now(UTC).replace(microsecond=0)
MONDAY = monday_of(NOW.date())
WEEK = week_of(MONDAY)


@pytest.fixture
def keys(ledger: Ledger) -> dict[str, str]:
    people = People(ledger.engine)
    found = people.enrol([f"{name}@example.test" for name in ("ana", "bo", "cleo", "dana", "emil")])
    named = {address.partition("@")[0]: key for address, key in found.items()}
    people.note(named["ana"], webex_id="id-ana", name="Ana <b>Kovač</b>", zone=None)
    return named


@pytest.fixture
def rounds(ledger: Ledger, keys: dict[str, str]) -> Rounds:
    """This week's round, final, and next week's, drawn."""
    made = Rounds(ledger.engine)
    this = Drawn(
        monday=MONDAY,
        groups=(
            Wanted(people=tuple(sorted((keys["ana"], keys["bo"]))), reason="never met, sales and support"),
            Wanted(
                people=tuple(sorted((keys["cleo"], keys["dana"]))), reason="last met 2026-03, 9 weeks ago"
            ),
        ),
        rests={keys["emil"]: "an odd number of people"},
    )
    then = Drawn(
        monday=MONDAY + timedelta(days=7),
        groups=(Wanted(people=tuple(sorted((keys["ana"], keys["emil"]))), reason="never met"),),
        rests={},
    )
    made.keep_draw([this, then], draw="d", seed="2026-11", quality=QUALITY)
    made.settle(this)
    return made


def book(rounds: Rounds, number: int, starts_at: datetime) -> str:
    group = rounds.groups(WEEK)[number]
    rounds.book(
        group.id, meeting_id="m", web_link="https://secret.example/j", starts_at=starts_at, minutes=30
    )
    return group.id


def test_a_round_with_pairs_reasons_rests_and_quality(viewer: Visitor, rounds: Rounds) -> None:
    book(rounds, 0, NOW + timedelta(days=1))
    shown = viewer.open(PAGE, week=WEEK)
    assert shown.status == 200
    for text in (
        "Ana <b>Kovač</b>",
        "never met, sales and support",
        "emil@example.test",
        "an odd number of people",
    ):
        assert text in shown.text
    assert "Of different departments100.0 %" in shown.text
    assert "booked" in shown.text
    assert "planned" in shown.text
    assert "secret.example" not in shown.answer.text


def test_names_from_outside_are_text(viewer: Visitor, rounds: Rounds) -> None:
    assert "<b>Kova" not in viewer.open(PAGE, week=WEEK).answer.text


def test_without_a_week_the_newest_round_up_to_next_weeks_is_shown(viewer: Visitor, rounds: Rounds) -> None:
    assert f"Round of {week_of(MONDAY + timedelta(days=7))}" in viewer.open(PAGE).text


def test_the_calendar_counts_meetings_by_their_day(viewer: Visitor, rounds: Rounds) -> None:
    noon = datetime.combine(MONDAY + timedelta(days=3), datetime.min.time(), UTC) + timedelta(hours=12)
    first = book(rounds, 0, noon)
    book(rounds, 1, noon)
    rounds.move(first, starts_at=noon + timedelta(days=1))
    shown = viewer.open(PAGE, week=WEEK)
    (row,) = [cells for cells in shown.rows if cells[0] == WEEK]
    assert row[4].endswith("1 meeting")
    assert row[5].endswith("1 meeting, 1 moved")


def test_what_was_held_is_what_people_say(viewer: Visitor, rounds: Rounds, keys: dict[str, str]) -> None:
    yes, no = book(rounds, 0, NOW - timedelta(hours=2)), book(rounds, 1, NOW - timedelta(hours=2))
    rounds.answer(yes, rounds.group(yes).people[0], True)
    rounds.answer(yes, rounds.group(yes).people[1], False)
    rounds.answer(no, rounds.group(no).people[0], False)
    shown = viewer.open(PAGE, week=WEEK)
    (bar,) = shown.tree.xpath("//tr[@class='chosen']//svg")
    assert bar.get("aria-label") == "1 met, 1 did not, 0 not said, 0 to come"
    assert [float(part.get("width")) for part in bar] == [80, 80, 0, 0]
    assert {cells[-1] for cells in cells_of(shown)} == {"met", "did not meet"}


def cells_of(shown: object) -> list[list[str]]:
    rows = shown.tree.xpath("//section[@aria-labelledby='round']//tbody/tr")  # type: ignore[attr-defined]  # a Shown
    return [[" ".join(cell.text_content().split()) for cell in row] for row in rows]


def test_moves_are_listed_with_their_state(
    viewer: Visitor, ledger: Ledger, rounds: Rounds, keys: dict[str, str]
) -> None:
    group = book(rounds, 0, NOW + timedelta(days=1))
    mine = rounds.group(group).people[0]
    Talk(ledger.engine).propose(
        "p1", group=group, person=mine, starts_at=NOW + timedelta(days=2), instead_of=NOW + timedelta(days=1),
        expires_at=NOW + timedelta(days=1),
    )  # fmt: skip
    shown = viewer.open(PAGE, week=WEEK)
    assert "Moves" in shown.text
    assert shown.tree.xpath("//section[@aria-labelledby='moves']//span[@class='state open']")


def test_weeks_without_a_round_and_addresses_nobody_made(viewer: Visitor, rounds: Rounds) -> None:
    assert "No round was drawn" in viewer.open(PAGE, week="2020-W10").text
    for week in ("2020-W60", "now", "2020-W1", "0000-W01"):
        assert viewer.open(PAGE, week=week).status == 400
    assert viewer.open(PAGE, week=WEEK, **{"from": "-1"}).status == 400


def test_an_empty_ledger_has_a_page(viewer: Visitor, ledger: Ledger) -> None:
    assert "No round was drawn" in viewer.open(PAGE).text


def test_a_dry_run_can_be_looked_at_until_it_is_forgotten(
    viewer: Visitor, ledger: Ledger, keys: dict[str, str]
) -> None:
    digest = "0123456789abcdef" * 2
    receipt = {
        "rounds": [
            {
                "monday": MONDAY.isoformat(),
                "groups": [{"people": [keys["ana"], keys["bo"]], "reason": "never met"}],
                "rests": {keys["emil"]: "an odd number of people"},
            }
        ],
        "quality": QUALITY,
        "findings": ["sales has 7 of 12 people"],
        "personal": ["rounds"],
    }
    ledger.record({EffectRef("webex_roulette", "preview", digest): receipt}, lease_s=30)
    shown = viewer.open(PAGE, plan=digest)
    assert "sales has 7 of 12 people" in shown.text
    assert "bo@example.test" in shown.text
    assert viewer.open(PAGE, plan="f" * 32).status == 404
    assert viewer.open(PAGE, plan="../x").status == 404
    ledger.forget_personal_data(datetime.now(UTC) + timedelta(days=1))
    assert viewer.open(PAGE, plan=digest).status == 404


def test_many_groups_come_in_parts(viewer: Visitor, ledger: Ledger) -> None:
    addresses = [f"p{number:03}@example.test" for number in range(240)]
    made = People(ledger.engine).enrol(addresses)
    couples = tuple(
        Wanted(people=tuple(sorted((made[a], made[b]))), reason="never met")
        for a, b in zip(addresses[::2], addresses[1::2], strict=True)
    )
    Rounds(ledger.engine).keep_draw(
        [Drawn(monday=date(2027, 3, 1), groups=couples, rests={})], draw="d", seed="s", quality=QUALITY
    )
    first = viewer.open(PAGE, week="2027-W09")
    assert len(cells_of(first)) == 100
    second = viewer.open(first.link("Next of 120"))
    assert len(cells_of(second)) == 20


def test_only_who_may_see_the_dag_sees_the_page(
    visit: Callable[..., Visitor], rounds: Rounds, airflow: pytest.MonkeyPatch
) -> None:
    """With Airflow's teams: the DAG belongs to one."""
    airflow.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    with create_session() as session:
        bundle = DagBundleModel(name="of-a-team")
        bundle.teams.append(Team(name="people"))
        session.add(bundle)
        session.flush()
        session.add(DagModel(dag_id="webex_roulette", bundle_name="of-a-team"))
    clear_team_name_cache()
    insider = visit(User(username="ivo", role="viewer", teams=["people"]))
    outsider = visit(User(username="oda", role="op", teams=["campus"]))
    assert insider.open(PAGE, week=WEEK).status == 200
    refused = outsider.open(PAGE, week=WEEK)
    assert refused.status == 403
    assert "ana" not in refused.answer.text.lower()
    assert visit().open(PAGE).status == 303
