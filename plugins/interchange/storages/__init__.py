"""Where recordings are stored: one class for each kind of storage, all written once and read again for proof."""

from __future__ import annotations

from interchange.settings.spinoco_sync import AzureStorage, GcsStorage, LocalStorage, S3Storage
from interchange.storages.base import Content, Occupied, Spooled, Storage, Stored, spool

__all__ = ["Content", "Occupied", "Spooled", "Storage", "Stored", "open_storage", "spool"]

Settings = LocalStorage | S3Storage | GcsStorage | AzureStorage


def open_storage(settings: Settings, *, name: str) -> Storage:
    """
    The storage of some settings, ready for use by one thread.

    :param name: of the synchronisation: its unfinished files are told from others' by it.
    :raises SettingsError: a connection is missing or wrong.
    """
    # Each SDK takes half a second to import, and a run uses one.
    if isinstance(settings, LocalStorage):
        from interchange.storages.local import LocalDisk

        return LocalDisk(settings, name=name)
    if isinstance(settings, S3Storage):
        from interchange.storages.s3 import S3Bucket

        return S3Bucket(settings, name=name)
    if isinstance(settings, GcsStorage):
        from interchange.storages.gcs import GcsBucket

        return GcsBucket(settings, name=name)
    from interchange.storages.azure import AzureContainer

    return AzureContainer(settings, name=name)
