"""A chat's incoming webhook: one sentence, ``{"text": …}``, as Slack, Mattermost and Teams' bridges take it."""

from __future__ import annotations

from collections.abc import Mapping

from interchange.errors import SettingsError
from interchange.hooks.http import VendorHook


class AlertsHook(VendorHook):
    """Over Airflow's own ``http`` connection: ``host`` is the webhook's URL, ``password`` a bearer token, if any."""

    conn_type = "http"
    default_conn_name = "http_default"
    hook_name = "Alerts"

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        token = self.connection.password
        return {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, text: str) -> None:
        """
        Show people a sentence.

        :raises OutcomeUnknown: it may have been shown.
        """
        if not self.connection.host:
            raise SettingsError(f"connection {self.http_conn_id}: host (the webhook's URL) is missing")
        self.call("alerts.send", "POST", self.base, repeatable=False, json={"text": text})
