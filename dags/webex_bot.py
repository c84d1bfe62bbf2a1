"""
### Webex bot

Answers one thing that somebody wrote to the bot, or sent back with one of its cards.

* **Reads** Webex (`webex_bot`): what an event is about is fetched by its id. **Writes** answers and cards through
  `webex_bot`, moved and cancelled meetings through `webex_meetings`, changes into the space for reports.
* **Settings:** Variable `interchange_webex_roulette`, else `include/config/webex_roulette.yaml`; texts and cards in
  `include/templates/webex/`.
* **Started** by the receiver of Webex's notifications, a run for each event, named after it.
* **Running again is safe:** an event is answered once, a click counts once, a meeting is moved only if all agreed.
  A killed run is gone on with.
* **If `answer` fails** with *webex.not_yet* or *Unavailable*: nothing to do. *Refused* with 401 or 403: the token of
  `webex_bot`, or the log-in of `webex_meetings`. What is left over is tried again by `webex_upkeep`. See
  `docs/runbooks/webex_bot.md`.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import Param, dag, get_current_context, task

from interchange import policies


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    # So many people can be answered at once; the others wait for their turn.
    max_active_runs=16,
    # What somebody said belongs to no interval.
    allowed_run_types=["manual"],
    tags=["interchange", "webex"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        # With the pauses between them these last for the ten minutes that Webex's answers may lag behind, and more.
        "retries": 8,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
    params={
        "event": Param(
            {},
            type="object",
            title="Event",
            description='What happened: {"resource": "messages" or "attachmentActions", "id": …}.',
        ),
    },
)
def webex_bot() -> None:
    @task
    def answer() -> str:
        """Fetch it, do what it asks for, answer. Once, however often tried."""
        from interchange.operators.webex_bot import answer_event

        return answer_event(get_current_context())

    answer()


webex_bot()
