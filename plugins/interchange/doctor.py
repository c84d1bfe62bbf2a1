"""Is this deployment well? Settings, connections and ledger, looked at without changing anything outside."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from interchange.cli import FOUND_WRONG, OK, Subparsers, see_airflows_database
from interchange.errors import InterchangeError, SettingsError
from interchange.settings import load_settings, parse_time_settings
from interchange.settings.files import settings_file
from interchange.settings.loading import airflow_variable, needs_no_settings
from interchange.settings.workflows import WORKFLOWS

if TYPE_CHECKING:
    from interchange.hooks.http import VendorHook
    from interchange.settings.parse_time import Events

    HookMaker = Callable[[str], VendorHook]

log = logging.getLogger(__name__)


class Health(StrEnum):
    GOOD = "ok"
    LOOK = "look"
    """Nothing is broken; a person has something to decide."""
    BAD = "wrong"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. ``detail`` says what is wrong and what to do, without secrets."""

    subject: str
    health: Health
    detail: str


def examine() -> Iterator[Finding]:
    """Everything there is to look at, one after another."""
    hooks: dict[str, HookMaker] = {}
    for dag_id in WORKFLOWS:
        if (absent := _absent(dag_id)) is not None:
            yield absent
            continue
        try:
            settings = load_settings(dag_id)
        except SettingsError as exc:
            yield Finding(subject=f"settings of {dag_id}", health=Health.BAD, detail=str(exc))
            continue
        yield Finding(subject=f"settings of {dag_id}", health=Health.GOOD, detail="valid")
        hooks |= _CONNECTIONS[dag_id](settings)
        if (events := parse_time_settings(dag_id).events) is not None:
            yield _queue(dag_id, events)
    for conn_id, hook in sorted(hooks.items()):
        yield _connection(conn_id, hook)
    yield from _ledger()


def _absent(dag_id: str) -> Finding | None:
    """A workflow that this deployment does not use: switched off, or without settings."""
    subject = f"settings of {dag_id}"
    try:
        if not parse_time_settings(dag_id).enabled:
            return Finding(subject=subject, health=Health.GOOD, detail="switched off")
    except SettingsError as exc:
        return Finding(subject=subject, health=Health.BAD, detail=str(exc))
    path = settings_file(dag_id)
    if path.exists() or airflow_variable(f"interchange_{dag_id}") is not None or needs_no_settings(dag_id):
        return None
    detail = (
        f"there are none: neither {path} nor a Variable. Write them, or put `enabled: false` into that file"
    )
    return Finding(subject=subject, health=Health.LOOK, detail=detail)


def _connection(conn_id: str, hook: HookMaker) -> Finding:
    try:
        well, detail = hook(conn_id).test_connection()
    except InterchangeError as exc:
        well, detail = False, str(exc)
    return Finding(subject=f"connection {conn_id}", health=Health.GOOD if well else Health.BAD, detail=detail)


def _queue(dag_id: str, events: Events) -> Finding:
    """Whether the queue whose events start the DAG is there: the triggerer only logs that it is not."""
    from airflow.providers.amazon.aws.hooks.sqs import SqsHook

    subject = f"queue of {dag_id}"
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    try:
        client: Any = SqsHook(aws_conn_id=events.conn_id).get_conn()
        answer = client.get_queue_attributes(QueueUrl=events.queue_url, AttributeNames=names)
        waiting = sum(int(answer["Attributes"][name]) for name in names)
    except Exception as exc:  # noqa: BLE001  # of Airflow, botocore or the line: all mean that it cannot be read
        code = getattr(exc, "response", {}).get("Error", {}).get("Code", type(exc).__name__)
        detail = f"cannot be read through connection {events.conn_id} ({code}); no report starts a run"
        return Finding(subject=subject, health=Health.BAD, detail=detail)
    return Finding(subject=subject, health=Health.GOOD, detail=f"{waiting} messages")


def _ledger() -> Iterator[Finding]:
    from interchange.ledger import State
    from interchange.ledger.connection import open_ledger

    try:
        ledger = open_ledger(owner="doctor")
        # What a killed process left counts as unknown from the moment its claim has run out.
        ledger.expire_claims()
        counts = ledger.count()
    except InterchangeError as exc:
        yield Finding(subject="ledger", health=Health.BAD, detail=str(exc))
        return
    told = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    yield Finding(subject="ledger", health=Health.GOOD, detail=told or "empty")
    for state, command in ((State.UNKNOWN, "unknown list"), (State.QUARANTINED, "quarantine list")):
        if counts[state]:
            detail = f"{counts[state]} effects; a person decides: python -m interchange {command}"
            yield Finding(subject=f"{state} effects", health=Health.LOOK, detail=detail)


