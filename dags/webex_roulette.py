"""
### Webex roulette: colleagues who meet

Pairs colleagues of different departments, a round a week, and books a Webex meeting for each pair.

* **Reads** the settings' departments and what people told the bot (pauses). **Writes** Webex meetings
  (`webex_meetings`), direct messages to those who meet or rest, and a report (`webex_bot`).
* **Settings:** Variable `interchange_webex_roulette`, else `include/config/webex_roulette.yaml`.
* **Running again is safe.** A week has one round. A group has one meeting, found again in Webex by its tag before
  anything is repeated; everybody is told once.
* **People who left, joined or paused** since the draw are put right when the week's round is booked; other groups
  stay.
* **If `book` fails** with *RateLimited* and *meetings_per_day*: nothing to do, the rest is booked when Webex lets the
  host create meetings again. *nobody has logged in* or *does not take the refresh token*: an admin opens
  `/interchange/webex/login`. *OutcomeUnknown*: the next try looks the meeting up. See
  `docs/runbooks/webex_roulette.md`.
* **Try first:** `dry_run` shows pairs, who rests, and how good the draw is; nobody is told.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import Asset, CronDataIntervalTimetable, Param, dag

from interchange import policies
from interchange.operators.webex import BookRoundOperator, DrawRoundOperator
from interchange.settings import parse_time_settings

SETTINGS = parse_time_settings("webex_roulette")
MEETINGS = Asset(name="webex-meetings", uri="x-interchange://webex_roulette/meetings")


@dag(
    schedule=CronDataIntervalTimetable(SETTINGS.schedule, timezone=SETTINGS.time_zone)
    if SETTINGS.schedule and SETTINGS.enabled
    else None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    # Nobody can meet in the past.
    allowed_run_types=["scheduled", "manual"],
    tags=["interchange", "webex"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 8,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
    params={
        "round_start": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Round",
            description="A day of the week whose round is booked; empty: this week.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Draw and show who would meet; book nothing, tell nobody.",
        ),
    },
)
def webex_roulette() -> None:
    draw = DrawRoundOperator(task_id="draw")
    BookRoundOperator(task_id="book", drawn=draw.output, outlets=[MEETINGS])


webex_roulette()
