"""The daily care: webhooks, what was missed, what got stuck, questions and reports."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from interchange.errors import OutcomeUnknown, SettingsError, Unavailable
from interchange.ledger import EffectRef, State
from interchange.roulette import taking_back
from interchange.roulette.events import ACTIONS, MESSAGES, Event
from interchange.roulette.people import person_key
from interchange.roulette.upkeep import Upkeep
from interchange.roulette.webhooks import reconcile
from tests.unit.claims import let_claims_run_out
from tests.unit.roulette.office import ANA, BO, EMIL, FATIMA, GORAN, HANA, Office
from tests.unit.vendors import arm, calls

TARGET = "https://airflow.example.test/interchange/webex/webhook"


@pytest.fixture
def receiver(office: Office) -> str:
    office.connections.change("webex_bot", extra={"receiver_url": TARGET})
    return TARGET


def hooks(office: Office) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = office.snapshot["webhooks"]
    return found


def upkeep(office: Office) -> Upkeep:
    return Upkeep(office.new_desk())


class TestWebhooks:
    def test_both_are_there_once_with_our_secret(self, office: Office, receiver: str) -> None:
        """Defect E27: one hook of that address kept both from being made."""
        for expected in (2, 0, 0):
            assert reconcile(office.new_desk())["created"] == expected
        assert [(hook["resource"], hook["event"], hook["targetUrl"]) for hook in hooks(office)] == [
            (MESSAGES, "created", receiver),
            (ACTIONS, "created", receiver),
        ]
        secret = office.connections.extra_of("webex_bot")["webhook_secret"]
        assert {hook.secret for hook in office.webex.world.webhooks.values()} == {secret}

    def test_those_of_others_are_not_touched(self, office: Office, receiver: str) -> None:
        """Defect E27: all of the bot's were deleted."""
        bot = office.desk.bot
        for target in ("https://else.example.test/hook", f"{receiver}/2"):
            for _ in range(2):
                bot.create_webhook(
                    name="theirs", target=target, resource=MESSAGES, event="created", secret="x"
                )
        before = hooks(office)
        reconcile(office.new_desk())
        assert hooks(office)[:4] == before
        assert len(hooks(office)) == 6

    def test_doubles_of_ours_go_and_an_active_one_stays(self, office: Office, receiver: str) -> None:
        """Defect E27: each worker made its own."""
        made = [
            office.desk.bot.create_webhook(
                name="ours", target=receiver, resource=MESSAGES, event="created", secret="old"
            ).id
            for _ in range(3)
        ]
        office.webex.world.webhooks[made[0]].active = False
        done = reconcile(office.new_desk())
        assert (done["deleted"], done["created"], done["revived"], done["secret"]) == (2, 1, 0, 1)
        kept = [hook for hook in hooks(office) if hook["resource"] == MESSAGES]
        assert len(kept) == 1
        assert kept[0]["status"] == "active"
        assert kept[0]["id"] in made[1:]

    def test_one_that_webex_switched_off_is_switched_on(
        self, office: Office, receiver: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        reconcile(office.new_desk())
        for hook in office.webex.world.webhooks.values():
            hook.active = False
        with caplog.at_level(logging.WARNING):
            assert reconcile(office.new_desk())["revived"] == 2
        assert "had switched off the webhook" in caplog.text
        assert {hook["status"] for hook in hooks(office)} == {"active"}

    def test_a_changed_secret_is_given_once(self, office: Office, receiver: str) -> None:
        reconcile(office.new_desk())
        office.connections.change("webex_bot", extra={"webhook_secret": "another-long-secret"})
        assert reconcile(office.new_desk())["secret"] == 2
        assert reconcile(office.new_desk())["secret"] == 0
        assert {hook.secret for hook in office.webex.world.webhooks.values()} == {"another-long-secret"}

    def test_one_whose_answer_was_lost_is_found(self, office: Office, receiver: str) -> None:
        arm(office.sandbox, "webex", "lose_answer", operation="create_webhook")
        with pytest.raises(OutcomeUnknown):
            reconcile(office.new_desk())
        reconcile(office.new_desk())
        assert len(hooks(office)) == 2

    def test_without_a_secret_or_an_address_nothing_is_registered(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        office.connections.change("webex_bot", extra={"receiver_url": None})
        with pytest.raises(SettingsError, match="base_url"):
            reconcile(office.new_desk())
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.test/")
        reconcile(office.new_desk())
        assert {hook["targetUrl"] for hook in hooks(office)} == {TARGET}
        office.connections.change("webex_bot", extra={"webhook_secret": None})
        with pytest.raises(SettingsError, match="webhook_secret"):
            reconcile(office.new_desk())


class TestWhatWasMissed:
    def test_messages_nobody_told_of_are_answered_in_their_order(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.handle(office.writes(EMIL, "change"))
        office.writes(BO, "change")
        office.pass_time(minutes=1)
        office.writes(BO, "1")
        # Webex's times have milliseconds.
        office.pass_time(seconds=1)
        office.writes(EMIL, "/skip")

        assert upkeep(office).answer_missed() == 3
        assert "Your coming meetings" in office.texts(BO)[0]
        assert "Choose another day" in office.texts(BO)[1]
        assert office.meetings == {}
        assert upkeep(office).answer_missed() == 0

    def test_what_is_older_stays_unanswered(self, office: Office) -> None:
        office.writes(BO, "hello")
        office.pass_time(days=4)
        office.writes(EMIL, "hello")
        assert upkeep(office).answer_missed() == 1
        assert office.texts(BO) == []

    def test_groups_and_own_posts_are_left_alone(self, office: Office) -> None:
        office.says(BO, "hello")
        room = office.hand(rooms={"title": "Team", "members": [BO, office.webex.bot.email]})[0]
        office.writes(BO, "not for the bot", room=room)
        assert upkeep(office).answer_missed() == 0

    def test_one_that_fails_does_not_stop_the_others(self, office: Office) -> None:
        office.writes(BO, "hello")
        office.pass_time(minutes=1)
        office.writes(EMIL, "hello")
        arm(office.sandbox, "webex", "status", operation="get_message", status=503, times=4)
        with pytest.raises(Unavailable):
            upkeep(office).answer_missed()
        assert office.texts(BO) == []
        assert len(office.texts(EMIL)) == 1
        # It was planned by the attempt, and is gone on with.
        assert upkeep(office).go_on() == 1
        assert len(office.texts(BO)) == 1


class TestDoubles:
    def test_a_message_said_twice_is_deleted_when_webex_lets_us(self, office: Office) -> None:
        desk = office.desk
        for _ in range(2):
            made = desk.bot.send(markdown="hello", address=BO)
        arm(office.sandbox, "webex", "status", operation="delete_message", status=503, times=100)
        taking_back.take_back(
            desk.ledger, taking_back.MESSAGE, made, desk.bot.delete_message, lease_s=9, run=desk.run
        )
        assert len(office.texts(BO)) == 2
        office.sandbox.clear_faults()
        assert [upkeep(office).take_back() for _ in range(2)] == [1, 0]
        assert len(office.texts(BO)) == 1

    @pytest.mark.parametrize("deleted", [False, True])
    def test_whoever_was_killed_at_it_may_have_deleted_it(self, office: Office, deleted: bool) -> None:
        desk = office.desk
        made = desk.bot.send(markdown="hello", address=BO)
        ref = EffectRef(taking_back.WORKFLOW, taking_back.SURPLUS, f"{taking_back.MESSAGE}/{made}")
        desk.ledger.begin(ref, lease_s=9)
        if deleted:
            desk.bot.delete_message(made)
        assert upkeep(office).take_back() == 0
        let_claims_run_out(desk.ledger)
        assert upkeep(office).take_back() == 1
        assert office.texts(BO) == []

    def test_one_that_somebody_has_deleted_is_done(self, office: Office) -> None:
        desk = office.desk
        desk.ledger.plan(EffectRef(taking_back.WORKFLOW, taking_back.SURPLUS, "message/gone"))
        assert [upkeep(office).take_back() for _ in range(2)] == [1, 0]


class TestWhatGotStuck:
    def test_a_planned_event_whose_run_never_came_is_handled(self, office: Office) -> None:
        event = office.writes(BO, "hello")
        office.desk.ledger.plan(event.ref)
        assert upkeep(office).go_on() == 1
        assert len(office.texts(BO)) == 1
        assert upkeep(office).go_on() == 0

    def test_what_somebody_is_at_is_left_to_them(self, office: Office) -> None:
        office.sandbox.clock.offset = timedelta()
        event = office.writes(BO, "hello")
        office.desk.ledger.plan(event.ref)
        assert upkeep(office).go_on() == 0
        assert office.texts(BO) == []

    def test_what_fails_for_ever_is_set_aside(self, office: Office) -> None:
        event = Event(resource=ACTIONS, id="x")
        ledger = office.desk.ledger
        for _ in range(25):
            ledger.begin(event.ref, lease_s=10)
            ledger.release(event.ref, "no luck")
        upkeep(office).go_on()
        effect = ledger.get(event.ref)
        assert effect is not None
        assert (effect.state, effect.reason) == (State.QUARANTINED, "tried 25 times without success")

    def test_an_expired_suggestion_is_told_though_nobody_clicks(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        assert upkeep(office).settle_proposals() == 0
        office.pass_time(hours=73)
        assert upkeep(office).settle_proposals() == 1
        for address in (BO, EMIL):
            assert "not everybody has answered in time" in office.last(address)
        assert [one.state for one in office.desk.talk.of_groups([group.id])] == ["expired"]
        count = len(office.texts(BO))
        assert upkeep(office).settle_proposals() == 0
        assert len(office.texts(BO)) == count

    def test_an_agreed_move_that_never_came_to_pass_is_carried_out(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        [proposal] = office.desk.talk.of_groups([group.id])
        office.desk.talk.answer(proposal.id, person_key(EMIL), True)
        assert upkeep(office).settle_proposals() == 1
        assert office.meetings == {group.meeting_id: "2031-03-07T09:00:00Z"}
        assert "all agree" in office.last(BO)

    def test_whoever_was_not_told_of_an_end_is_told(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        [proposal] = office.desk.talk.of_groups([group.id])
        office.desk.talk.advance(proposal.id, to="declined", only_from=["open"])
        upkeep(office).settle_proposals()
        assert "said no" in office.last(BO)


class TestQuestions:
    def test_everybody_is_asked_once_after_the_meeting(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.book(FATIMA, HANA, monday=date(2031, 3, 17))
        office.pass_time(days=3, hours=3, minutes=20)
        assert upkeep(office).ask_whether_met() == 0, "it goes on"
        office.pass_time(days=1)
        for _ in range(2):
            assert upkeep(office).ask_whether_met() == 1
        assert len(office.texts(BO)) == len(office.texts(EMIL)) == 1
        assert office.texts(FATIMA) == []
        assert "did you meet **Emil Sørensen** (Thursday 6 March" in office.last(BO)

        assert "Good to hear" in office.clicks(BO, "Yes")
        assert "it did not take place" in office.clicks(EMIL, "No")
        assert office.group(group.id).met == {person_key(BO): True, person_key(EMIL): False}

    def test_the_last_answer_counts_and_doubles_are_thanked_for_once(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.pass_time(days=4)
        upkeep(office).ask_whether_met()
        for button in ("Yes", "Yes", "No", "Yes"):
            office.clicks(BO, button)
        assert office.group(group.id).met == {person_key(BO): True}
        assert len(office.texts(BO)) == 3

    def test_nobody_else_may_answer_and_not_for_ever(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.pass_time(days=4)
        upkeep(office).ask_whether_met()
        card = office.last_card(BO)["id"]
        assert "somebody else" in office.clicks(EMIL, "Yes", message=card)
        office.pass_time(days=40)
        assert "too old" in office.clicks(BO, "Yes", message=card)
        assert office.group(group.id).met == {}

    def test_not_if_the_settings_do_not_want_it(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.pass_time(days=4)
        office.settings = office.settings.model_copy(update={"ask_whether_met": False})
        assert upkeep(office).ask_whether_met() == 0
        assert office.texts(BO) == []

    def test_meetings_of_long_ago_are_not_asked_about(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.pass_time(days=11)
        assert upkeep(office).ask_whether_met() == 0


class TestQuarter:
    def test_is_told_once_when_answers_are_in_without_names(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.book(FATIMA, HANA)
        office.says(FATIMA, "/skip")
        office.desk.rounds.answer(group.id, person_key(BO), True)
        office.pass_time(days=34)
        assert upkeep(office).report_quarter() is None, "6 April: answers still come"
        office.pass_time(days=3)
        for _ in range(2):
            assert upkeep(office).report_quarter() == "2031-Q1"
        quarter = [text for text in office.reports if "2031-Q1" in text]
        assert len(quarter) == 1
        assert "1 meetings of 2 people. 1 were held" in quarter[0]
        assert "1 cancelled" in quarter[0]
        assert "Bo" not in quarter[0]
        office.pass_time(days=92)
        assert upkeep(office).report_quarter() is None


class TestMemory:
    def test_old_rounds_and_their_people_are_forgotten(self, office: Office) -> None:
        office.hand(people={"email": "old@example.test", "displayName": "Old"})
        office.desk.people.enrol(["old@example.test"])
        group = office.book("old@example.test", GORAN)
        office.says("old@example.test", "change")
        office.pass_time(days=20)
        assert upkeep(office).forget_old() == 0
        assert office.desk.people.get(person_key("old@example.test")) is not None
        office.pass_time(days=760)
        assert upkeep(office).forget_old() == 1
        assert office.desk.rounds.group(group.id) is None
        assert office.desk.people.get(person_key("old@example.test")) is None
        # Whoever still takes part stays.
        assert office.desk.people.get(person_key(GORAN)) is not None


class TestLogIn:
    def test_admins_are_warned_once_before_it_ends(
        self, office: Office, caplog: pytest.LogCaptureFixture
    ) -> None:
        office.sandbox.clock.offset = timedelta()
        office.webex.set_options({"refresh_life_s": 10 * 24 * 3600, "slide": True})
        office.webex.clear()
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert upkeep(office).check_log_in() in (9, 10)
        assert "ends on" in caplog.text
        ends = datetime.now(UTC) + timedelta(days=10)
        assert len(office.texts(ANA)) == 1
        assert "/interchange/webex/login" in office.last(ANA)
        assert f"{ends:%B}" in office.last(ANA)
        assert office.texts(BO) == []

    def test_a_long_one_is_no_news(self, office: Office) -> None:
        office.sandbox.clock.offset = timedelta()
        office.webex.clear()
        assert upkeep(office).check_log_in() in (89, 90)
        assert office.texts(ANA) == []

    def test_a_token_that_is_used_as_it_is_has_no_end_we_know(self, office: Office) -> None:
        office.connections.change("webex_meetings", extra={"access_token": "x"})
        assert upkeep(office).check_log_in() is None

    def test_nobody_has_logged_in(self, office: Office) -> None:
        office.connections.change("webex_meetings", extra={"refresh_token": None})
        with pytest.raises(SettingsError, match="nobody has logged in"):
            upkeep(office).check_log_in()


def test_all_of_it_twice_says_nothing_twice(office: Office, receiver: str) -> None:
    office.book(BO, EMIL)
    office.suggest(BO)
    office.pass_time(days=4)
    counts = []
    for _ in range(3):
        care = upkeep(office)
        reconcile(office.new_desk())
        for step in (care.go_on, care.answer_missed, care.settle_proposals, care.ask_whether_met):
            step()
        care.report_quarter()
        care.forget_old()
        counts.append(len(calls(office.sandbox, "create_message")))
    assert counts[0] == counts[1] == counts[2]
