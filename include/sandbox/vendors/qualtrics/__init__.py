"""
Qualtrics API v3, response exports: token, survey list, start, progress and file, as clients have met them.

What is certain comes from recorded traffic and the vendor's documentation (api.qualtrics.com: "Start Response
Export", "Get Response Export Progress", "Get Response Export File", "Limits", "OAuth Authentication"); what
is not certain is a switch in :class:`include.sandbox.vendors.qualtrics.switches.Options`. Error codes without
a public source (``SANDBOX_…``) are ours: a client must treat every code as opaque text.
"""

from __future__ import annotations

from include.sandbox.vendors.qualtrics.service import Qualtrics

__all__ = ["Qualtrics"]
