"""What the fault harness runs of ``qualtrics_to_onedrive``, and what must be so afterwards."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from include.sandbox.core import Sandbox
from interchange.ledger import Effect, Ledger, State
from tests.faults.cases import Outcome, Run, Scenario, World
from tests.faults.kinds import Call, Kind
from tests.faults.steps import FREEZE, KILL

DAG_ID = "qualtrics_to_onedrive"
USER = "reports@contoso.example"
FOLDER = "Exports/Daily"
SURVEY = "SV_0symptoms"
LARGE_SURVEY = "SV_0large"
LARGE_BYTES = 5_600_000
OTHER_LARGE_BYTES = 5_100_000
SESSION_LIFE_S = 901
JOBS_PER_REQUEST = 2

RULE = {
    "name": "has-symptoms",
    "when": {"column": "Q2_1", "equals": "1"},
    "title": "Please stay at home",
    # The response makes each message different, so that a doubled one cannot hide another one's loss.
    "body": "<p>About your response {{ row.ResponseId }}</p>",
    "send_tag": "symptoms",
}
# Kinds after which the sender of a message cannot know whether it was sent.
UNCLEAR = frozenset(
    {
        "reset",
        "stall",
        "500",
        "503",
        "503-short",
        "503-outage",
        "html-200",
        "html-502",
        "truncate",
        "lose-answer",
        "503-done",
        "too-late",
    }
)
MORNING = Run(
    name="morning", start=datetime(2024, 6, 3, 9, tzinfo=UTC), end=datetime(2024, 6, 3, 11, tzinfo=UTC)
)
NOON = Run(name="noon", start=MORNING.end, end=datetime(2024, 6, 3, 12, tzinfo=UTC))


def scenario(
    name: str,
    *,
    survey: str = SURVEY,
    unique: bool = True,
    notify: bool = False,
    earlier: tuple[Run, ...] = (),
    run: Run = MORNING,
    polls: int = 0,
    covers: Callable[[Call], bool] = lambda _: True,
    **export: Any,
) -> Scenario:
    """
    One export of one survey.

    :param polls: how often the vendor says that the job still runs; the first makes the task defer.
    """
    settings = {
        "exports": [
            {
                "name": name,
                "survey_id": survey,
                "destination": {
                    "user": USER,
                    "folder": FOLDER,
                    "file_name": name,
                    "unique": unique,
                    "fragment_mib": 1,
                },
                "notify": [RULE] if notify else [],
                **export,
            }
        ]
    }

    def prepare(sandbox: Sandbox, run: int) -> None:
        qualtrics = sandbox.vendor("qualtrics")
        qualtrics.set_options({"polls_until_complete": polls})
        # The simulator makes the same large file of any window: another size makes another file.
        size = LARGE_BYTES if run == 0 else OTHER_LARGE_BYTES
        qualtrics.seed({"large": {"survey_id": LARGE_SURVEY, "bytes": size}})

    return Scenario(
        name=name,
        dag_id=DAG_ID,
        settings={f"AIRFLOW_VAR_INTERCHANGE_{DAG_ID.upper()}": json.dumps(settings)},
        run=run,
        prepare=prepare,
        observe=observe,
        judge=judge,
        settle=settle,
        earlier=earlier,
        covers=covers,
    )


def observe(sandbox: Sandbox) -> World:
    """Files by what is in their ZIP, folders, messages; upload sessions left open."""
    graph = sandbox.vendor("graph")
    files: dict[str, str] = {}
    folders: list[str] = []
    versions = 0
    with graph.lock:
        for drive in graph.documents.state.drives.values():
            for item in drive.items.values():
                path = f"{drive.user}:{drive.path_of(item)}"
                if not item.folder:
                    files[path] = content(item.blob.read_bytes())
                    versions += len(item.versions)
                elif item.parent is not None:
                    folders.append(path)
    messages = sorted((m["title"], m["body_sha256"], m["send_tag"]) for m in sandbox.vendor("modo").messages)
    return World(
        things={"files": files, "folders": sorted(folders), "messages": messages},
        counts={
            "versions": versions,
            "jobs": len(sandbox.effects.entries(kind="export_started")),
            "open sessions": graph.snapshot()["open_sessions"],
            "open sessions later": _open_sessions_later(sandbox),
        },
    )


def _open_sessions_later(sandbox: Sandbox) -> int:
    sandbox.clock.advance(SESSION_LIFE_S)
    left: int = sandbox.vendor("graph").snapshot()["open_sessions"]
    return left


def content(packed: bytes) -> str:
    """What is in a ZIP, each entry proved by its checksum; the ZIP itself holds the time of its job."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            return " ".join(
                f"{entry.filename} {hashlib.sha256(archive.read(entry)).hexdigest()[:16]} {entry.file_size}"
                for entry in archive.infolist()
            )
    except (zipfile.BadZipFile, EOFError) as exc:
        return f"no sound ZIP of {len(packed)} bytes: {exc}"