def _of_exports(settings: Any) -> dict[str, HookMaker]:
    from interchange.hooks.modo import ModoHook
    from interchange.hooks.onedrive import OneDriveHook
    from interchange.hooks.qualtrics import QualtricsHook
    from interchange.settings.qualtrics_to_onedrive import OneDriveDestination

    found: dict[str, HookMaker] = {}
    for export in settings.exports:
        found[export.conn_id] = QualtricsHook
        if isinstance(export.destination, OneDriveDestination):
            found[export.destination.conn_id] = OneDriveHook
        for rule in export.notify:
            found[rule.conn_id] = ModoHook
    return found


def _of_apps(settings: Any) -> dict[str, HookMaker]:
    from interchange.hooks.esb import EsbHook
    from interchange.hooks.knack import KnackHook

    found: dict[str, HookMaker] = {}
    for app in settings.apps:
        found[app.knack_conn_id] = KnackHook
        found[app.esb_conn_id] = EsbHook
    return found


def _of_mails(settings: Any) -> dict[str, HookMaker]:
    # Google's and Amazon's connections are Airflow's own, with a Test button of theirs.
    from interchange.hooks.mail_webhook import MailWebhookHook

    return {settings.webhook_conn_id: MailWebhookHook}


def _of_syncs(settings: Any) -> dict[str, HookMaker]:
    # The stores' connections are Airflow's own, with a Test button of theirs.
    from interchange.hooks.spinoco import SpinocoHook

    return {sync.conn_id: SpinocoHook for sync in settings.syncs}


def _of_roulette(settings: Any) -> dict[str, HookMaker]:
    from interchange.hooks.webex import WebexHook
    from interchange.ledger.connection import open_ledger
    from interchange.ledger.tokens import TokenVault

    def renewing(conn_id: str) -> VendorHook:
        # An old token is renewed, and kept, as a run would do it.
        return WebexHook(conn_id, vault=TokenVault(open_ledger(owner="doctor")))

    return {settings.bot_conn_id: WebexHook, settings.meetings_conn_id: renewing}


def _of_nothing(_settings: Any) -> dict[str, HookMaker]:
    return {}


_CONNECTIONS: Mapping[str, Callable[[Any], dict[str, HookMaker]]] = {
    "interchange_doctor": _of_nothing,
    "knack_to_esb": _of_apps,
    "qualtrics_to_onedrive": _of_exports,
    "spinoco_sync": _of_syncs,
    "ticket_closure": _of_mails,
    "webex_roulette": _of_roulette,
    "webex_upkeep": _of_nothing,
}
"""Which connections a workflow's settings name, and the hook that tests each."""


def examine_deployment() -> dict[str, Any]:
    """
    What the DAG's task does.

    :return: counts by health.
    :raises SettingsError: something is wrong; names all of it.
    """
    findings = list(examine())
    for finding in findings:
        log.log(
            logging.INFO if finding.health is Health.GOOD else logging.WARNING,
            "%s: %s: %s", finding.subject, finding.health, finding.detail,
        )  # fmt: skip
    wrong = [finding for finding in findings if finding.health is Health.BAD]
    if wrong:
        raise SettingsError("; ".join(f"{finding.subject}: {finding.detail}" for finding in wrong))
    return {health.value: sum(finding.health is health for finding in findings) for health in Health}


def forget_personal_data() -> int:
    """
    Drop what is personal from receipts that are as old as the settings say.

    :return: how many receipts were changed.
    """
    from datetime import UTC, datetime, timedelta

    from interchange.ledger.connection import open_ledger

    days = load_settings("interchange_doctor").personal_data_days
    if days is None:
        return 0
    number = open_ledger(owner="doctor").forget_personal_data(datetime.now(UTC) - timedelta(days=days))
    log.info("Dropped personal data from %s receipts older than %g days", number, days)
    return number


def register(commands: Subparsers) -> None:
    """Add the command ``doctor``."""
    import json

    def run(arguments: argparse.Namespace) -> int:
        see_airflows_database()
        bad = False
        for finding in examine():
            bad |= finding.health is Health.BAD
            line = (
                json.dumps(asdict(finding))
                if arguments.json
                else f"{finding.health:6} {finding.subject}: {finding.detail}"
            )
            sys.stdout.write(line + "\n")
        return FOUND_WRONG if bad else OK

    parser = commands.add_parser(
        "doctor", help="check settings, connections and ledger; exit 1 if anything is wrong"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)
