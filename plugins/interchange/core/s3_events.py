"""
What S3 says of new objects.

An event comes at least once, in any order, as the text of a queue's message, straight or through SNS. Source: AWS,
"Amazon S3 event message structure", versions 2.1 and later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from interchange.errors import BadRecord

_CREATED = "ObjectCreated:"
_TEST = "s3:TestEvent"
_MAJOR = "2."
_WIDTH = 64
"""Sequencers are hexadecimal numbers of different lengths, compared after filling up with zeros."""


@dataclass(frozen=True, kw_only=True)
class ObjectCreated:
    """
    :param key: decoded.
    :param sequencer: grows with each event of one key; None: the store gives none.
    """

    bucket: str
    key: str
    sequencer: str | None

    def adds_nothing_to(self, other: ObjectCreated | None) -> bool:
        """Whether ``other``, an event of the same key, tells of the same upload or of a later one."""
        if other is None or self.sequencer is None or other.sequencer is None:
            return False
        return self.sequencer.rjust(_WIDTH, "0") <= other.sequencer.rjust(_WIDTH, "0")


def created_objects(text: str) -> tuple[ObjectCreated, ...]:
    """
    The new objects a message tells of; none in the test event S3 sends when notifications are set up.

    :raises BadRecord: it is no event of S3; the reason quotes nothing of it.
    """
    message = _object(text)
    if message.get("Type") == "Notification" and isinstance(message.get("Message"), str):
        message = _object(message["Message"])
    if message.get("Event") == _TEST:
        return ()
    records = message.get("Records")
    if not isinstance(records, list):
        raise BadRecord("Records", "is missing: this is no event of S3")
    return tuple(found for record in records if (found := _created(record)))


def _object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError:
        raise BadRecord("body", "is no JSON") from None
    if not isinstance(message, dict):
        raise BadRecord("body", "is no JSON object")
    return message


def _created(record: Any) -> ObjectCreated | None:
    try:
        version, name, entry = record["eventVersion"], record["eventName"], record["s3"]
        if not version.startswith(_MAJOR):
            raise BadRecord("eventVersion", f"is not {_MAJOR}x")
        if not name.startswith(_CREATED):
            return None
        bucket, key, sequencer = (
            entry["bucket"]["name"],
            entry["object"]["key"],
            entry["object"].get("sequencer"),
        )
        return ObjectCreated(bucket=str(bucket), key=unquote_plus(key), sequencer=sequencer or None)
    except (KeyError, TypeError, AttributeError):
        raise BadRecord("Records", "is not built as S3 builds it") from None