def judge(expected: World, outcome: Outcome) -> list[str]:
    """Bounds on what may differ, and what the ledger must say."""
    found = _jobs(outcome) + _sessions(outcome) + _unknown(outcome)
    runs = 1 if outcome.case.beside is None else 2
    versions, usual = outcome.world.counts["versions"], expected.counts["versions"]
    # Of two runs each may make a version, and one more was made if the claim ran out; or only the newer window's was.
    # The file of mistaken settings may have been there before, and be replaced.
    mistaken = outcome.case.mistaken is not None
    possible = range(usual, usual + 1 + mistaken) if runs == 1 else range(1, usual + 3)
    if versions not in possible:
        found.append(f"{versions} versions of the files, not {usual}")
    states = Counter((effect.ref.kind, effect.state) for effect in outcome.effects)
    sent = len(expected.things["messages"])
    if states["push", State.CONFIRMED] != sent:
        found.append(f"the ledger has {states['push', State.CONFIRMED]} messages confirmed, not {sent}")
    windows = Counter(
        effect.ref.key.rsplit("/", 1)[0]
        for effect in outcome.effects
        if effect.ref.kind == "delivery" and effect.state is State.CONFIRMED
    )
    found += [f"{window} was delivered {times} times" for window, times in windows.items() if times > runs]
    if runs == 1 and not outcome.case.mistaken and outcome.case.scenario is not OVERTAKEN:
        # A newer file, or a correction of the settings, makes a plan pointless, and it is left.
        found += [
            f"{effect.ref} is left {effect.state}"
            for effect in outcome.effects
            if effect.ref.kind != "export" and effect.state is not State.CONFIRMED
        ]
    return found


def _was_cut_off(outcome: Outcome) -> bool:
    """Whether a process was stopped for so long that its claims ran out."""
    stop = outcome.case.stop
    return stop is not None and stop.how in (KILL, FREEZE)


def _jobs(outcome: Outcome) -> list[str]:
    """A job too many does no harm, but they are few."""
    lost = sum(call.operation == "start_export" for call, _ in outcome.case.faults) + _was_cut_off(outcome)
    most = JOBS_PER_REQUEST * outcome.requests + lost
    jobs = outcome.world.counts["jobs"]
    return [f"{jobs} jobs for {outcome.requests} request(s), at most {most}"] if jobs > most else []


def _sessions(outcome: Outcome) -> list[str]:
    """A session whose URL was lost with its answer cannot be closed by anybody: it ends by itself."""
    counts = outcome.world.counts
    lost = any(call.operation == "create_session" and kind.done for call, kind in outcome.case.faults)
    if counts["open sessions"] and not (lost or _was_cut_off(outcome)):
        return [f"{counts['open sessions']} upload session(s) left open"]
    return ["an upload session stays open"] if counts["open sessions later"] else []


def _unknown(outcome: Outcome) -> list[str]:
    """Only messages may need a person, only where nobody can know, and then they do."""
    found = [f"a person had to settle {e.ref}" for e in outcome.unknown if e.ref.kind != "push"]
    messages = [e for e in outcome.unknown if e.ref.kind == "push"]
    unclear = [call for call, kind in outcome.case.faults if _is_unclear(call, kind)]
    if messages and not (unclear or _was_cut_off(outcome)):
        found.append(f"{len(messages)} message(s) of unknown outcome without a reason")
    if len(messages) < len(unclear):
        found.append(f"{len(unclear)} message(s) had no clear outcome, {len(messages)} are listed")
    return found


def _is_unclear(call: Call, kind: Kind) -> bool:
    return call.operation == "send_message" and kind.name in UNCLEAR


def settle(sandbox: Sandbox, ledger: Ledger, effect: Effect) -> None:
    """Look at Modo's console: is there a message more than the ledger knows of?"""
    known = len(ledger.list(kind="push", state=State.CONFIRMED, limit=None))
    sent = len(sandbox.vendor("modo").messages)
    to = State.CONFIRMED if sent > known else State.PLANNED
    ledger.settle(effect.ref, to=to, by="a person", reason="looked up in Modo's console")


def _touches_the_file(call: Call) -> bool:
    return call.vendor in ("graph", "upload") or call.operation == "export_file"


SMALL = scenario("small", notify=True)
LARGE = scenario("large", survey=LARGE_SURVEY)
IN_PLACE = scenario("in-place", unique=False, earlier=(MORNING,), run=NOON, covers=_touches_the_file)
LARGE_IN_PLACE = scenario(
    "large-in-place",
    survey=LARGE_SURVEY,
    unique=False,
    earlier=(MORNING,),
    run=NOON,
    covers=_touches_the_file,
)
# The job takes a while, so the task waits in a trigger, which asks again.
DEFERRED = scenario("deferred", polls=1, covers=lambda call: call.operation == "export_progress")
# An older window whose run was late, beside the newer one: the file must be the newer one's.
LATE_IN_PLACE = replace(IN_PLACE, earlier=(), run=MORNING)
EARLY_IN_PLACE = replace(IN_PLACE, earlier=(), run=NOON)
# A backfill, or a late run: the newer window's file stays, and the older one's messages are sent.
OVERTAKEN = scenario("overtaken", unique=False, notify=True, earlier=(NOON,), run=MORNING)
# The same export before somebody noticed that it was the wrong survey, and the same in more than one fragment.
WRONG_SURVEY = scenario("small", survey="SV_0feedback")
WRONG_LARGE_SURVEY = scenario("small", survey=LARGE_SURVEY)
SCENARIOS = (SMALL, LARGE, IN_PLACE, LARGE_IN_PLACE, OVERTAKEN)
