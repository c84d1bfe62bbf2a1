"""What all settings models share, and how their mistakes are told to a person."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from interchange.core.qualtrics_options import shown
from interchange.core.suggest import did_you_mean

M = TypeVar("M", bound="SettingsModel")

_SECRET_KEY = re.compile(r"passw|passphrase|token|secret|api_?key|private|credential", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
_YAML_HINT = " (in YAML, put quotes around it: Yes, No, On, Off, numbers and dates are no text without them)"
_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number, without quotes",
    "int_type": "a whole number, without quotes",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
}
_BOUNDS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "at most {}"),
    "string_pattern_mismatch": ("pattern", "text of the form {}"),
    "string_too_long": ("max_length", "at most {} characters"),
    "string_too_short": ("min_length", "at least {} characters"),
    "too_long": ("max_length", "at most {} entries"),
    "too_short": ("min_length", "at least {} entries"),
}


class SettingsModel(BaseModel):
    """
    Base of every settings model: unknown keys are refused and nothing is converted.

    ``"5"`` is no number and ``1`` is not true: a value of the wrong type is more often a slip than a wish.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_by_name=False, validate_by_alias=True
    )


def problem(*sentences: str) -> PydanticCustomError:
    """What a validator raises when its sentences should reach the person as they are, a line for each."""
    return PydanticCustomError("interchange", "does not fit together", {"sentences": list(sentences)})


def validate(model: type[M], data: Any) -> tuple[M | None, list[str]]:
    """
    Check data against a model.

    :return: the settings and no problems, or None and one line for each problem, with its key path.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as exc:
        return None, [line for error in exc.errors(include_url=False) for line in _lines(model, data, error)]


def _lines(model: type[SettingsModel], data: Any, error: ErrorDetails) -> Iterator[str]:
    path = _path(data, error["loc"])
    if error["type"] == "interchange":
        messages: list[str] = error["ctx"]["sentences"]
    else:
        messages = [_message(model, error)]
    for message in messages:
        yield f"{path}: {message}" if path else message


def _message(model: type[SettingsModel], error: ErrorDetails) -> str:
    kind, location, context = error["type"], error["loc"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        owner = _annotation(model, location[:-1])
        known = _keys(owner) if _is_model(owner) else []
        return f"is not a setting; allowed: {', '.join(known)}.{did_you_mean(str(location[-1]), known)}"
    value = _value(location, error["input"])
    if kind == "literal_error":
        choices = [str(choice) for choice in get_args(_annotation(model, location))]
        wrong = error["input"]
        hint = did_you_mean(wrong, choices) if isinstance(wrong, str) else ""
        return f"{value} is not allowed; allowed: {', '.join(choices)}.{hint}"
    if kind in _TYPES:
        hint = _YAML_HINT if kind == "string_type" and not isinstance(error["input"], (dict, list)) else ""
        return f"{value} is not allowed; allowed: {_TYPES[kind]}{hint}"
    if kind in _BOUNDS:
        key, text = _BOUNDS[kind]
        return f"{value} is not allowed; allowed: {text.format(_number(context[key]))}"
    return f"{value} is not allowed: {error['msg']}"


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _value(location: Sequence[int | str], value: Any) -> str:
    """A wrong value, unless it might be a secret that ended up in the wrong place."""
    if any(isinstance(part, str) and _SECRET_KEY.search(part) for part in location):
        return "this value"
    return _USER_INFO.sub("***@", shown(value))


def _path(data: Any, location: Sequence[int | str]) -> str:
    """``exports[1] (course-feedback).destination.folder``"""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not _is_tag(part):
            path += f".{part}" if path else part
        else:
            continue
        data = _item(data, part)
        if isinstance(part, int) and isinstance(name := _item(data, "name"), str):
            path += f" ({name})"
    return path


def _item(data: Any, part: int | str) -> Any:
    if isinstance(data, Mapping) and isinstance(part, str):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _is_tag(part: int | str) -> bool:
    """Our unions' tags are written like ``<onedrive>``; pydantic puts them into the path."""
    return isinstance(part, str) and part.startswith("<")


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, SettingsModel)


def _keys(model: type[SettingsModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _annotation(annotation: Any, location: Sequence[int | str]) -> Any:
    """The type that a model asks for at a place; None if there is none."""
    annotation = _plain(annotation)
    for part in location:
        if _is_tag(part):
            members = get_args(annotation)
            annotation = next(
                (m for m in members if any(getattr(t, "tag", None) == part for t in get_args(m)[1:])), None
            )
        elif isinstance(part, int):
            annotation = next(iter(get_args(annotation)), None)
        elif _is_model(annotation):
            fields = annotation.model_fields
            annotation = next((f.annotation for name, f in fields.items() if part in (name, f.alias)), None)
        else:
            return None
        annotation = _plain(annotation)
    return annotation


def _plain(annotation: Any) -> Any:
    """Without ``Annotated`` and ``| None``."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            members = [member for member in get_args(annotation) if member is not types.NoneType]
            if len(members) != 1:
                return annotation
            annotation = members[0]
        else:
            return annotation
