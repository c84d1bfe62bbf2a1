"""A plan's mails on their way to the webhook, whatever happens to them."""

from __future__ import annotations

import datetime as dt
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from include.sandbox.faults import Fault, FaultKind
from interchange.core.closings import week_of
from interchange.errors import Busy, Conflict, OutcomeUnknown, Refused, SettingsError, Unavailable
from interchange.ledger import EffectRef, State
from interchange.ledger.database import transaction
from interchange.ledger.receipts import encode
from interchange.ledger.schema import effects
from interchange.mails.plans import WORKFLOW, plan_ref, read_plan
from interchange.mails.sending import CLOSING, MAIL, NOT_TAKEN
from tests.unit.mails.conftest import MONDAY, World

DAY = date(2025, 11, 21)


def lose(world: World, *, call: int = 1, times: int = 1) -> None:
    world.sandbox.arm(
        Fault(
            vendor="mail_webhook", kind=FaultKind.LOSE_ANSWER, call=call, operation="send_mails", times=times
        )
    )


def without_keys(world: World) -> None:
    """The connection names no header for idempotency keys."""
    world.connections.change("ticket_mail_webhook", extra={"idempotency_header": None})


def test_each_customer_gets_one_mail_with_all_their_tickets(world: World) -> None:
    """Defect B1: each mail also held the tickets of all customers before."""
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    world.has("3", "ann", DAY - timedelta(days=3))

    summary = world.run()

    assert world.told == {"ann": ["3", "1"], "bob": ["2"]}
    assert (summary.sent, summary.tickets) == (2, 3)
    (mail,) = [mail for mail in world.webhook.mails if mail["to"] == "ann@example.com"]
    assert mail["body"] == (
        "Ticket no. 3 was closed on 18-Nov-2025\nTicket no. 1 was closed on 21-Nov-2025\n"
    )
    assert (mail["name"], mail["subject"]) == ("Ann ITO", "Ticket status report")


def test_running_again_sends_nothing(world: World) -> None:
    """Defect B15: run twice, mailed twice."""
    world.has("1", "ann", DAY)
    planned = world.plan()
    world.send(planned)

    assert world.send(planned).held == 1
    assert world.run().planned == 0
    assert world.told == {"ann": ["1"]}


def test_what_is_closed_after_this_weeks_mail_goes_next_week_once(world: World) -> None:
    """Defects B5 and B15: later closings of the same day were lost."""
    world.has("1", "ann", DAY)
    world.run()
    world.has("2", "ann", DAY)
    planned = world.plan()
    assert (planned["mails"], planned["held"], planned["oldest_held"]) == (0, 1, DAY.isoformat())

    world.now += timedelta(days=7)
    world.run()
    world.run()

    assert world.told == {"ann": ["1", "2"]}
    assert len(world.webhook.mails) == 2


def test_a_reopened_and_reclosed_ticket_is_told_of_again(world: World) -> None:
    world.has("1", "ann", DAY)
    world.run()
    world.rows.clear()
    world.has("1", "ann", DAY + timedelta(days=9))
    world.now += timedelta(days=14)

    world.run()

    assert world.told == {"ann": ["1", "1"]}


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_success(world: World, status: int) -> None:
    """Defect B6: only 200 counted, all others were mailed again."""
    world.webhook.set_options({"success": status})
    world.has("1", "ann", DAY)

    assert world.run().sent == 1
    assert world.run().planned == 0


def test_a_lost_answer_is_asked_for_again_under_the_same_key(world: World) -> None:
    """Defect B7: an answer that was lost meant that everyone was mailed again."""
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    lose(world, times=8)
    planned = world.plan()
    with pytest.raises(OutcomeUnknown):
        world.send(planned)
    world.sandbox.clear_faults()
    world.ledger.expire_claims()

    summary = world.send(planned)

    assert world.told == {"ann": ["1"], "bob": ["2"]}
    assert summary.settled >= 1
    assert world.is_settled()


def test_a_lost_answer_without_keys_is_not_asked_for_again(world: World) -> None:
    without_keys(world)
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    lose(world)
    planned = world.plan()
    with pytest.raises(Refused, match="may have been sent"):
        world.send(planned)

    summary = world.send(planned)
    world.now += timedelta(days=7)
    later = world.run()

    assert world.told == {"ann": ["1"], "bob": ["2"]}
    assert (summary.unknown, later.unknown) == (1, 1)
    assert [str(effect.state) for effect in world.effects(CLOSING)].count("unknown") == 1


