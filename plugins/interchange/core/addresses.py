"""When two e-mail addresses are the same one."""

from __future__ import annotations

import re

from interchange.errors import BadRecord

LONGEST = 254
"""Characters, RFC 5321 §4.5.3.1.3 less the angle brackets."""
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u0080-\U0010ffff]{1,64}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9\-\u0080-\U0010ffff]{1,63}(?<!-)")


def normalised(text: str) -> str:
    """
    One address as it is compared, counted and written to: without white space around it, in lower case.

    Mail systems that tell cases apart in the local part are allowed by RFC 5321 and not met in practice; two mails to
    one person would be worse.

    :raises BadRecord: it is not one plain address; the reason does not quote it.
    """
    address = text.strip().lower()
    if not address:
        raise BadRecord("Email", "is empty")
    if any(mark in address for mark in '<>()"'):
        raise BadRecord("Email", "must be the address alone, without a name, brackets or quotes")
    if any(mark in address for mark in ",;") or address.count("@") > 1:
        raise BadRecord("Email", "holds more than one address")
    if any(character.isspace() for character in address):
        raise BadRecord("Email", "has white space in it")
    local, at, domain = address.partition("@")
    labels = domain.split(".")
    if not at or len(address) > LONGEST:
        raise BadRecord("Email", "is no address" if not at else f"has more than {LONGEST} characters")
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise BadRecord("Email", "is no address: what stands before the @ is not allowed there")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadRecord("Email", "is no address: what stands behind the @ is no domain")
    return address
