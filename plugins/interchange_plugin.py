"""The one file of this folder that Airflow's plugin loader runs; see ``plugins/.airflowignore``."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from interchange.operators.links import LedgerLink, PlanLink, RoundLink, StoredFileLink, SurveyLink
from interchange.web.app import app


class InterchangePlugin(AirflowPlugin):
    """Registers what the package's entry point cannot."""

    name = "interchange"
    operator_extra_links = [LedgerLink(), PlanLink(), RoundLink(), StoredFileLink(), SurveyLink()]  # noqa: RUF012  # Airflow's own way to write it
    fastapi_apps: list[Any] = [{"app": app, "url_prefix": "/interchange", "name": "interchange"}]  # noqa: RUF012
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Interchange ledger",
            # Without a slash in front: below whatever path Airflow is served at.
            "href": "interchange/ledger",
            "destination": "nav",
            "category": "browse",
            "url_route": "interchange-ledger",
        },
        {
            "name": "Webex roulette",
            "href": "interchange/roulette",
            "destination": "nav",
            "category": "browse",
            "url_route": "interchange-roulette",
        },
    ]
