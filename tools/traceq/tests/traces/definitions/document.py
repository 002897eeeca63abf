"""Reads a Chrome trace of any container into a list of events and the other members of its object.

Only what a strict JSON parser reads, plus the containers that the Trace Event Format allows: an array without its
closing bracket, one event a line, gzip, UTF-8 with a byte order mark, UTF-16. No repairs: damaged files are not for
this program. Numbers stay exact: integers are int, others Decimal.
"""

import codecs
import gzip
import json
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

DECODER = json.JSONDecoder(parse_float=Decimal)


class NotATrace(Exception):
    """Whatever the file is, it holds no list of events."""


def decode_text(data):
    """Text of a file's bytes."""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise NotATrace(str(e)) from e


def read_document(data):
    """Events and other members of a document, in the order of the file."""
    text = decode_text(data)
    try:
        document = DECODER.decode(text.strip())
    except json.JSONDecodeError:
        return read_sequence(text), {}
    if isinstance(document, list):
        return check_events(document), {}
    if isinstance(document, dict) and isinstance(document.get("traceEvents"), list):
        events = document.pop("traceEvents")
        return [e for e in events if isinstance(e, dict)], document
    raise NotATrace("no list of events")


def read_sequence(text):
    """Events of an open array, or one a line."""
    events, at, opened = [], 0, False
    while True:
        while at < len(text) and (text[at].isspace() or (opened and text[at] == ",")):
            at += 1
        if at == len(text):
            return check_events(events)
        if text[at] == "[" and not opened:
            opened, at = True, at + 1
            continue
        try:
            event, at = DECODER.raw_decode(text, at)
        except json.JSONDecodeError as e:
            raise NotATrace(str(e)) from e
        events.append(event)


def check_events(events):
    """The objects among the elements, the first of which must be an event."""
    if not events or not isinstance(events[0], dict) or "ph" not in events[0]:
        raise NotATrace("the elements are no events")
    return [e for e in events if isinstance(e, dict)]


def nanoseconds(value):
    """Microseconds, a number or a text that may end in a tab, as integer nanoseconds, half away from zero."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        exact = Decimal(value.strip() if isinstance(value, str) else value) * 1000
        return int(exact.to_integral_value(ROUND_HALF_UP)) if exact.is_finite() else None
    except InvalidOperation:
        return None


def identity(value):
    """A process, thread or flow id: a text of digits is the number, since writers differ in the spelling."""
    return value.strip() if isinstance(value, str) else str(value)


def integer(value):
    """An integer that may be written as text, also hexadecimal (AMD: `0x0`), or with a fraction of zeros."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else None
    if isinstance(value, str):
        text = value.strip()
        try:
            return int(text, 16) if text.lower().startswith("0x") else int(text)
        except ValueError:
            return None
    return value if isinstance(value, int) else None
