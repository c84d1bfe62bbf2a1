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
# Application id and REST key of each Knack application, by its name.
KNACK_APPS = {
    "data-tracker": ("5c9a3f1be4b0a1000000da7a", "sandbox-knack-key-0001"),
    "signs-markings": ("5c9a3f1be4b0a10000005195", "sandbox-knack-key-0002"),
}
KNACK_CONNECTIONS = {"data-tracker": "knack_default", "signs-markings": "knack_signs_markings"}
ESB_API_KEY = "sandbox-esb-api-key-0001"
SPINOCO_TOKEN = "sandbox-spinoco-token-0001"
GOOGLE_PROJECT = "sandbox-project"
GOOGLE_ACCOUNT = "interchange@sandbox-project.iam.gserviceaccount.com"
WEBEX_BOT_TOKEN = "sandbox-webex-bot-token-0001"
WEBEX_WEBHOOK_SECRET = "sandbox-webex-webhook-secret-0001"
WEBEX_CLIENT = "sandbox-webex-integration"
WEBEX_SECRET = "sandbox-webex-secret-0001"
WEBEX_REFRESH_TOKEN = "sandbox-webex-refresh-token-0001"
MAIL_WEBHOOK_TOKEN = "sandbox-mail-webhook-token-0001"
S3_KEY = "sandbox"

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
    if "knack" in sandbox.vendors:
        for app, (app_id, api_key) in KNACK_APPS.items():
            made[KNACK_CONNECTIONS[app]] = {
                "conn_type": "knack",
                "host": sandbox.url("knack"),
                "login": app_id,
                "password": api_key,
                "extra": {},
            }
    if "esb" in sandbox.vendors:
        issued = sandbox.authority.client("esb")
        made["esb_default"] = {
            "conn_type": "esb",
            "host": f"{sandbox.url('esb')}/csr",
            "extra": {
                "client_certificate": str(issued.certificate),
                "client_key": str(issued.key),
                "api_key": ESB_API_KEY,
            },
        }
    if "alerts" in sandbox.vendors:
        made["alerts_default"] = {"conn_type": "http", "host": f"{sandbox.url('alerts')}/hook", "extra": {}}
    if "spinoco" in sandbox.vendors:
        made["spinoco_default"] = {
            "conn_type": "spinoco",
            "host": sandbox.url("spinoco"),
            "password": SPINOCO_TOKEN,
            "extra": {},
        }
    if "google" in sandbox.vendors:
        made["google_cloud_default"] = {
            "conn_type": "google_cloud_platform",
            "extra": {
                "project": GOOGLE_PROJECT,
                "keyfile_dict": json.dumps(google_key(sandbox)),
                "sheets_api_endpoint": sandbox.url("google"),
                **({"gcs.endpoint": sandbox.url("gcs")} if "gcs" in sandbox.vendors else {}),
            },
        }
    if "mail_webhook" in sandbox.vendors:
        made["ticket_mail_webhook"] = {
            "conn_type": "http",
            "host": f"{sandbox.url('mail_webhook')}/mails",
            "password": MAIL_WEBHOOK_TOKEN,
            "extra": {"idempotency_header": "Idempotency-Key"},
        }
    if "s3" in sandbox.vendors:
        made["aws_default"] = {
            "conn_type": "aws",
            "login": S3_KEY,
            "password": "sandbox-s3-secret-0001",
            "extra": {
                "endpoint_url": sandbox.url("s3"),
                "region_name": "eu-central-1",
                # A bucket is no host name here.
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }
    if "azure" in sandbox.vendors:
        made["wasb_default"] = {
            "conn_type": "wasb",
            "extra": {"connection_string": sandbox.vendor("azure").connection_string},
        }
    if "webex" in sandbox.vendors:
        made["webex_bot"] = {
            "conn_type": "webex",
            "host": f"{sandbox.url('webex')}/v1",
            "password": WEBEX_BOT_TOKEN,
            "extra": {"webhook_secret": WEBEX_WEBHOOK_SECRET},
        }
        made["webex_meetings"] = {
            "conn_type": "webex",
            "host": f"{sandbox.url('webex')}/v1",
            "login": WEBEX_CLIENT,
            "password": WEBEX_SECRET,
            "extra": {"refresh_token": WEBEX_REFRESH_TOKEN},
        }
    for fields in made.values():
        if "host" in fields:
            # It stands in the URL as well; without it, the Test button of Airflow's page refuses (see provider_info).
            fields["port"] = urlsplit(fields["host"]).port
        fields["extra"]["ca_bundle"] = str(sandbox.ca_bundle)
    return made


def google_key(sandbox: Sandbox) -> dict[str, str]:
    """A service account's key file, as Google gives it, whose tokens come from the sandbox."""
    return {
        "type": "service_account",
        "project_id": GOOGLE_PROJECT,
        "private_key_id": "sandbox-key-1",
        "private_key": sandbox.authority.client("google").key.read_text(),
        "client_email": GOOGLE_ACCOUNT,
        "client_id": "100000000000000000001",
        "token_uri": f"{sandbox.url('google')}/token",
    }


def as_environment(made: Connections) -> dict[str, str]:
    """The same connections as ``AIRFLOW_CONN_…`` variables."""
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields) for conn_id, fields in made.items()}


def thumbprint(certificate: Path) -> str:
    """
    The certificate's SHA-1 in hexadecimal, as the Azure portal shows it.

    For sign-in with ``thumbprint`` in place of ``certificate``.
    """
    return x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA1()).hex()  # noqa: S303  # the vendor's identifier, not a protection