@pytest.mark.parametrize("to", [State.CONFIRMED, State.PLANNED])
def test_a_person_settles_a_mail_and_its_tickets_follow(world: World, to: State) -> None:
    without_keys(world)
    world.has("1", "ann", DAY)
    kind = FaultKind.LOSE_ANSWER if to is State.CONFIRMED else FaultKind.RESET
    world.sandbox.arm(Fault(vendor="mail_webhook", kind=kind, call=1, operation="send_mails"))
    with pytest.raises(Refused):
        world.run()
    (mail,) = world.effects(MAIL, State.UNKNOWN)
    world.ledger.settle(mail.ref, to=to, by="a person", reason="looked")

    # What the person settled is known to the run after it; the plan before it still holds it back.
    world.run()
    world.run()

    assert world.told == {"ann": ["1"]}
    assert world.is_settled()


def test_a_killed_run_is_gone_on_with(world: World) -> None:
    """
    Defect B7: what a crash left was not known, so everyone was mailed again.

    Claimed, never posted: nothing was kept of what was to be posted.
    """
    world.has("1", "ann", DAY)
    planned = world.plan()
    ref = EffectRef(WORKFLOW, MAIL, f"{week_of(world.now)}/{customer(world, planned)}")
    killed = world._worker("killed")
    killed.begin(ref, lease_s=0.01, digest="of another plan")
    killed.begin(EffectRef(WORKFLOW, CLOSING, f"{DAY}/1"), lease_s=0.01, digest=ref.key)
    wait(0.05)

    world.send(planned)

    assert world.told == {"ann": ["1"]}
    assert world.is_settled()


@pytest.mark.parametrize("kind", [MAIL, CLOSING])
def test_nothing_is_sent_while_a_killed_runs_claim_is_running(world: World, kind: str) -> None:
    """Its outcome can be told only afterwards; a run that went on would end green and leave it for a week."""
    world.has("1", "ann", DAY)
    key = f"{week_of(world.now)}/{customer(world, world.plan())}" if kind == MAIL else f"{DAY}/1"
    world.has("2", "bob", DAY)
    planned = world.plan()
    world._worker("killed").begin(EffectRef(WORKFLOW, kind, key), lease_s=20)

    with pytest.raises(Busy) as busy:
        world.send(planned)

    assert world.told == {}
    assert 1 <= busy.value.retry_after_s <= 20


def test_what_an_earlier_attempt_posted_is_not_taken_for_what_a_killed_one_meant_to(world: World) -> None:
    """The earlier one was certainly not taken; since then the mail tells of more, and of that nothing was posted."""
    world.has("1", "ann", DAY)
    world.sandbox.arm(Fault(vendor="mail_webhook", kind=FaultKind.STATUS, call=1, status=401))
    with pytest.raises(Refused):
        world.run()
    world.has("2", "ann", DAY)
    planned = world.plan()
    (mail,) = read_plan(world.ledger, planned["digest"])
    ref = EffectRef(WORKFLOW, MAIL, f"{week_of(world.now)}/{mail.customer}")
    world._worker("killed").begin(ref, lease_s=0.01, digest=mail.digest)
    wait(0.05)

    world.send(planned)

    assert world.told == {"ann": ["1", "2"]}
    assert len(world.webhook.mails) == 1


def test_a_closing_that_the_sent_mail_does_not_tell_of_is_not_lost(world: World) -> None:
    """Claimed for a mail that was given back; what went under the mail's name later told of another one."""
    world.has("1", "ann", DAY)
    world.run()
    (mail,) = world.effects(MAIL)
    key = f"{DAY}/2"
    world._worker("killed").begin(EffectRef(WORKFLOW, CLOSING, key), lease_s=0.01, digest=mail.ref.key)
    wait(0.05)
    world.run()
    world.has("2", "ann", DAY)
    world.now += timedelta(days=7)

    world.run()

    assert world.told == {"ann": ["1", "2"]}


def test_a_batch_whose_refusal_was_lost_is_halved_by_the_next_try(world: World) -> None:
    """A key's first answer comes again: if that is a refusal, nothing of it was taken."""
    for number, who in enumerate(["ann", "bob", "cy"]):
        world.has(str(number), who, DAY)
    world.webhook.set_options({"refused": ["bob@example.com"]})
    lose(world, times=8)
    planned = world.plan()
    with pytest.raises(OutcomeUnknown):
        world.send(planned, batch_size=3)
    world.sandbox.clear_faults()

    summary = world.send(planned, batch_size=3)

    assert world.told == {"ann": ["0"], "cy": ["2"]}
    assert (summary.sent, summary.refused, summary.unknown) == (2, 1, 0)
    assert world.is_settled()


