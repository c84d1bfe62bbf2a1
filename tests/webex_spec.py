"""
Webex's official description as a judge of requests and answers.

The description (``tests/specs/webex``, see PROVENANCE.md there) is wrong in places, or stricter than its own
examples: :data:`CORRECTIONS` says where, and why we differ. Beyond it, a field or parameter that it does not
name is a problem here, because the vendor passes over misspelt names without a word.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator

FOLDER = Path(__file__).parent / "specs" / "webex"
FILES = ("webex-meeting.json", "webex-messaging.json", "webex-admin.json")
PREFIX = "/v1"
# Nothing official describes these.
UNDESCRIBED = frozenset({"/authorize", "/access_token"})
# Our own and the vendor's: a link to the next page holds something of this kind.
ALWAYS_ALLOWED = frozenset({"cursor"})
Schema = dict[str, Any]


class NotAsDescribed(AssertionError):
    """What is wrong, one line for each."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """:param answers: schema by status; None: no body is described."""

    method: str
    path: str
    pattern: re.Pattern[str]
    query: dict[str, Schema]
    needed: frozenset[str]
    body: Schema | None
    answers: dict[str, Schema | None]
    examples: tuple[tuple[str, Any], ...]
    """``request`` or a status, and the official example of its body."""


def check_request(
    method: str, path: str, query: Mapping[str, str | list[str]] | None = None, body: Any = None
) -> None:
    """
    :param query: the last value counts; a list for a repeated one.
    :raises NotAsDescribed: the description has no such operation, parameter or field, or a value is of another kind.
    """
    if _bare(path) in UNDESCRIBED:
        return
    operation = _find(method, path)
    problems = [f"no parameter {name!r}" for name in _unknown(query or {}, operation)]
    problems += [f"parameter {name!r} is missing" for name in operation.needed - set(query or {})]
    for name, values in (query or {}).items():
        if name in operation.query:
            problems += [
                f"parameter {name!r}: {error}"
                for error in _errors(operation.query[name], _value(operation, name, values))
            ]
    if operation.body is not None:
        problems += _errors(operation.body, body if body is not None else {})
    elif body:
        problems.append("a body where none is described")
    _raise(f"{method} {path}", problems)


def check_answer(method: str, path: str, status: int, body: Any = None) -> None:
    """
    :param body: parsed JSON; None: there was none.
    :raises NotAsDescribed: the description has no such status, or the body is not the one it describes.
    """
    if _bare(path) in UNDESCRIBED:
        return
    operation = _find(method, path)
    problems = []
    if str(status) not in operation.answers:
        problems.append(f"status {status} is not described")
    elif status >= 400:
        # What stands before the vendor's services answers with pages, or with nothing.
        if body is not None or status not in (429, *range(500, 600)):
            problems += _errors(ENVELOPE, body)
    elif (schema := operation.answers[str(status)]) is not None:
        problems += _errors(schema, body)
    elif body is not None:
        problems.append("a body where none is described")
    _raise(f"answer {status} to {method} {path}", problems)


def check_journal(journal: Iterable[Mapping[str, Any]]) -> int:
    """
    Check every request that the sandbox's Webex has noted, whatever its answer was.

    :param journal: entries of the request journal; other vendors' are passed over.
    :return: how many were checked.
    :raises NotAsDescribed: the first that is wrong.
    """
    checked = 0
    for entry in journal:
        if entry.get("vendor") != "webex" or entry.get("method") is None:
            continue
        # A fault may have met it before its body was read; then there is none to check.
        if "body" in entry or entry["method"] in ("GET", "DELETE"):
            check_request(entry["method"], entry["path"], entry["query"], entry.get("body"))
            checked += 1
    return checked


ENVELOPE: Schema = {
    "type": "object",
    "required": ["message", "trackingId"],
    "properties": {
        "message": {"type": "string", "minLength": 1},
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["description"],
                "properties": {"description": {"type": "string"}},
                "additionalProperties": False,
            },
        },
        "trackingId": {"type": "string", "minLength": 1},
        "errorCode": {"type": "integer"},
    },
    "additionalProperties": False,
}


# What is wrong in the description


@dataclass(frozen=True, kw_only=True)
class Correction:
    """
    :param name: of a schema in ``components``, or ``METHOD path`` for the body of a request that is described in place.
    :param mend: changes the schema.
    """

    name: str
    why: str
    mend: Callable[[Schema], None]


def _anything(field: str) -> Callable[[Schema], None]:
    return lambda schema: schema["properties"].update({field: {}})


def _more(**fields: Schema) -> Callable[[Schema], None]:
    return lambda schema: schema["properties"].update(fields)


def _optional(*fields: str) -> Callable[[Schema], None]:
    return lambda schema: schema.update(required=[f for f in schema["required"] if f not in fields])


def _nullable(*fields: str) -> Callable[[Schema], None]:
    def mend(schema: Schema) -> None:
        for field in fields:
            schema["properties"][field]["nullable"] = True

    return mend


def _firehose(schema: Schema) -> None:
    for field in ("resource", "event"):
        schema["properties"][field]["enum"].append("all")


def _inputs(schema: Schema) -> None:
    schema["properties"]["inputs"] = {"type": "object"}


def _card(schema: Schema) -> None:
    schema["properties"] = {"contentType": TEXT, "content": {"type": "object"}}
    schema["required"] = ["contentType", "content"]


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
CARDS: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/Attachment"}}
REGISTRATION = "its own examples do not fit the schema of a registration, which is not used here"
SHOWN = "its own example has these fields"
OF_OCCURRENCES = "the operation also answers with occurrences and instances, which have these fields"
CORRECTIONS = (
    Correction(name="Attachment", why="it describes a file; the examples hold a card", mend=_card),
    Correction(name="AttachmentActivity", why="inputs are named by the card's author", mend=_inputs),
    Correction(name="SubmitCardAction", why="inputs are named by the card's author", mend=_inputs),
    Correction(
        name="Message", why=SHOWN, mend=_more(html=TEXT, parentId=TEXT, updated=TEXT, isVoiceClip=FLAG)
    ),
    Correction(
        name="DirectMessage",
        why=SHOWN,
        mend=_more(html=TEXT, parentId=TEXT, updated=TEXT, isVoiceClip=FLAG, attachments=CARDS),
    ),
    Correction(name="CreateMeetingObject", why=REGISTRATION, mend=_anything("registration")),
    Correction(name="MeetingSeriesObject", why=REGISTRATION, mend=_anything("registration")),
    Correction(name="MeetingObjectForListMeeting", why=REGISTRATION, mend=_anything("registration")),
    Correction(
        name="MeetingSeriesObject",
        why=OF_OCCURRENCES,
        mend=_more(meetingSeriesId=TEXT, scheduledMeetingId=TEXT, isModified=FLAG),
    ),
    Correction(
        name="MeetingSeriesObject",
        why="these do not apply to what has ended, says their description",
        mend=_optional("password", "hostKey"),
    ),
    Correction(
        name="MeetingObjectForListMeeting",
        why="these do not apply to what has ended, nor the series' id to a series, says their description",
        mend=_optional("password", "hostKey", "meetingSeriesId"),
    ),
    Correction(name="MeetingObjectForListMeeting", why=SHOWN, mend=_more(hasSummary=FLAG)),
    Correction(
        name="CreateMeetingObject",
        why="null means no recurrence, says the text",
        mend=_nullable("recurrence"),
    ),
    Correction(
        name="PatchMeetingObject",
        why="null clears these, says the text",
        mend=_nullable("agenda", "recurrence", "trackingCodes", "integrationTags"),
    ),
    Correction(
        name="UpdateMeetingObject",
        why="null clears these, as with PATCH",
        mend=_nullable("agenda", "recurrence", "trackingCodes", "integrationTags"),
    ),
    Correction(name="Webhook", why="the guide names ``all``", mend=_firehose),
    Correction(name="POST /webhooks", why="the guide names ``all``", mend=_firehose),
)


# Reading it


def read(file: str) -> Schema:
    document: Schema = json.loads((FOLDER / file).read_text())
    return document


def named(document: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas that a correction can name."""
    yield from document.get("components", {}).get("schemas", {}).items()
    for path, item in document["paths"].items():
        for method, described in item.items():
            for content in described.get("requestBody", {}).get("content", {}).values():
                yield f"{method.upper()} {path}", content["schema"]


