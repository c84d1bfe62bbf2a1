"""Buttons on a task's page that lead to what the task made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow.sdk import BaseOperatorLink


class _MadeLink(BaseOperatorLink):
    """A URL that the operator keeps in ``made`` under ``key`` while it runs; Airflow stores it when the task ends."""

    key = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        link = getattr(operator, "made", {}).get(self.key)
        return link if isinstance(link, str) else ""


class StoredFileLink(_MadeLink):
    """The file in OneDrive, by way of the ledger's page, which alone knows its address."""

    name = "File in OneDrive"
    key = "file_url"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        path = super().get_link(operator, ti_key=ti_key)
        return path and _root() + path


class SurveyLink(_MadeLink):
    """The survey in Qualtrics."""

    name = "Survey in Qualtrics"
    key = "survey_url"


class PlanLink(_MadeLink):
    """The mails a plan holds, exactly as they would go, for those who may trigger the DAG."""

    name = "Mails"
    key = "plan"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        digest = super().get_link(operator, ti_key=ti_key)
        return digest and plan_page(digest)


class RoundLink(_MadeLink):
    """A week's pairs, for those who may see the DAG."""

    name = "Round"
    key = "round"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        query = super().get_link(operator, ti_key=ti_key)
        return query and _framed(f"/interchange/roulette?{query}", view="interchange-roulette")


class LedgerLink(BaseOperatorLink):
    """The effects of the task's workflow: the ledger's page, inside Airflow's."""

    name = "Ledger"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return ledger_page({"workflow": ti_key.dag_id})


def ledger_page(query: Mapping[str, str]) -> str:
    """The ledger's page with these filters, inside Airflow's."""
    return _framed(f"/interchange/ledger?{urlencode(query)}")


def plan_page(digest: str) -> str:
    """The page with a plan's mails, inside Airflow's."""
    return _framed(f"/interchange/mails?{urlencode({'plan': digest})}")


def _framed(page: str, *, view: str = "interchange-ledger") -> str:
    root = _root()
    # Airflow shows in its frame what stands behind the name of the view, query included.
    return f"{root}/plugin/{view}{root}{page}"


def _root() -> str:
    """Airflow's own path; no host, since whoever opens a link may know Airflow under another than this worker does."""
    from airflow.sdk.configuration import conf

    return urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/")
