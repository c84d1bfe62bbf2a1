"""What only a person can decide, and that only the right person does, on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from interchange.ledger import EffectRef, Ledger, State
from interchange.web.guards import MAX_FORM_BYTES, MESSAGE_LIFE_S, TOKEN_LIFE
from interchange.web.ledger import MAX_REASON
from tests.unit.web.conftest import (
    ESB,
    EXPORTS,
    LEDGER,
    OPERATOR,
    OTHER_OPERATOR,
    OUR_PAGE,
    SECRET,
    SITE,
    VIEWER,
    Visitor,
)

Visit = Callable[..., Visitor]
WHY = "the code was added; naïve café ✓"


def state(ledger: Ledger, ref: EffectRef) -> State:
    effect = ledger.get(ref)
    assert effect is not None
    return effect.state


def last_event(ledger: Ledger, ref: EffectRef) -> tuple[str | None, str, str, str | None]:
    event = ledger.events(ref)[-1]
    return (event.from_state, event.to_state, event.by, event.reason)


def made(age_s: float, purpose: str, payload: Any) -> str:
    """What the page signs, as it would have been so long ago."""

    class Earlier(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age_s)

    text = URLSafeTimedSerializer(SECRET, salt=f"interchange.{purpose}", signer=Earlier).dumps(payload)
    assert isinstance(text, str)
    return text


class TestReplay:
    def test_puts_a_record_back_with_name_and_reason(
        self, operator: Visitor, ledger: Ledger, quarantined: EffectRef
    ) -> None:
        page = operator.decide(quarantined, reason=f"  {WHY} ")
        assert page.message().startswith("Planned:")
        assert state(ledger, quarantined) is State.PLANNED
        assert last_event(ledger, quarantined) == ("quarantined", "planned", "olga", WHY)
        assert page.rows[-1][1:] == ["quarantined → planned", "olga", WHY]
        assert not page.has_form

    def test_whoever_comes_second_is_told_who_was_first(
        self, visit: Visit, operator: Visitor, ledger: Ledger, quarantined: EffectRef
    ) -> None:
        form = operator.effect(quarantined).form()
        visit(OTHER_OPERATOR).decide(quarantined, reason="first")

        page = operator.open(operator.post({**form, "reason": "second"}).headers["location"])

        assert page.message().startswith("Nothing was changed: meanwhile it became planned, by omar at ")
        assert last_event(ledger, quarantined)[3] == "first"

    def test_one_that_a_task_is_doing_again(
        self, operator: Visitor, ledger: Ledger, quarantined: EffectRef
    ) -> None:
        form = operator.effect(quarantined).form()
        ledger.replay(quarantined, by="somebody", reason="first")
        ledger.begin(quarantined, lease_s=600)

        page = operator.open(operator.post({**form, "reason": WHY}).headers["location"])

        assert page.message().startswith("Nothing was changed: meanwhile it became begun, by a/task at ")
        assert state(ledger, quarantined) is State.BEGUN


class TestSettle:
    @pytest.mark.parametrize("kind", ["unknown", "lapsed"])
    def test_it_happened(
        self, operator: Visitor, ledger: Ledger, request: pytest.FixtureRequest, kind: str
    ) -> None:
        ref: EffectRef = request.getfixturevalue(kind)
        page = operator.decide(ref, to="confirmed", reason=WHY)
        assert page.message().startswith("Confirmed:")
        assert last_event(ledger, ref) == ("unknown", "confirmed", "olga", WHY)
        effect = ledger.get(ref)
        assert effect is not None
        assert effect.receipt == {"settled_by": "olga", "reason": WHY}

    @pytest.mark.parametrize("kind", ["unknown", "lapsed"])
    def test_it_did_not(
        self, operator: Visitor, ledger: Ledger, request: pytest.FixtureRequest, kind: str
    ) -> None:
        ref: EffectRef = request.getfixturevalue(kind)
        page = operator.decide(ref, to="planned", reason=WHY)
        assert page.message().startswith("Planned:")
        assert last_event(ledger, ref) == ("unknown", "planned", "olga", WHY)
        assert ledger.begin(ref, lease_s=60).state is State.BEGUN

    def test_is_only_about_the_attempt_that_was_seen(
        self, operator: Visitor, ledger: Ledger, unknown: EffectRef
    ) -> None:
        form = operator.effect(unknown).form()
        ledger.resume(unknown, lease_s=60, reason="not found")
        ledger.mark_unknown(unknown, "lost again")

        page = operator.open(operator.post({**form, "to": "confirmed", "reason": WHY}).headers["location"])

        assert page.message().startswith("Nothing was changed: meanwhile it became unknown, by a/task at ")
        assert state(ledger, unknown) is State.UNKNOWN
        assert operator.effect(unknown).form()["attempt"] == "2"

    def test_one_that_the_task_has_found_itself(
        self, operator: Visitor, ledger: Ledger, unknown: EffectRef
    ) -> None:
        form = operator.effect(unknown).form()
        ledger.confirm(unknown, {"id": "7"})

        page = operator.open(operator.post({**form, "to": "planned", "reason": WHY}).headers["location"])

        assert page.message().startswith("Nothing was changed: meanwhile it became confirmed, by a/task at ")
        assert state(ledger, unknown) is State.CONFIRMED

    @pytest.mark.parametrize(
        "fields", [{}, {"to": "begun"}, {"to": "confirmed", "attempt": "x"}, {"to": "planned", "attempt": ""}]
    )
    def test_needs_a_choice(
        self, operator: Visitor, ledger: Ledger, unknown: EffectRef, fields: dict[str, str]
    ) -> None:
        answer = operator.post({**operator.effect(unknown).form(), "reason": WHY, **fields})
        assert (answer.status, answer.message()) == (400, "The form is not complete.")
        assert state(ledger, unknown) is State.UNKNOWN

    def test_none_is_chosen_beforehand(self, operator: Visitor, unknown: EffectRef) -> None:
        page = operator.effect(unknown)
        assert page.tree.xpath("//input[@type='radio']/@value") == ["confirmed", "planned"]
        assert page.tree.xpath("//input[@checked]") == []


@pytest.mark.parametrize(
    "reason", ["", "  \n ", "\0", "x" * (MAX_REASON + 1)], ids=["none", "blank", "nul", "long"]
)
def test_a_reason_is_needed(operator: Visitor, ledger: Ledger, quarantined: EffectRef, reason: str) -> None:
    assert operator.effect(quarantined).tree.xpath("//textarea[@name='reason']/@required")
    page = operator.decide(quarantined, reason=reason)
    assert page.message() == f"Nothing was changed: say why, in 1 to {MAX_REASON} characters."
    assert state(ledger, quarantined) is State.QUARANTINED


class TestRights:
    def test_who_may_only_look_gets_no_button_and_no_way_around(
        self,
        operator: Visitor,
        viewer: Visitor,
        ledger: Ledger,
        quarantined: EffectRef,
        unknown: EffectRef,
    ) -> None:
        for ref, choice in ((quarantined, {}), (unknown, {"to": "planned"})):
            page = viewer.effect(ref)
            assert not page.has_form
            assert page.tree.xpath("//button") == []
            assert f"needs the right to trigger {ESB}" in page.text
            before = ledger.events(ref)
            form = {**operator.effect(ref).form(), "reason": WHY, **choice}
            # Nor does a token help that is their own.
            for token in (form["token"], made(0, "form", [VIEWER.get_id(), str(ref)])):
                answer = viewer.post({**form, "token": token})
                assert (answer.status, answer.message()) == (403, f"This needs the right to trigger {ESB}.")
            assert ledger.events(ref) == before

    def test_without_a_login(
        self, visit: Visit, operator: Visitor, ledger: Ledger, quarantined: EffectRef
    ) -> None:
        form = {**operator.effect(quarantined).form(), "reason": WHY}
        # Not sent to the log-in as a page is: what was typed would be lost on the way.
        assert visit().post(form, {**OUR_PAGE, "accept": "text/html"}).status == 401
        assert state(ledger, quarantined) is State.QUARANTINED

    def test_count_for_the_effect_that_is_changed(
        self, operator: Visitor, ledger: Ledger, quarantined: EffectRef
    ) -> None:
        # The right to one workflow is no right to another: the form cannot name an effect of another one.
        form = {
            **operator.effect(quarantined).form(),
            "reason": WHY,
            "workflow": ESB,
            "ref": str(quarantined),
        }
        form["action"] = form["action"].replace(ESB, EXPORTS)
        assert operator.post(form).status == 403
        assert state(ledger, quarantined) is State.QUARANTINED


class TestForgery:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"origin": "null"},
            {"origin": "https://evil.example"},
            {"origin": f"{SITE}.evil.example"},
            {"origin": SITE, "sec-fetch-site": "cross-site"},
            {"origin": SITE, "sec-fetch-site": "same-site"},
            {"sec-fetch-site": "none"},
        ],
        ids=str,
    )
    def test_another_sites_form_is_refused(
        self, operator: Visitor, ledger: Ledger, quarantined: EffectRef, headers: dict[str, str]
    ) -> None:
        form = {**operator.effect(quarantined).form(), "reason": WHY}
        answer = operator.post(form, headers)
        assert (answer.status, answer.message()) == (403, "This form was not sent by the ledger's own page.")
        assert state(ledger, quarantined) is State.QUARANTINED

    @pytest.mark.parametrize(
        "headers", [OUR_PAGE, {"origin": SITE}, {"sec-fetch-site": "same-origin"}], ids=str
    )
    def test_our_own_is_taken_whatever_the_browser_says_of_it(
        self, operator: Visitor, ledger: Ledger, quarantined: EffectRef, headers: dict[str, str]
    ) -> None:
        form = {**operator.effect(quarantined).form(), "reason": WHY}
        assert operator.post(form, headers).status == 303
        assert state(ledger, quarantined) is State.PLANNED

    def test_behind_a_proxy_the_public_address_is_ours(
        self, operator: Visitor, ledger: Ledger, airflow: pytest.MonkeyPatch, quarantined: EffectRef
    ) -> None:
        form = {**operator.effect(quarantined).form(), "reason": WHY}
        public = {"origin": "https://flow.example.org"}
        assert operator.post(form, public).status == 403
        airflow.setenv("AIRFLOW__API__BASE_URL", "https://flow.example.org/airflow")
        assert operator.post(form, public).status == 303
        # Some open it past the proxy.
        assert operator.post(form, {"origin": SITE}).status == 303

    def test_a_token_is_needed_that_is_for_this_person_and_this_effect(
        self, visit: Visit, operator: Visitor, ledger: Ledger, quarantined: EffectRef, unknown: EffectRef
    ) -> None:
        form = {**operator.effect(quarantined).form(), "reason": WHY}
        tokens = (
            "",
            "nonsense",
            form["token"][:-1],
            operator.effect(unknown).form()["token"],
            visit(OTHER_OPERATOR).effect(quarantined).form()["token"],
            made(0, "message", [OPERATOR.get_id(), str(quarantined)]),
        )
        for token in tokens:
            answer = operator.post({**form, "token": token})
            assert (answer.status, answer.message()) == (403, "The form's token is missing or wrong.")
        assert state(ledger, quarantined) is State.QUARANTINED
        assert operator.post(form).status == 303

    def test_a_page_that_was_open_for_too_long_is_to_be_looked_at_again(
        self, operator: Visitor, ledger: Ledger, quarantined: EffectRef
    ) -> None:
        def token(age_s: float) -> str:
            return made(age_s, "form", [OPERATOR.get_id(), str(quarantined)])

        page = operator.decide(quarantined, reason=WHY, token=token(TOKEN_LIFE.total_seconds() + 5))
        assert page.message().startswith("Nothing was changed: this page was open for too long.")
        assert state(ledger, quarantined) is State.QUARANTINED
        operator.decide(quarantined, reason=WHY, token=token(TOKEN_LIFE.total_seconds() - 60))
        assert state(ledger, quarantined) is State.PLANNED

    def test_no_link_puts_words_on_our_page(self, operator: Visitor, quarantined: EffectRef) -> None:
        words = ["done", "All is well."]

        def said(text: str) -> str:
            return operator.open(f"{LEDGER}/effect", ref=str(quarantined), said=text).message()

        assert said(made(0, "message", [OPERATOR.get_id(), words])) == "All is well."
        assert said(made(MESSAGE_LIFE_S + 5, "message", [OPERATOR.get_id(), words])) == ""
        assert said(made(0, "message", [OTHER_OPERATOR.get_id(), words])) == ""
        assert said(made(0, "form", [OPERATOR.get_id(), words])) == ""
        assert said("All is well.") == ""

    def test_a_form_is_a_small_form(self, operator: Visitor, ledger: Ledger, quarantined: EffectRef) -> None:
        form = {**operator.effect(quarantined).form(), "reason": WHY}
        action = form.pop("action")
        assert operator.post({**form, "action": action, "more": "x" * MAX_FORM_BYTES}).status == 413
        many = {f"field{number}": "" for number in range(30)}
        assert operator.post({**form, "action": action, **many}).status == 400
        assert operator.client.post(action, json=form, headers=OUR_PAGE).status_code == 415
        assert operator.client.get(action).status_code == 405
        assert state(ledger, quarantined) is State.QUARANTINED