@functools.cache
def operations() -> tuple[Operation, ...]:
    """All that are described; those without a parameter in their path come first."""
    found: list[Operation] = []
    for file in FILES:
        document = read(file)
        for path, item in document["paths"].items():
            methods = [name for name in item if name in ("get", "post", "put", "patch", "delete")]
            found += [_operation(document, path, method, item[method]) for method in methods]
    return tuple(sorted(found, key=lambda operation: operation.path.count("{")))


def _operation(document: Schema, path: str, method: str, described: Schema) -> Operation:
    pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
    resolve = functools.partial(
        _resolved, document["components"]["schemas"] if "components" in document else {}
    )
    parameters = [p for p in described.get("parameters", []) if p["in"] == "query"]
    content = next(iter(described.get("requestBody", {}).get("content", {}).values()), None)
    answers: dict[str, Schema | None] = {}
    examples = [("request", content["example"])] if content and "example" in content else []
    for status, answer in described["responses"].items():
        told = next(iter(answer.get("content", {}).values()), None)
        answers[status] = _strict(resolve(told["schema"])) if told and "schema" in told else None
        if told and "example" in told:
            examples.append((status, told["example"]))
    return Operation(
        method=method.upper(),
        path=path,
        pattern=pattern,
        query={p["name"]: resolve(p["schema"]) for p in parameters},
        needed=frozenset(p["name"] for p in parameters if p.get("required")),
        body=_strict(resolve(_corrected(f"{method.upper()} {path}", content["schema"]))) if content else None,
        answers=answers,
        examples=tuple(examples),
    )


