"""What a run plans, how far it looks back, and what it remembers for the next one."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from interchange.core.report import ReportDrift
from interchange.errors import SettingsError
from interchange.mails.planning import since_of
from interchange.mails.plans import PART, plan_ref, read_plan
from interchange.mails.watermark import MAILS, ROWS, WATERMARK, Memory, first_day, remember, remembered
from interchange.settings.files import TEMPLATES_DIR_VARIABLE
from tests.unit.mails.conftest import MONDAY, World, settings_of

TODAY = MONDAY.date()
DAY = TODAY - timedelta(days=3)


class Store(dict[str, Any]):
    """An asset's state as a task gets it."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def memory(**known: Any) -> Memory:
    return Memory(**{"watermark": None, "rows": None, "mails": None, **known})


def test_a_dry_run_and_the_next_real_one_plan_the_same(world: World) -> None:
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    assert world.plan()["digest"] == world.plan()["digest"]
    assert world.sent == []


def test_a_plan_says_nothing_of_persons(world: World) -> None:
    """Defect B13: what was planned was printed, with names and addresses."""
    world.has("1", "ann", DAY)
    world.rows.append(("Zebediah", "Oh", "nobody at example.com", "2", "Closed", DAY.strftime("%d/%m/%Y")))
    shown = str(world.plan())
    assert not [name for name in ("ann", "Ito", "example", "Zebediah") if name in shown]


def test_a_large_plan_is_kept_in_parts_and_is_the_same_when_read(world: World) -> None:
    for number in range(PART + 5):
        world.has(str(number), f"c{number}", DAY)
    planned = world.plan()

    mails = list(read_plan(world.ledger, planned["digest"]))

    assert len({mail.customer for mail in mails}) == planned["mails"] == PART + 5
    assert world.ledger.get(plan_ref(planned["digest"], 1)) is not None


def test_a_plan_whose_texts_are_forgotten_is_not_sent(world: World) -> None:
    world.has("1", "ann", DAY)
    planned = world.plan()
    world.ledger.forget_personal_data(MONDAY + timedelta(days=5000))
    with pytest.raises(SettingsError, match="clear task 'plan'"):
        list(read_plan(world.ledger, planned["digest"]))


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({}, False),
        ({"require_approval": True}, True),
        ({"approve_above": 1}, True),
        ({"approve_above": 2}, False),
    ],
)
def test_who_must_approve(world: World, settings: dict[str, Any], needs: bool) -> None:
    world.has("1", "ann", DAY)
    world.has("2", "bob", DAY)
    assert world.plan(**settings)["needs_approval"] is needs


class TestLimits:
    def test_a_report_that_has_shrunk_stops(self, world: World) -> None:
        world.has("1", "ann", DAY)
        with pytest.raises(ReportDrift, match="1 rows, 3 last time"):
            world.plan(memory=memory(rows=3))
        assert world.plan(memory=memory(rows=2))["mails"] == 1
        assert world.plan(memory=memory(rows=3), limits={"rows_drop_percent": 70})["mails"] == 1

    def test_many_more_mails_stop(self, world: World) -> None:
        for number in range(12):
            world.has(str(number), f"c{number}", DAY)
        limits = {"mails_jump_from": 10, "mails_jump_factor": 5}
        with pytest.raises(ReportDrift, match="12 mails would go, 2 last time"):
            world.plan(memory=memory(mails=2), limits=limits)
        assert world.plan(memory=memory(mails=3), limits=limits)["mails"] == 12
        assert world.plan(memory=memory(mails=2), limits={**limits, "mails_jump_from": 12})["mails"] == 12