def test_a_batch_that_was_being_noted_as_refused_needs_no_person(world: World) -> None:
    """A process was killed in the middle of it: one of the two mails still says that both were posted."""
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    planned = world.plan(batch_size=2)
    mails = list(read_plan(world.ledger, planned["digest"]))
    refs = [EffectRef(WORKFLOW, MAIL, f"{week_of(world.now)}/{mail.customer}") for mail in mails]
    killed = world._worker("killed")
    for ref, mail in zip(refs, mails, strict=True):
        killed.begin(ref, lease_s=0.5, digest=mail.digest)
    killed.save_progress(refs[0], NOT_TAKEN)
    killed.save_progress(
        refs[1],
        {
            "key": "of both",
            "batch": [ref.key for ref in refs],
            "digest": mails[1].digest,
            "content": mails[1].content,
            "tickets": [ticket.key for ticket in mails[1].tickets],
        },
    )
    wait(0.6)

    assert world.send(planned, batch_size=2).sent == 2
    assert world.told == {"ann": ["1"], "bob": ["2"]}
    assert world.is_settled()


def test_a_webhook_that_is_still_busy_with_a_key_settles_nothing(world: World) -> None:
    world.has("1", "ann", DAY)
    lose(world, times=8)
    planned = world.plan()
    with pytest.raises(OutcomeUnknown):
        world.send(planned)
    world.sandbox.clear_faults()
    world.webhook.set_options({"refused": ["ann@example.com"], "refusal": 409, "idempotency_header": ""})

    with pytest.raises(OutcomeUnknown, match="may have been sent"):
        world.send(planned)

    world.webhook.set_options({"refused": [], "idempotency_header": "Idempotency-Key"})
    world.send(planned)
    assert world.told == {"ann": ["1"]}
    assert world.is_settled()


def test_a_ticket_that_was_told_of_meanwhile_stops_its_mail(world: World) -> None:
    """Two plans with one ticket under two addresses: its second mail is not the one that was planned any more."""
    world.has("1", "ann", DAY)
    first = world.plan()
    world.rows.clear()
    world.has("1", "anne", DAY)
    second = world.plan()

    world.send(first)
    summary = world.send(second)

    assert world.told == {"ann": ["1"]}
    assert summary.changed == 1
    assert world.states() == {"mail": ["confirmed", "planned"], "closing": ["confirmed"]}


def test_a_refused_mail_is_set_aside_and_the_rest_of_its_batch_goes(world: World) -> None:
    """Defect B7: one bad element failed all."""
    for number, who in enumerate(["ann", "bob", "cy", "dee", "eve"]):
        world.has(str(number), who, DAY)
    world.webhook.set_options({"refused": ["cy@example.com"]})

    summary = world.run(batch_size=5)

    assert sorted(world.told) == ["ann", "bob", "dee", "eve"]
    assert (summary.sent, summary.refused) == (4, 1)
    (mail,) = world.effects(MAIL, State.QUARANTINED)
    assert mail.field == "email"
    assert "400" in (mail.reason or "")

    world.webhook.set_options({"refused": []})
    world.ledger.replay(mail.ref, by="a person", reason="mended")
    world.run()
    assert world.told["cy"] == ["2"]


def test_a_batch_is_one_post(world: World) -> None:
    for number in range(7):
        world.has(str(number), f"c{number}", DAY)

    world.run(batch_size=3)

    posts = world.sandbox.requests.entries(vendor="mail_webhook", operation="send_mails")
    assert len(posts) == 3
    assert len(world.webhook.mails) == 7


def test_a_lost_answer_of_a_batch_is_asked_for_again_as_a_batch(world: World) -> None:
    for number in range(4):
        world.has(str(number), f"c{number}", DAY)
    lose(world, times=8)
    planned = world.plan()
    with pytest.raises(OutcomeUnknown):
        world.send(planned, batch_size=4)
    world.sandbox.clear_faults()

    summary = world.send(planned, batch_size=4)

    assert len(world.webhook.mails) == 4
    assert summary.settled == 4
    assert world.is_settled()


def test_a_batch_of_which_one_was_settled_is_not_asked_for_again(world: World) -> None:
    for number in range(2):
        world.has(str(number), f"c{number}", DAY)
    lose(world, times=8)
    planned = world.plan()
    with pytest.raises(OutcomeUnknown):
        world.send(planned, batch_size=2)
    world.sandbox.clear_faults()
    first, _ = world.effects(MAIL, State.UNKNOWN)
    world.ledger.settle(first.ref, to=State.CONFIRMED, by="a person", reason="seen")

    assert world.send(planned, batch_size=2).unknown == 1
    assert len(world.webhook.mails) == 2


def test_who_opted_out_after_the_plan_gets_no_mail(world: World) -> None:
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    planned = world.plan()

    summary = world.send(planned, opt_out=[" Ann@Example.com "])

    assert world.told == {"bob": ["2"]}
    assert summary.opted_out == 1