def _resolved(components: Schema, schema: Any) -> Any:
    """The schema with what it refers to in place, and corrected."""
    if isinstance(schema, list):
        return [_resolved(components, entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _resolved(components, _corrected(name, components[name]))
    return {key: _resolved(components, value) for key, value in schema.items()}


def _corrected(name: str, schema: Schema) -> Schema:
    mended = copy.deepcopy(schema)
    for correction in CORRECTIONS:
        if correction.name == name:
            correction.mend(mended)
    return mended


def _strict(schema: Any) -> Any:
    """Objects have the fields that are named, and no others."""
    if isinstance(schema, list):
        return [_strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: _strict(value) for key, value in schema.items()}
    # Inside ``properties`` there may be fields that have these names.
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        done["additionalProperties"] = False
    return done


def _bare(path: str) -> str:
    return path.removeprefix(PREFIX)


def _find(method: str, path: str) -> Operation:
    for operation in operations():
        if operation.method == method.upper() and operation.pattern.fullmatch(_bare(path)):
            return operation
    raise NotAsDescribed(f"no operation {method} {path} is described")


def _unknown(query: Mapping[str, Any], operation: Operation) -> list[str]:
    return sorted(set(query) - set(operation.query) - ALWAYS_ALLOWED)


def _value(operation: Operation, name: str, values: str | list[str]) -> Any:
    """A parameter's text as what its schema speaks of."""
    kind = operation.query[name].get("type")
    if kind == "array":
        return [values] if isinstance(values, str) else values
    text = values if isinstance(values, str) else values[-1]
    try:
        return json.loads(text) if kind in ("number", "integer", "boolean") else text
    except ValueError:
        return text


def _errors(schema: Schema, value: Any) -> list[str]:
    found = OAS30Validator(schema).iter_errors(value)
    return [f"{'.'.join(map(str, error.absolute_path)) or 'body'}: {error.message}" for error in found]


def _raise(what: str, problems: list[str]) -> None:
    if problems:
        raise NotAsDescribed("\n".join([what, *problems]))
