"""Kinds of values that settings of several workflows have."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from interchange.core.addresses import normalised
from interchange.errors import BadRecord
from interchange.settings.model import problem


def _address(value: str) -> str:
    try:
        return normalised(value)
    except BadRecord as exc:
        raise problem(f"{value!r} is no e-mail address: {exc.reason}") from None


Address = Annotated[str, AfterValidator(_address)]
ConnectionId = Annotated[str, Field(min_length=1, max_length=250)]
Text = Annotated[str, Field(min_length=1)]
