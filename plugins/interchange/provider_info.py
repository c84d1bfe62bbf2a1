"""
What Airflow needs to know of this package before it starts: connection types, their forms, and task links.

Found through the entry point ``apache_airflow_provider``. Declarative on purpose: the UI builds the forms from this
without importing a hook.
"""

from __future__ import annotations

from typing import Any

VERSION = "0.1.0"
# Nobody needs the field for the address. But Airflow 3.3.2's page cannot test a connection without a port: for
# "none" it asks for port 0, which its own API refuses as another address (apache/airflow#73298 mends that).
_PORT = "443; empty: no Test button"


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "interchange",
        "name": "Interchange",
        "description": "Moves work between cloud services and never loses or doubles any of it.",
        "versions": [VERSION],
        "connection-types": [
            {
                "connection-type": "qualtrics",
                "hook-class-name": "interchange.hooks.qualtrics.QualtricsHook",
                "hook-name": "Qualtrics",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "Base URL",
                        "port": "Port",
                        "login": "OAuth client id",
                        "password": "OAuth client secret",
                    },
                    "placeholders": {"host": "https://{datacenter}.qualtrics.com", "port": _PORT},
                },
                "conn-fields": {
                    "api_token": _secret("API token", "Used instead of the OAuth client, if given"),
                    "ca_bundle": _CA_BUNDLE,
                },
            },
            {
                "connection-type": "onedrive",
                "hook-class-name": "interchange.hooks.onedrive.OneDriveHook",
                "hook-name": "OneDrive",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "Graph URL",
                        "port": "Port",
                        "login": "Application (client) id",
                        "password": "Passphrase of the private key",
                    },
                    "placeholders": {"host": "https://graph.microsoft.com", "port": _PORT},
                },
                "conn-fields": {
                    "tenant": _text("Tenant", "Directory id or domain"),
                    "authority": _text(
                        "Authority", "Sign-in address; https://login.microsoftonline.com unless given"
                    ),
                    "private_key": _secret("Private key", "PEM text, or the path of a PEM file"),
                    "thumbprint": _text("Thumbprint", "SHA-1 of the certificate, 40 hexadecimal digits"),
                    "certificate": _text("Certificate", "PEM text, or the path of a PEM file; for SHA-256"),
                    "client_secret": _secret("Client secret", "Instead of key and certificate"),
                    "resource": _text(
                        "Resource", "What the token is for; https://graph.microsoft.com unless given"
                    ),
                    "test_user": _text("Test user", "Whose drive the Test button looks at; optional"),
                    "ca_bundle": _CA_BUNDLE,
                },
            },
            {
                "connection-type": "modo",
                "hook-class-name": "interchange.hooks.modo.ModoHook",
                "hook-name": "Modo",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "password"],
                    "relabeling": {"host": "Base URL", "port": "Port"},
                    "placeholders": {"host": "https://communicate.modolabs.net", "port": _PORT},
                },
                "conn-fields": {
                    "directory_token": _secret("Directory token", "Uploads directories"),
                    "channel_token": _secret("Channel token", "Sends messages of its channel"),
                    "auth_scheme": _text("Authorization scheme", "Token unless given"),
                    "directory_path": _text("Directory path", "/api/v1/directories/revisions/ unless given"),
                    "message_path": _text("Message path", "/api/v1/messages/personal/ unless given"),
                    "enable_path": _text(
                        "Enable path", "Posted to after an upload, if given; {id} and {name} are filled in"
                    ),
                    "ca_bundle": _CA_BUNDLE,
                },
            },
            {
                "connection-type": "knack",
                "hook-class-name": "interchange.hooks.knack.KnackHook",
                "hook-name": "Knack",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "Base URL",
                        "port": "Port",
                        "login": "Application id",
                        "password": "REST API key",
                    },
                    "placeholders": {"host": "https://api.knack.com", "port": _PORT},
                },
                "conn-fields": {
                    "requests_per_second": _text(
                        "Requests per second", "10 unless given: the vendor's own limit"
                    ),
                    "ca_bundle": _CA_BUNDLE,
                },
            },
            {
                "connection-type": "esb",
                "hook-class-name": "interchange.hooks.esb.EsbHook",
                "hook-name": "Enterprise Service Bus",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login"],
                    "relabeling": {
                        "host": "Endpoint URL",
                        "port": "Port",
                        "password": "Passphrase of the client key",
                    },
                    "placeholders": {"host": "https://bus.example.gov/csr", "port": _PORT},
                },
                "conn-fields": {
                    "client_certificate": _text("Client certificate", "PEM text, or the path of a PEM file"),
                    "client_key": _secret("Client key", "PEM text, or the path of a PEM file"),
                    "api_key": _secret("API key", "Instead of a client certificate, or besides it"),
                    "api_key_header": _text("API key header", "X-API-Key unless given"),
                    "soap_action": _text("SOAPAction", "Sent in quotes, if given"),
                    "timeout_s": _text("Time-out", "Seconds to wait for an answer; 30 unless given"),
                    "fault_means": _text(
                        "A fault means",
                        "rejected (the bus did not take the message) unless given; unknown: it may have taken it",
                    ),
                    "ca_bundle": _CA_BUNDLE,
                },
            },
            {
                "connection-type": "spinoco",
                "hook-class-name": "interchange.hooks.spinoco.SpinocoHook",
                "hook-name": "Spinoco",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login"],
                    "relabeling": {"host": "Base URL", "port": "Port", "password": "API token"},
                    "placeholders": {"host": "https://api.spinoco.com", "port": _PORT},
                },
                "conn-fields": {"ca_bundle": _CA_BUNDLE},
            },
            {
                "connection-type": "webex",
                "hook-class-name": "interchange.hooks.webex.WebexHook",
                "hook-name": "Webex",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "Base URL",
                        "port": "Port",
                        "login": "Client id (of an integration or service app)",
                        "password": "Bot token, or client secret",
                    },
                    "placeholders": {"host": "https://webexapis.com/v1", "port": _PORT},
                },
                "conn-fields": {
                    "webhook_secret": _secret(
                        "Webhook secret", "Of a bot: proves that an event comes from Webex"
                    ),
                    "receiver_url": _text(
                        "Receiver", "Of a bot: where Webex sends events; from [api] base_url unless given"
                    ),
                    "refresh_token": _secret("Refresh token", "Of a client: not needed after a log-in"),
                    "host_email": _text("Host", "Whose meetings they are; needs an admin's scopes"),
                    "access_token": _secret("Access token", "Used as it is, and never renewed"),
                    "scopes": _text("Scopes", "Asked for at the log-in; those for meetings unless given"),
                    "ca_bundle": _CA_BUNDLE,
                },
            },
        ],
        "extra-links": [
            "interchange.operators.links.LedgerLink",
            "interchange.operators.links.PlanLink",
            "interchange.operators.links.RoundLink",
            "interchange.operators.links.StoredFileLink",
            "interchange.operators.links.SurveyLink",
        ],
    }


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _secret(label: str, description: str) -> dict[str, Any]:
    return {
        "label": label,
        "description": description,
        "schema": {"type": ["string", "null"], "format": "password"},
    }


_CA_BUNDLE = _text("CA bundle", "Path of a PEM file with the authorities to trust instead of the system's")
