"""Keys that name a person's record without naming the person."""

from __future__ import annotations

import functools
import hashlib
import hmac

from interchange.errors import SettingsError


def keyed_hash(text: str) -> str:
    """
    Return 32 hexadecimal digits that stand for a text, the same in every process of this deployment.

    Without the deployment's Fernet key nobody can test whether a given address is behind a key. The caller
    normalises first (case, white space): different texts give different keys.

    While the Fernet key is rotated (``new,old``) the **last** one counts, so keys stay the same as long as
    the first key ever used stays last in the list. :func:`~interchange.ledger.connection.open_ledger` refuses
    a ledger whose keys were made with another one, because every effect would look new.

    :raises SettingsError: no Fernet key is configured.
    """
    from interchange.ledger.connection import fernet_keys

    keys = fernet_keys()
    if not keys:
        raise SettingsError(
            "No Fernet key is configured ([core] fernet_key, or AIRFLOW__CORE__FERNET_KEY). Keys of effects "
            "that concern people are made with it, so that no name or address lies in the ledger."
        )
    return hmac.new(_secret(keys[-1]), text.encode(), hashlib.sha256).hexdigest()[:32]


@functools.lru_cache(maxsize=4)
def _secret(fernet_key: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    # A key of its own: what leaks through one use of the Fernet key must not help against the other.
    return HKDF(SHA256(), length=32, salt=None, info=b"interchange ledger keys").derive(fernet_key.encode())
