"""The vendors of the sandbox: :func:`vendor_classes` imports them, so that a test may start just one."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from include.sandbox.core import Vendor

VENDORS = {
    "qualtrics": "include.sandbox.vendors.qualtrics:Qualtrics",
    "identity": "include.sandbox.vendors.microsoft:Identity",
    "graph": "include.sandbox.vendors.microsoft:Graph",
    "upload": "include.sandbox.vendors.microsoft:Upload",
    "modo": "include.sandbox.vendors.modo:Modo",
    "knack": "include.sandbox.vendors.knack:Knack",
    "esb": "include.sandbox.vendors.esb:Esb",
    "alerts": "include.sandbox.vendors.alerts:Alerts",
    "spinoco": "include.sandbox.vendors.spinoco:Spinoco",
    "google": "include.sandbox.vendors.google:Google",
    "mail_webhook": "include.sandbox.vendors.mail_webhook:MailWebhook",
    "s3": "include.sandbox.vendors.stores:S3Store",
    "gcs": "include.sandbox.vendors.stores:GcsStore",
    "azure": "include.sandbox.vendors.stores:AzureStore",
    "webex": "include.sandbox.vendors.webex:Webex",
}


def vendor_classes(names: Sequence[str]) -> list[type[Vendor]]:
    """
    The classes of some vendors.

    :raises ValueError: there is no vendor of that name.
    """
    if unknown := sorted(set(names) - set(VENDORS)):
        raise ValueError(f"no vendors {unknown}; there are {list(VENDORS)}")
    found: list[type[Vendor]] = []
    for name in names:
        module, _, class_name = VENDORS[name].partition(":")
        found.append(getattr(importlib.import_module(module), class_name))
    return found


def all_vendors() -> list[type[Vendor]]:
    """The class of every vendor, in the order of their ports."""
    return vendor_classes(list(VENDORS))
