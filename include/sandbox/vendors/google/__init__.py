"""Google's token endpoint for service accounts, and the reading side of Sheets v4."""

from include.sandbox.vendors.google.service import Google

__all__ = ["Google"]
