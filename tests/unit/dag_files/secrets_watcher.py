"""A secrets backend that knows nothing and notes what it is asked for; ``parse_probe.py`` puts it before all others."""

from __future__ import annotations

from airflow.sdk.bases.secrets_backend import BaseSecretsBackend

lookups: list[str] = []


class Watcher(BaseSecretsBackend):
    """Asked first for each Variable and each Connection."""

    def get_connection(self, conn_id: str, team_name: str | None = None) -> None:
        lookups.append(f"connection {conn_id}")

    def get_variable(self, key: str, team_name: str | None = None) -> None:
        lookups.append(f"variable {key}")
