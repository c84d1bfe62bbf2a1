"""The running sandbox as Airflow connections: the ids and fields that the workflows use by default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from include.sandbox.core import Sandbox

# What the vendors accept unless a test changes it.
QUALTRICS_CLIENT = "sandbox-client"
QUALTRICS_SECRET = "sandbox-qualtrics-secret-0001"
ONEDRIVE_CLIENT = "sandbox-onedrive-client"
TENANT = "contoso.example"
MODO_DIRECTORY_TOKEN = "sandbox-modo-directory-token-0001"
MODO_CHANNEL_TOKEN = "sandbox-modo-channel-token-0001"

Connections = dict[str, dict[str, Any]]


def connections(sandbox: Sandbox) -> Connections:
    """
    One connection for each service that runs, by id: conn_type, host, port, login, password, extra.

    In this form ``airflow connections import`` takes them from a JSON file. The sandbox must have been
    started, because hosts contain its ports.
    """
    made: Connections = {}
    if "qualtrics" in sandbox.vendors:
        made["qualtrics_default"] = {
            "conn_type": "qualtrics",
            "host": sandbox.url("qualtrics"),
            "login": QUALTRICS_CLIENT,
            "password": QUALTRICS_SECRET,
            "extra": {},
        }
    if "graph" in sandbox.vendors:
        issued = sandbox.authority.client("onedrive")
        made["onedrive_default"] = {
            "conn_type": "onedrive",
            "host": sandbox.url("graph"),
            "login": ONEDRIVE_CLIENT,
            "extra": {
                "tenant": TENANT,
                "authority": sandbox.url("identity"),
                "private_key": str(issued.key),
                "certificate": str(issued.certificate),
            },
        }
    if "modo" in sandbox.vendors:
        made["modo_default"] = {
            "conn_type": "modo",
            "host": sandbox.url("modo"),
            "extra": {"directory_token": MODO_DIRECTORY_TOKEN, "channel_token": MODO_CHANNEL_TOKEN},
        }
    for fields in made.values():
        # It stands in the URL as well; without it, the Test button of Airflow's page refuses (see provider_info).
        fields["port"] = urlsplit(fields["host"]).port
        fields["extra"]["ca_bundle"] = str(sandbox.ca_bundle)
    return made


def as_environment(made: Connections) -> dict[str, str]:
    """The same connections as ``AIRFLOW_CONN_…`` variables."""
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields) for conn_id, fields in made.items()}


def thumbprint(certificate: Path) -> str:
    """
    The certificate's SHA-1 in hexadecimal, as the Azure portal shows it.

    For sign-in with ``thumbprint`` in place of ``certificate``.
    """
    return x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA1()).hex()  # noqa: S303  # the vendor's identifier, not a protection
