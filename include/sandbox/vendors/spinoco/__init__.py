"""Spinoco: call recordings and transcriptions."""

from include.sandbox.vendors.spinoco.service import Spinoco

__all__ = ["Spinoco"]
