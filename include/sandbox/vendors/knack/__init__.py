"""Knack: applications with objects, views and records, read and written over its REST API, version 1."""

from include.sandbox.vendors.knack.service import Knack

__all__ = ["Knack"]
