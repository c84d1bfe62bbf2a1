"""Buttons on a task's page that lead to what the task made."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink


class _MadeLink(BaseOperatorLink):
    """A URL that the operator keeps in ``made`` under ``key`` while it runs; Airflow stores it when the task ends."""

    key = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        link = getattr(operator, "made", {}).get(self.key)
        return link if isinstance(link, str) else ""


class StoredFileLink(_MadeLink):
    """The file in OneDrive."""

    name = "File in OneDrive"
    key = "file_url"


class SurveyLink(_MadeLink):
    """The survey in Qualtrics."""

    name = "Survey in Qualtrics"
    key = "survey_url"