class TestTemplates:
    def folder(self, path: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
        for name, text in {"subject": "S", "text": "T", **texts}.items():
            (path / name).write_text(text)
        monkeypatch.setenv(TEMPLATES_DIR_VARIABLE, str(path))

    def test_subject_text_and_html_are_the_maintainers(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder(
            tmp_path, monkeypatch,
            subject="{{ tickets | length }}\n<tickets>\n",
            text="Dear {{ full_name }}", html="<b>{{ full_name }}</b>",
        )  # fmt: skip
        world.has("1", "<ann>&", DAY)
        world.rows[0] = ("<Ann>", "Oh", "ann@example.com", *world.rows[0][3:])

        world.run(templates={"subject": "subject", "text": "text", "html": "html"}, cc=["boss@example.com"])

        (mail,) = world.webhook.mails
        assert mail["subject"] == "1 <tickets>"
        assert mail["body"] == "Dear <Ann> OH"
        assert mail["html"] == "<b>&lt;Ann&gt; OH</b>"
        assert mail["cc"] == ["boss@example.com"]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{{ adress }}", "'adress' is undefined"),
            ("{% for %}", "is no template"),
            ("{{ full_name.__class__.__mro__ }}", "unsafe"),
        ],
    )
    def test_a_template_that_cannot_be_filled_stops_before_anything_is_planned(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
    ) -> None:
        self.folder(tmp_path, monkeypatch, text=text)
        world.has("1", "ann", DAY)
        with pytest.raises(SettingsError, match=words):
            world.plan(templates={"subject": "subject", "text": "text"})

    @pytest.mark.parametrize("name", ["missing", "../outside"])
    def test_a_template_must_be_there(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        self.folder(tmp_path, monkeypatch)
        with pytest.raises(SettingsError, match="templates"):
            world.plan(templates={"subject": "subject", "text": name})


class TestLookBack:
    def test_the_first_run_looks_so_many_months_back(self, world: World) -> None:
        world.has("1", "ann", date(2024, 5, 24))
        world.has("2", "ann", date(2024, 5, 23))
        planned = world.plan()
        assert (planned["since"], planned["tickets"]) == ("2024-05-24", 1)

    def test_the_form_wins_over_the_watermark(self, world: World) -> None:
        world.has("1", "ann", date(2024, 1, 5))
        assert world.plan(memory=memory(watermark=DAY), since=date(2024, 1, 1))["tickets"] == 1
        assert world.plan(memory=memory(watermark=DAY))["tickets"] == 0

    def test_a_backfill_ends_with_its_interval(self, world: World) -> None:
        world.has("1", "ann", DAY)
        world.has("2", "bob", DAY - timedelta(days=7))
        assert world.plan(until=DAY - timedelta(days=1))["tickets"] == 1

    @pytest.mark.parametrize("text", ["soon", "2026-13-01", 5])
    def test_a_day_on_the_form_must_be_one(self, text: object) -> None:
        with pytest.raises(SettingsError, match="since"):
            since_of({"since": text})

    def test_no_day_on_the_form(self) -> None:
        assert since_of({"since": None}) is None
        assert since_of({"since": ""}) is None
        assert since_of({"since": "2026-01-31"}) == date(2026, 1, 31)

    @pytest.mark.parametrize("asked", [TODAY + timedelta(days=1), None])
    def test_a_day_ahead_is_refused(self, asked: date | None) -> None:
        """Defect B5: a date ahead silenced the program until then."""
        known = memory(watermark=TODAY + timedelta(days=1))
        with pytest.raises(SettingsError, match="lies ahead"):
            first_day(known, asked=asked, today=TODAY, months=18)


class TestMemory:
    @pytest.mark.parametrize("value", ["{}", "05/11/2026", 5, {}, ""])
    def test_a_watermark_that_is_none_stops(self, value: object) -> None:
        """Defect B9: a broken one meant mass mailing, or silence for ever."""
        with pytest.raises(SettingsError, match="asset ticket-closings, state watermark"):
            remembered(Store({WATERMARK: value}))

    @pytest.mark.parametrize("value", ["many", -1, True, 1.5])
    def test_a_number_that_is_none_stops(self, value: object) -> None:
        with pytest.raises(SettingsError, match="report_rows"):
            remembered(Store({ROWS: value}))

    def test_nothing_is_remembered_at_first(self) -> None:
        assert remembered(Store()) == memory()

    def test_the_watermark_follows_at_a_distance_and_never_goes_back(self, world: World) -> None:
        store = Store()
        world.has("1", "ann", DAY)
        remember(store, world.plan(), months=18)
        assert store == {ROWS: 1, MAILS: 1, WATERMARK: "2024-05-24"}
        store[WATERMARK] = "2025-01-01"
        remember(store, world.plan(), months=18)
        assert store[WATERMARK] == "2025-01-01"

    def test_the_watermark_stays_behind_what_is_held(self, world: World) -> None:
        store = Store()
        world.has("1", "ann", DAY)
        world.run()
        world.has("2", "ann", date(2024, 6, 1))
        planned = world.plan()
        assert planned["oldest_held"] == "2024-06-01"
        world.now += timedelta(days=200)
        remember(store, {**planned, "today": world.now.date().isoformat()}, months=18)
        assert store[WATERMARK] == "2024-06-01"

    @pytest.mark.parametrize("asked", [{"since": date(2024, 1, 1)}, {"until": DAY}])
    def test_what_a_person_asked_for_moves_nothing(self, world: World, asked: dict[str, Any]) -> None:
        store = Store()
        remember(store, world.plan(**asked), months=18)
        assert WATERMARK not in store


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"time_zone": "Australia/Sidney"}, "Did you mean 'Australia/Sydney'"),
            ({"date_format": "%d/%m"}, "day"),
            ({"date_format": "%d/%m/%Y %Z"}, "%Z"),
            ({"columns": ["Email", "Ticket", "Status", "Date"]}, "Firstname is missing"),
            ({"columns": ["Firstname", "Lastname", "Email", "email", "Ticket", "Status", "Date"]}, "twice"),
            ({"opt_out": ["nobody"]}, "is no e-mail address"),
            ({"source": {"kind": "csv"}}, "kind"),
            ({"batch_size": 0}, "batch_size"),
        ],
    )
    def test_a_mistake_is_named(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError, match=words):
            settings_of(**changes)

    def test_addresses_are_normalised(self) -> None:
        assert settings_of(opt_out=[" Ann@Example.COM"]).opt_out == ["ann@example.com"]
