"""What the ledger's page shows, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow import settings
from airflow.api_fastapi.app import get_auth_manager
from airflow.models.dag import DagModel, clear_team_name_cache
from airflow.models.dagbundle import DagBundleModel
from airflow.models.team import Team
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from interchange.ledger import EffectRef, Ledger, State
from interchange.ledger.schema import effects
from interchange.web.listing import MOST_EVENTS, PAGE_SIZE
from tests.unit.web.conftest import ESB, EXPORTS, LEDGER, OPERATOR, RUN, User, Visitor

Visit = Callable[..., Visitor]


def keys(*refs: EffectRef) -> list[str]:
    return [ref.key for ref in refs]


@pytest.fixture
def confirmed(ledger: Ledger) -> EffectRef:
    ref = EffectRef(EXPORTS, "delivery", "daily/2027-03-01")
    ledger.begin(ref, lease_s=60)
    ledger.confirm(ref, {"item": "01ABC", "size": 12, "email": "ann@contoso.example", "personal": ["email"]})
    return ref


@pytest.fixture
def begun(ledger: Ledger) -> EffectRef:
    ref = EffectRef(EXPORTS, "export", "daily/2027-03-02")
    ledger.begin(ref, lease_s=600)
    return ref


class TestTheList:
    def test_shows_first_what_waits_for_a_person(
        self,
        viewer: Visitor,
        quarantined: EffectRef,
        unknown: EffectRef,
        lapsed: EffectRef,
        confirmed: EffectRef,
        begun: EffectRef,
    ) -> None:
        page = viewer.open()
        assert page.status == 200
        assert page.groups == ["Waits for a person 3", "Everything else"]
        assert page.keys == keys(lapsed, unknown, quarantined, begun, confirmed)
        assert [row[1] for row in page.rows] == ["unknown", "unknown", "quarantined", "begun", "confirmed"]
        assert page.rows[0][2] == "the claim ran out without an outcome"
        name, state, why, attempts, changed, run = page.rows[2]
        assert name == f"{ESB} / message {quarantined.key}"
        assert (state, attempts, run) == ("quarantined", "0", RUN.run_id)
        assert why == "csr_activity_code: no code for 'Identify Aset'"
        assert datetime.strptime(changed, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).year >= 2026
        assert page.link(str(RUN.run_id)) == f"/dags/{ESB}/runs/scheduled__2027-03-01T08%3A05%3A00%2B00%3A00"

    def test_looking_changes_nothing(
        self, viewer: Visitor, ledger: Ledger, lapsed: EffectRef, quarantined: EffectRef
    ) -> None:
        before = [(ledger.get(ref), ledger.events(ref)) for ref in (lapsed, quarantined)]
        viewer.open()
        viewer.open(state="unknown")
        assert viewer.effect(lapsed).text.count("unknown") > 0
        assert [(ledger.get(ref), ledger.events(ref)) for ref in (lapsed, quarantined)] == before

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({"workflow": EXPORTS}, ["begun", "confirmed"]),
            ({"kind": "export"}, ["begun"]),
            ({"workflow": ESB, "kind": "export"}, []),
            ({"state": "waiting"}, ["lapsed", "unknown", "quarantined"]),
            ({"state": "unknown"}, ["lapsed", "unknown"]),
            ({"state": "quarantined"}, ["quarantined"]),
            ({"state": "begun"}, ["begun"]),
            ({"state": "confirmed"}, ["confirmed"]),
            ({"state": "planned"}, []),
            ({"key": "data-tracker/6"}, ["unknown"]),
            ({"key": "Data-tracker/6"}, []),
            ({"key": "data%"}, []),
            ({"key": "data\0-tracker/6"}, ["unknown"]),
            ({"key": "' OR 1=1 --"}, []),
        ],
        ids=str,
    )
    def test_can_be_filtered(
        self,
        viewer: Visitor,
        request: pytest.FixtureRequest,
        quarantined: EffectRef,
        unknown: EffectRef,
        lapsed: EffectRef,
        confirmed: EffectRef,
        begun: EffectRef,
        filters: dict[str, str],
        found: list[str],
    ) -> None:
        page = viewer.open(**filters)
        assert page.status == 200
        assert page.keys == keys(*(request.getfixturevalue(name) for name in found))
        # The form shows what is being looked for.
        chosen = {
            field.get("name"): field.get("value") or field.xpath("string(option[@selected]/@value)")
            for field in page.tree.xpath("//select | //input[@name='key']")
        }
        wanted = {name: value.replace("\0", "") for name, value in filters.items()}
        assert {name: value for name, value in chosen.items() if value} == wanted

    def test_offers_what_there_is(
        self, viewer: Visitor, quarantined: EffectRef, confirmed: EffectRef, begun: EffectRef
    ) -> None:
        page = viewer.open()
        assert page.tree.xpath("//select[@name='workflow']/option/@value") == ["", ESB, EXPORTS]
        assert page.tree.xpath("//select[@name='kind']/option/@value") == [
            "",
            "delivery",
            "export",
            "message",
        ]
        assert page.tree.xpath("//select[@name='state']/option/@value") == ["", "waiting", *State]

    def test_says_so_when_nothing_waits(self, viewer: Visitor, confirmed: EffectRef) -> None:
        assert "Nothing waits for a person." in viewer.open(state="waiting").text
        assert "No effects." in viewer.open(state="planned").text
        assert viewer.open().groups == ["Everything else"]

    def test_a_damaged_address_is_refused_in_words(self, viewer: Visitor, ledger: Ledger) -> None:
        bad = ({"state": "gone"}, {"after": "x"}, {"after": "0.1.2027-03-01"}, {"after": "0.1"})
        for query in bad:
            page = viewer.open(**query)
            assert (page.status, page.message()) == (400, "This address is not one the page has made.")


class TestPages:
    @pytest.fixture
    def many(self, ledger: Ledger) -> dict[str, bool]:
        """More effects than two pages hold, most of them changed at the same moment: whether each waits."""
        moment = datetime(2027, 3, 1, 8, tzinfo=UTC)
        names = [f"n{number:03}" for number in range(2 * PAGE_SIZE + 37)]
        row = {"workflow": ESB, "kind": "message", "state": "planned", "created_at": moment, "attempts": 0}
        rows = [
            {**row, "key": name, "updated_at": moment.replace(minute=number // 60)}
            for number, name in enumerate(names)
        ]
        waiting = names[:: len(names) // (PAGE_SIZE + 7)]
        with ledger.engine.execution_options(interchange_write=True).begin() as connection:
            connection.execute(insert(effects), rows)
            connection.execute(
                update(effects)
                .where(effects.c.key.in_(waiting))
                .values(state="quarantined", field="f", reason="r")
            )
        assert PAGE_SIZE < len(waiting) < 2 * PAGE_SIZE
        return {name: name in waiting for name in names}

    def test_show_each_effect_once_and_what_waits_before_the_rest(
        self, viewer: Visitor, many: dict[str, bool]
    ) -> None:
        seen: list[str] = []
        pages = 0
        where: str | None = LEDGER
        while where:
            page = viewer.open(where)
            assert 0 < len(page.keys) <= PAGE_SIZE
            seen += page.keys
            pages += 1
            assert bool(page.link("First page")) == (pages > 1)
            where = page.link("Next page")
        assert pages == -(-len(many) // PAGE_SIZE)
        assert sorted(seen) == sorted(many)
        waits = [many[key] for key in seen]
        assert waits == sorted(waits, reverse=True)

    def test_keep_the_filters(self, viewer: Visitor, many: dict[str, bool]) -> None:
        page = viewer.open(state="quarantined", key="n")
        following = viewer.open(page.link("Next page") or "")
        assert following.keys
        assert {row[1] for row in page.rows + following.rows} == {"quarantined"}
        assert following.link("Next page") is None
        assert viewer.open(following.link("First page") or "").keys == page.keys

    def test_count_all_that_waits(self, viewer: Visitor, many: dict[str, bool]) -> None:
        assert viewer.open().groups[0] == f"Waits for a person {sum(many.values())}"
        some = sum(waits for key, waits in many.items() if key.startswith("n0"))
        assert 0 < some < sum(many.values())
        assert viewer.open(key="n0").groups[0] == f"Waits for a person {some}"


class TestAnEffect:
    def test_shows_receipt_and_events_but_nothing_personal(
        self, viewer: Visitor, confirmed: EffectRef
    ) -> None:
        page = viewer.effect(confirmed)
        assert page.status == 200
        assert "01ABC" in page.text
        assert "not shown: email" in page.text
        assert "ann@contoso.example" not in page.answer.text
        assert [row[1:3] for row in page.rows] == [
            ["planned", "a/task"],
            ["planned → begun", "a/task"],
            ["begun → confirmed", "a/task"],
        ]
        assert not page.has_form

    def test_leads_to_its_file_whose_address_names_a_mailbox(self, viewer: Visitor, ledger: Ledger) -> None:
        address = "https://contoso.example/personal/reports_contoso_example/daily.zip"
        ref = EffectRef(EXPORTS, "delivery", "daily/2027-03-03/r1")
        ledger.begin(ref, lease_s=60)
        ledger.confirm(ref, {"item_id": "01ABC", "web_url": address, "personal": ["web_url"]})
        assert "reports_contoso" not in viewer.effect(ref).answer.text
        answer = viewer.client.get(f"{LEDGER}/file", params={"ref": str(ref)}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, address)
        ledger.forget_personal_data(datetime(2999, 1, 1, tzinfo=UTC))
        assert viewer.open(f"{LEDGER}/file", ref=str(ref)).status == 404

    @pytest.mark.parametrize("address", ["javascript:alert(1)", "http://contoso.example/x", None, 7])
    def test_leads_nowhere_else(self, viewer: Visitor, ledger: Ledger, address: Any) -> None:
        ref = EffectRef(EXPORTS, "delivery", "daily/2027-03-03/r1")
        ledger.begin(ref, lease_s=60)
        ledger.confirm(ref, {"web_url": address})
        assert viewer.open(f"{LEDGER}/file", ref=str(ref)).status == 404
        assert viewer.open(f"{LEDGER}/file", ref="no ref").status == 404

    def test_shows_no_progress(self, viewer: Visitor, ledger: Ledger, begun: EffectRef) -> None:
        with ledger.engine.execution_options(interchange_write=True).begin() as connection:
            connection.execute(update(effects).values(progress="an-upload-session"))
        page = viewer.effect(begun)
        assert "Claim ends" in page.text
        assert "an-upload-session" not in page.answer.text

    def test_shows_what_is_wrong_with_a_record(self, viewer: Visitor, quarantined: EffectRef) -> None:
        assert "csr_activity_code: no code for 'Identify Aset'" in viewer.effect(quarantined).text

    def test_shows_the_last_of_many_events(self, viewer: Visitor, ledger: Ledger, unknown: EffectRef) -> None:
        for number in range(MOST_EVENTS // 2):
            ledger.resume(unknown, lease_s=60, reason=f"again {number}")
            ledger.mark_unknown(unknown, f"lost {number}")
        page = viewer.effect(unknown)
        assert len(page.rows) == MOST_EVENTS
        assert page.rows[-1][3] == f"lost {MOST_EVENTS // 2 - 1}"
        assert f"effects show {unknown}" in page.text

    @pytest.mark.parametrize("ref", ["", "one/two", f"{ESB}/message/other", "/message/x", "a/b/" + "x" * 600])
    def test_one_that_is_not_there(self, viewer: Visitor, ledger: Ledger, ref: str) -> None:
        page = viewer.open(f"{LEDGER}/effect", ref=ref)
        assert page.status == 404
        assert page.message().startswith("There is no such effect")


def test_text_from_outside_stays_text(viewer: Visitor, ledger: Ledger) -> None:
    attack = "<script>alert(1)</script><b onclick='x()'>\"&"
    ref = EffectRef(ESB, "message", attack)
    ledger.plan(ref, run=RUN)
    ledger.quarantine(ref, field=attack, reason=attack)
    done = EffectRef(ESB, "message", "done")
    ledger.begin(done, lease_s=60)
    ledger.confirm(done, {attack: attack, "list": [attack]})
    for page in (viewer.open(), viewer.open(key=attack), viewer.effect(ref), viewer.effect(done)):
        assert page.status == 200
        assert attack in page.text
        assert page.tree.xpath("//script/@src") == ["/interchange/static/page.js"]
        assert page.tree.xpath("//b | //*[@onclick] | //script[text()]") == []


class TestWhoMayLook:
    def test_nobody_without_a_login(self, visit: Visit, ledger: Ledger, quarantined: EffectRef) -> None:
        stranger = visit()
        page = stranger.open(f"{LEDGER}?kind=message")
        assert page.status == 303
        login = "/api/v2/auth/login?next=%2Finterchange%2Fledger%3Fkind%3Dmessage"
        assert page.headers["location"] == login
        assert stranger.client.get(LEDGER).status_code == 401
        assert quarantined.key not in stranger.client.get(LEDGER).text

    def test_a_program_with_a_token(self, visit: Visit, ledger: Ledger, quarantined: EffectRef) -> None:
        def answer(life_s: int) -> Any:
            token = get_auth_manager().generate_jwt(OPERATOR, expiration_time_in_seconds=life_s)
            headers = {"authorization": f"Bearer {token}", "accept": "text/html"}
            return visit().client.get(LEDGER, headers=headers)

        assert answer(3600).status_code == 200
        assert quarantined.key in answer(3600).text
        # A program has no use for a log-in page.
        assert answer(-3600).status_code == 401

    def test_only_those_who_may_see_the_workflows_runs(
        self, visit: Visit, airflow: pytest.MonkeyPatch, quarantined: EffectRef, confirmed: EffectRef
    ) -> None:
        """With Airflow's teams: the bus belongs to one, the exports to nobody."""
        with Session(settings.engine) as session:
            bundle = DagBundleModel(name="of-a-team")
            bundle.teams.append(Team(name="city"))
            session.add(bundle)
            session.flush()
            session.add(DagModel(dag_id=ESB, bundle_name="of-a-team"))
            session.commit()
        clear_team_name_cache()
        insider = visit(User(username="ivo", role="op", teams=["city"]))
        outsider = visit(User(username="oda", role="op", teams=["campus"]))

        assert insider.open().keys == keys(quarantined, confirmed)
        assert outsider.open().keys == keys(confirmed)
        assert outsider.open(workflow=ESB).keys == []
        assert ESB not in outsider.open().tree.xpath("//select[@name='workflow']/option/@value")
        assert outsider.effect(quarantined).status == 404
        assert insider.effect(quarantined).has_form
        form = insider.effect(quarantined).form()
        assert outsider.post({**form, "reason": "mine"}).status == 403


class TestLabels:
    def test_every_field_has_a_label_and_every_column_a_head(
        self, operator: Visitor, unknown: EffectRef, quarantined: EffectRef
    ) -> None:
        for page in (operator.open(), operator.effect(unknown), operator.effect(quarantined)):
            labelled = set(page.tree.xpath("//label/@for"))
            fields: list[Any] = page.tree.xpath("//select | //textarea | //input[@type!='hidden']")
            assert fields
            for field in fields:
                assert field.get("id") in labelled or field.xpath("ancestor::label")
            for table in page.tree.xpath("//table"):
                heads = table.xpath("./thead//th[@scope='col']")
                assert table.xpath("./caption")
                assert {len(row) for row in table.xpath("./tbody/tr[not(@class)]")} == {len(heads)}
            assert page.tree.xpath("//html/@lang") == ["en"]
            assert len(page.tree.xpath("//h1")) == 1
