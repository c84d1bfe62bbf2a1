"""Which workflows have settings, and where their models are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """
    One workflow's settings.

    :param module: holds the model class ``Settings``; imported only when a run starts.
    :param schedule: cron expression used if neither the file nor the environment gives one; None: no
        schedule.
    :param names_under: the settings key with a list of things that have a ``name``, offered on the trigger
        form.
    :param events: it can be started by a queue's events, which the settings key ``events`` names.
    """

    module: str
    schedule: str | None
    names_under: str | None = None
    events: bool = False

    @property
    def parse_time_keys(self) -> tuple[str, ...]:
        """Settings that are read while Airflow parses the DAG: not part of the model, not allowed in a Variable."""
        return ("schedule", "enabled", *(("events",) if self.events else ()))


WORKFLOWS: Mapping[str, Workflow] = {
    "qualtrics_to_onedrive": Workflow(
        module="interchange.settings.qualtrics_to_onedrive", schedule="0 * * * *", names_under="exports"
    ),
    # A minute after the full five: the city's own cadence, out of step with everything that runs on the hour.
    "knack_to_esb": Workflow(
        module="interchange.settings.knack_to_esb", schedule="1-59/5 * * * *", names_under="apps"
    ),
    "ticket_closure": Workflow(
        module="interchange.settings.ticket_closure", schedule="0 7 * * 1", events=True
    ),
    "spinoco_sync": Workflow(
        module="interchange.settings.spinoco_sync", schedule="*/5 * * * *", names_under="syncs"
    ),
    "webex_roulette": Workflow(module="interchange.settings.webex_roulette", schedule="0 6 * * 1"),
    "webex_upkeep": Workflow(module="interchange.settings.webex_upkeep", schedule="45 8 * * *"),
    "interchange_doctor": Workflow(module="interchange.settings.interchange_doctor", schedule="30 5 * * *"),
}