def test_an_outage_stops_the_run_and_costs_few_mails(world: World) -> None:
    without_keys(world)
    for number in range(10):
        world.has(str(number), f"c{number}", DAY)
    world.sandbox.arm(
        Fault(vendor="mail_webhook", kind=FaultKind.RESET, call=1, operation="send_mails", times=20)
    )
    with pytest.raises(OutcomeUnknown, match="in a row"):
        world.run()

    assert len(world.effects(MAIL, State.UNKNOWN)) == 3
    assert len(world.effects(MAIL)) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(vendor="mail_webhook", kind=FaultKind.STATUS, call=1, status=401), Refused),
        (Fault(vendor="mail_webhook", kind=FaultKind.STATUS, call=1, status=429, times=9), Unavailable),
    ],
)
def test_what_was_certainly_not_taken_goes_with_the_next_try(
    world: World, fault: Fault, error: type[Exception]
) -> None:
    """Defect B8: any failure ended with exit code 0."""
    world.has("1", "ann", DAY)
    world.sandbox.arm(fault)
    planned = world.plan()
    with pytest.raises(error):
        world.send(planned)
    assert world.states() == {"mail": ["planned"], "closing": ["planned"]}
    world.sandbox.clear_faults()

    world.send(planned)

    assert world.told == {"ann": ["1"]}


def test_a_mail_whose_answer_came_in_a_later_week_counts_for_that_week(world: World) -> None:
    world.has("1", "ann", DAY)
    lose(world, times=8)
    with pytest.raises(OutcomeUnknown):
        world.run()
    world.sandbox.clear_faults()
    world.now += timedelta(days=7)
    world.has("2", "ann", DAY)
    planned = world.plan()
    assert planned["mails"] == 1

    summary = world.send(planned)

    assert (summary.settled, summary.held) == (1, 1)
    assert world.told == {"ann": ["1"]}
    world.now += timedelta(days=7)
    world.run()
    assert world.told == {"ann": ["1", "2"]}


def test_the_week_is_that_of_the_reports_zone(world: World) -> None:
    world.now = MONDAY.replace(hour=0, minute=5)
    assert world.now.astimezone(dt.UTC).isocalendar().week == 47
    world.has("1", "ann", DAY)

    world.run()

    (mail,) = world.effects(MAIL)
    assert mail.ref.key.startswith("2025-W48/")


def test_no_address_and_no_text_is_in_a_key_or_a_reason(world: World) -> None:
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    world.webhook.set_options({"refused": ["bob@example.com"]})
    planned = world.plan()
    world.send(planned)

    shown = [
        f"{effect.ref} {effect.reason} {effect.digest} {effect.field}"
        for kind in (MAIL, CLOSING)
        for effect in world.effects(kind)
    ]
    assert not [text for text in [*shown, str(planned)] if "example.com" in text or "Ito" in text]


def test_a_run_prints_nobody_and_leaves_nothing_in_its_folder(
    world: World,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Defect B13: the report was printed, and left as raw_data.csv."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    caplog.set_level("DEBUG")
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    world.webhook.set_options({"refused": ["bob@example.com"]})

    world.run(batch_size=2)

    assert world.told == {"ann": ["1"]}
    told = caplog.text + "".join(capsys.readouterr())
    assert not [word for word in ("example.com", "Ito", "ITO", "was closed on") if word in told]
    assert list((tmp_path / "here").iterdir()) == []


def test_an_altered_plan_is_not_sent(world: World) -> None:
    world.has("1", "ann", DAY)
    planned = world.plan()

    with pytest.raises(SettingsError, match="is not in the ledger"):
        world.send({**planned, "digest": "0" * 32})
    with transaction(world.ledger.engine) as connection:
        found = world.ledger.get(plan_ref(planned["digest"], 0))
        assert found is not None
        assert found.receipt is not None
        text = encode(found.receipt).replace("ann@example.com", "eve@example.com")
        change = update(effects).where(effects.c.kind == "plan").values(receipt=text, changed_by="somebody")
        connection.execute(change)
    with pytest.raises(SettingsError, match="was altered"):
        world.send(planned)


def test_a_person_may_be_faster(world: World) -> None:
    without_keys(world)
    world.has("1", "ann", DAY)
    lose(world)
    with pytest.raises(Refused):
        world.run()
    (mail,) = world.effects(MAIL, State.UNKNOWN)
    world.ledger.settle(mail.ref, to=State.CONFIRMED, by="a person", reason="seen")
    with pytest.raises(Conflict):
        world.ledger.settle(mail.ref, to=State.CONFIRMED, by="another", reason="seen")
    assert world.run().planned == 0


def customer(world: World, planned: dict[str, object]) -> str:
    (mail,) = read_plan(world.ledger, str(planned["digest"]))
    return mail.customer


def wait(seconds: float) -> None:
    """Until a short lease has run out, by the database's clock."""
    import time

    time.sleep(seconds)
