"""
The message for the bus: a maintainer's template, filled through the XML library, checked before it is sent.

Values become text nodes, never markup, so every one of them is escaped; the document is written in ASCII, with numeric
character references for all other letters, because ``text/xml`` without a charset means ASCII (RFC 3023 §3.1) and the
bus refuses anything else.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lxml import etree

from interchange.core.suggest import did_you_mean
from interchange.core.xml_text import illegal_characters
from interchange.errors import BadRecord, SettingsError

TEMPLATE = "knack_to_esb.xml"
SCHEMA = "knack_to_esb.xsd"
NAMES = (
    "emi_id",
    "timestamp",
    "record_id",
    "csr_activity_id",
    "sr_number",
    "status_code",
    "code",
    "details",
    "activity_date",
)
_PLACE = re.compile(r"\s*\{\{\s*(\w+)\s*\}\}\s*")
_ANY_PLACE = re.compile(r"\{\{|\}\}")
_SERVICE = "{http://www.austintexas.gov/AcceptKnack/}submitKnack"


@dataclass(frozen=True, kw_only=True)
class Template:
    """
    :param root: the document with its placeholders; only copies of it are filled.
    :param places: which value goes into which element, by the element's number in document order.
    :param digest: of the document: a message that was made from another one is another message.
    """

    root: Any
    places: Mapping[int, str]
    schema: Any
    digest: str


def load_template(folder: Path) -> Template:
    """
    The template and its schema, read again when one of the files has changed.

    :raises SettingsError: a file is missing or no XML, or a placeholder is unknown or stands among other text.
    """
    paths = folder / TEMPLATE, folder / SCHEMA
    try:
        times = tuple(path.stat().st_mtime_ns for path in paths)
    except OSError as exc:
        raise SettingsError(f"{exc.filename}: cannot be read ({exc.strerror})") from None
    return _load(*paths, times)


@lru_cache(maxsize=4)
def _load(template: Path, schema: Path, _times: tuple[int, ...]) -> Template:
    root = _parse(template)
    places: dict[int, str] = {}
    for number, element in enumerate(root.iter(etree.Element)):
        text = element.text or ""
        if whole := _PLACE.fullmatch(text):
            name = whole[1]
            if name not in NAMES:
                raise SettingsError(
                    f"{template}, line {element.sourceline}: {{{{ {name} }}}} is not known; allowed: "
                    f"{', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
                )
            places[number] = name
        elif any(_ANY_PLACE.search(part or "") for part in (text, element.tail, *element.attrib.values())):
            raise SettingsError(
                f"{template}, line {element.sourceline}: a placeholder must be the whole text of its element"
            )
    if root.find(f".//{_SERVICE}") is None:
        raise SettingsError(f"{template}: there is no element submitKnack of the bus's namespace in it")
    try:
        compiled = etree.XMLSchema(_parse(schema))
    except etree.XMLSchemaParseError as exc:
        raise SettingsError(f"{schema}: is no XML schema: {exc}") from None
    digest = hashlib.sha256(etree.tostring(root)).hexdigest()
    return Template(root=root, places=places, schema=compiled, digest=digest)


def _parse(path: Path) -> Any:
    # The template's comments are for its editors; they are not sent.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, remove_comments=True, remove_blank_text=True
    )
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content:
            raise SettingsError(f"{path}: has a document type, which no message may have")
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError as exc:
        raise SettingsError(f"{path}, line {exc.lineno}: is no XML") from None
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read ({exc.strerror})") from None


def build_message(values: Mapping[str, str], template: Template) -> bytes:
    """
    One activity as a message: ASCII bytes without an XML declaration, as the bus has always got them.

    :param values: a text for each of :data:`NAMES`.
    :raises BadRecord: a value holds what no XML can hold, or the schema does not allow it. Names the element and, of
        the value, nothing but the characters that are wrong.
    """
    root = copy.deepcopy(template.root)
    for number, element in enumerate(root.iter(etree.Element)):
        if (name := template.places.get(number)) is None:
            continue
        if found := illegal_characters(values[name]):
            raise BadRecord(_named(element), f"holds characters that XML forbids: {', '.join(found)}")
        element.text = values[name] or None
    body = root.find(f".//{_SERVICE}")
    if not template.schema.validate(body):
        error = template.schema.error_log[0]
        # The library's sentence quotes the value.
        element = error.path.rpartition("/")[2] if error.path else "message"
        raise BadRecord(element, f"is not allowed by {SCHEMA} ({error.type_name})")
    return etree.tostring(root, encoding="us-ascii", xml_declaration=False)


def _named(element: Any) -> str:
    return str(etree.QName(element).localname)
