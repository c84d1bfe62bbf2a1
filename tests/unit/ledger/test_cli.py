"""The command line, as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interchange.cli import main
from interchange.errors import Unavailable
from interchange.ledger import Effect, EffectRef, State
from interchange.ledger.schema import REVISION
from interchange.ledger.verify import VERIFIERS, Verdict, VerifyResult

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--database", ledger_url])
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


def lines(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


def test_it_is_a_program_of_its_own(ledger_url, ledger, ref):
    ledger.begin(ref, lease_s=60)
    ledger.mark_unknown(ref, "time-out")

    def program(*arguments: str) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "interchange", *arguments, "--database", ledger_url],
            capture_output=True,
            text=True,
            env={**os.environ, "LOGNAME": "dora"},
            check=False,
        )

    settled = program("settle", str(ref), "--to", "confirmed", "--reason", "seen in the portal")
    again = program("settle", str(ref), "--to", "planned", "--reason", "no, it was not")

    assert (settled.returncode, settled.stdout, settled.stderr) == (0, f"{ref} is confirmed now\n", "")
    assert again.returncode == 3
    assert again.stderr == f"ledger.settle: {ref} is confirmed, not of unknown outcome\n"
    last = ledger.events(ref)[-1]
    assert (last.by, last.reason) == ("dora", "seen in the portal")


def test_effects_are_listed_and_filtered(run, ledger):
    for number in range(3):
        ledger.plan(EffectRef("w", "upload", f"a long name/{number}" + "x" * 80))
    ledger.plan(EffectRef("v", "mail", "1"))

    code, output, _ = run("effects", "list")
    assert code == 0
    assert len(lines(output)) == 5
    assert "a long name/2" + "x" * 80 in output
    assert "--limit shows more" in run("effects", "list", "--limit", "2")[1]
    assert json.loads(run("effects", "list", "--workflow", "v", "--json")[1])[0]["effect"] == "v/mail/1"
    assert run("effects", "list", "--kind", "none")[1] == "nothing\n"
    assert run("effects", "list", "--state", "begun")[1] == "nothing\n"
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert run("effects", "list", "--since", tomorrow)[1] == "nothing\n"


def test_an_effect_is_shown_with_receipt_and_events_and_without_progress(run, engine, ref):
    from cryptography.fernet import Fernet

    from interchange.ledger import Ledger

    ledger = Ledger(engine, owner="ann", cipher=Fernet(Fernet.generate_key()))
    ledger.begin(ref, lease_s=60)
    ledger.save_progress(ref, {"url": "secret"})
    assert "progress" not in run("effects", "show", str(ref), "--json")[1]
    ledger.confirm(ref, {"item": "01ABC", "bytes": 7})

    code, output, _ = run("effects", "show", str(ref))

    assert code == 0
    assert '"item": "01ABC"' in output
    assert [line[1:3] for line in lines(output.split("events\n")[1])[2:]] == [
        ["planned", "begun"],
        ["begun", "confirmed"],
    ]
    shown = json.loads(run("effects", "show", str(ref), "--json")[1])
    assert (shown["ref"], shown["receipt"]) == (str(ref), {"item": "01ABC", "bytes": 7})
    assert [event["to_state"] for event in shown["events"]] == ["planned", "begun", "confirmed"]


@pytest.mark.parametrize("command", ["replay", "release"])
def test_a_quarantined_record_is_listed_and_put_back(run, ledger, ref, command):
    ledger.plan(ref)
    ledger.quarantine(ref, field="amount", reason="not a number")

    listed = json.loads(run("quarantine", "list", "--json")[1])
    assert [(each["effect"], each["field"], each["reason"]) for each in listed] == [
        (str(ref), "amount", "not a number")
    ]
    assert run("quarantine", command, str(ref), "--reason", "corrected", "--by", "carla")[0] == 0

    assert ledger.get(ref).state is State.PLANNED
    assert (ledger.events(ref)[-1].by, ledger.events(ref)[-1].reason) == ("carla", "corrected")
    assert run("quarantine", command, str(ref), "--reason", "again")[0] == 3


def test_claims_that_ran_out_are_listed_as_unknown_and_settled(run, ledger, ref, expire):
    ledger.begin(ref, lease_s=60)
    assert run("unknown", "list")[1] == "nothing\n"
    code, _, complaint = run("settle", str(ref), "--to", "planned", "--reason", "r")
    assert (code, "is being done by ann" in complaint) == (4, True)
    expire()

    assert str(ref) in run("unknown", "list")[1]
    receipt = '{"meeting": "abc"}'
    assert run("settle", str(ref), "--to", "confirmed", "--reason", "seen", "--receipt", receipt)[0] == 0

    assert ledger.get(ref).receipt == {"meeting": "abc"}


def test_claims_are_listed_and_broken(run, ledger):
    ledger.claims.take("ticket_closure", holder="run-1", lease_s=60)

    assert [line[:2] for line in lines(run("claims", "list")[1])[1:]] == [["ticket_closure", "ann"]]
    assert run("claims", "break", "ticket_closure", "--reason", "worker gone")[0] == 0
    assert run("claims", "list")[1] == "nothing\n"
    assert run("claims", "break", "ticket_closure", "--reason", "worker gone")[0] == 3


def test_personal_data_is_pruned(run, ledger, ref):
    ledger.begin(ref, lease_s=60)
    ledger.confirm(ref, {"to": "ann@example.org", "personal": ["to"]})

    assert run("prune", "--older-than", "30")[1] == "Dropped personal data from 0 receipts\n"
    assert run("prune", "--older-than", "0")[1] == "Dropped personal data from 1 receipts\n"
    assert "ann@example.org" not in run("effects", "show", str(ref))[1]


def test_migrating_makes_the_ledger(empty_database_url, capsys):
    assert main(["migrate", "--database", empty_database_url]) == 0
    assert capsys.readouterr().out == f"The ledger is at revision {REVISION}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["effects", "show", "no-slashes"],
        ["effects", "list", "--state", "done"],
        ["effects", "list", "--limit", "0"],
        ["settle", "w/k/x", "--to", "quarantined", "--reason", "r"],
        ["settle", "w/k/x", "--to", "planned"],
        ["settle", "w/k/x", "--to", "planned", "--reason", " "],
        ["settle", "w/k/x", "--to", "confirmed", "--reason", "r", "--receipt", "[]"],
        ["settle", "w/k/x", "--to", "confirmed", "--reason", "r", "--receipt", "{"],
        ["prune", "--older-than", "-1"],
        [],
    ],
)
def test_a_wrong_command_line_is_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_complaint_is_one_line_and_a_code(capsys, tmp_path):
    for url, code in (
        (f"sqlite:///{tmp_path}/missing/ledger.db", 4),
        ("mysql://host/db", 3),
        ("nonsense", 3),
    ):
        assert main(["effects", "list", "--database", url]) == code
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1
        assert "Traceback" not in complaint


# Verifying. The functions stand in this module, as a workflow's stand in its own.


def look(effect: Effect) -> VerifyResult:
    answer = effect.receipt["answer"] if effect.receipt else ""
    if answer == "down":
        raise Unavailable("vendor.get", "HTTP 503")
    return VerifyResult(Verdict(answer), "as told")


@pytest.fixture
def verifiable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "checks_of_this_test", sys.modules[__name__])
    monkeypatch.setitem(VERIFIERS, ("w", "upload"), "checks_of_this_test:look")


@pytest.mark.parametrize(
    ("answers", "code"),
    [(["ok"], 0), (["ok", "cannot", "down"], 0), (["ok", "missing"], 1), (["altered"], 1), ([], 0)],
)
def test_receipts_are_verified(run, ledger, verifiable, answers, code):
    for number, answer in enumerate(answers):
        ref = EffectRef("w", "upload", str(number))
        ledger.begin(ref, lease_s=60)
        ledger.confirm(ref, {"answer": answer})
    ledger.plan(EffectRef("w", "upload", "not done yet"))

    found, output, _ = run("verify", "--workflow", "w", "--json")

    assert found == code
    verdicts = {row["effect"]: row["verdict"] for row in json.loads(output)}
    assert verdicts == {
        f"w/upload/{number}": answer.replace("down", "cannot") for number, answer in enumerate(answers)
    }


def test_an_effect_that_nobody_can_check_is_reported(run, ledger, ref):
    ledger.begin(ref, lease_s=60)
    ledger.confirm(ref, {})

    code, output, _ = run("verify")

    assert code == 0
    assert "no check exists" in output
    assert output.endswith("0 ok, 0 missing, 0 altered, 0 replaced, 1 cannot\n")
