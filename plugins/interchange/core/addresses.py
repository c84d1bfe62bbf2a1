"""When two e-mail addresses are the same one."""

from __future__ import annotations

import re

from interchange.errors import BadRecord

LONGEST = 254
"""Characters, RFC 5321 §4.5.3.1.3 less the angle brackets."""
_LONGEST_LOCAL = 64
"""Characters before the @, RFC 5321 §4.5.3.1.1."""
# Letters of other scripts are allowed (RFC 6531 §3.3). What is said here is what is not: a class that goes up to
# U+10FFFF costs re 20 ms to compile.
_ATOM = r"""[^\x00-\x20A-Z"(),.:;<>@\[\\\]\x7f]+"""
_LETTER, _INNER = r"[^\x00-/:-`{-\x7f]", r"[^\x00-,./:-`{-\x7f]"
_LABEL = rf"{_LETTER}(?:{_INNER}{{0,61}}{_LETTER})?"
_LOCAL = re.compile(rf"(?=.{{1,{_LONGEST_LOCAL}}}\Z){_ATOM}(?:\.{_ATOM})*")
_ADDRESS = re.compile(
    rf"(?=\S{{1,{LONGEST}}}\Z)(?=[^@]{{1,{_LONGEST_LOCAL}}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+"
)


def normalised(text: str) -> str:
    """
    One address as it is compared, counted and written to: without white space around it, in lower case.

    Mail systems that tell cases apart in the local part are allowed by RFC 5321 and not met in practice; two mails to
    one person would be worse.

    :raises BadRecord: it is not one plain address; the reason does not quote it.
    """
    address = text.strip().lower()
    if not _ADDRESS.fullmatch(address):
        raise BadRecord("Email", _mistake(address))
    return address


def _mistake(address: str) -> str:
    if not address:
        return "is empty"
    if any(mark in address for mark in '<>()"'):
        return "must be the address alone, without a name, brackets or quotes"
    if any(mark in address for mark in ",;") or address.count("@") > 1:
        return "holds more than one address"
    if any(character.isspace() for character in address):
        return "has white space in it"
    local, at, _ = address.partition("@")
    if not at:
        return "is no address"
    if len(address) > LONGEST:
        return f"has more than {LONGEST} characters"
    if not _LOCAL.fullmatch(local):
        return "is no address: what stands before the @ is not allowed there"
    return "is no address: what stands behind the @ is no domain"
