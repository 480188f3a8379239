"""Lists: filter (terms joined by AND), order_by, pages."""

import datetime as dt
import fnmatch
import re
from collections.abc import Iterable
from typing import Any

from tests.sandbox.refusal import invalid
from tests.sandbox.vertex.checks import copied

_TERM = re.compile(r'\s*(labels\.[\w-]+|[\w.]+)\s*(!=|>=|<=|=|:|>|<)\s*("(?:[^"\\]|\\.)*"|[^\s"()]+)\s*')
_PAGE = 100


def page(found: Iterable[Any], request: Any, keys: Iterable[str], order: str = "create_time desc") -> tuple[list[Any], str]:
    """The page that a request asks for, and the token of the next.

    Args:
        found: every resource of the parent.
        request: with filter, page_size, page_token, and order_by where the call has it.
        keys: the fields that may be filtered and ordered by; "labels" stands for labels.KEY.
        order: the order where none is asked for.
    """
    keys = set(keys)
    kept = [each for each in found if _matches(each, request.filter, keys)]
    for part in reversed((getattr(request, "order_by", "") or order).split(",")):
        key, _, way = part.strip().partition(" ")
        if key not in keys or way not in ("", "asc", "desc"):
            raise invalid(f"order_by: {part.strip()!r} is not understood; it should be one of {', '.join(sorted(keys))}, asc or desc.")
        kept.sort(key=lambda each: _comparable(_value(each, key)), reverse=way == "desc")
    if request.page_size < 0 or not re.fullmatch(r"\d*", request.page_token):
        raise invalid("page_size, page_token: are not what this list gave.")
    start, size = int(request.page_token or 0), request.page_size or _PAGE
    more = str(start + size) if start + size < len(kept) else ""
    return [copied(each) for each in kept[start : start + size]], more


def _matches(message: Any, text: str, keys: set[str]) -> bool:
    for part in re.split(r"\s+AND\s+", text) if text.strip() else []:
        match = _TERM.fullmatch(part)
        if match is None:
            raise invalid(f"filter: {part.strip()!r} is not understood; it should be field=value, joined by AND.")
        key, operator, literal = match.groups()
        if key.split(".")[0] not in keys:
            raise invalid(f"filter: {key!r} is not a field that can be filtered by; {', '.join(sorted(keys))} are.")
        wanted = re.sub(r"\\(.)", r"\1", literal[1:-1]) if literal.startswith('"') else literal
        if not _holds(_value(message, key), operator, wanted, key):
            return False
    return True


def _value(message: Any, key: str) -> Any:
    if key.startswith("labels."):
        return message.labels.get(key.removeprefix("labels."))
    if key in ("endpoint", "model", "name"):
        return message.name.rpartition("/")[2]
    value = getattr(message, key)
    return value.name if hasattr(value, "name") and hasattr(value, "value") else value


def _holds(value: Any, operator: str, wanted: str, key: str) -> bool:
    if operator == ":":
        return value is not None and (wanted == "*" or fnmatch.fnmatchcase(str(value), wanted))
    if isinstance(value, dt.datetime):
        try:
            return _compared(value.timestamp(), operator, dt.datetime.fromisoformat(wanted).timestamp())
        except ValueError:
            raise invalid(f"filter: {key}: {wanted!r} is not a time in RFC 3339.") from None
    if operator not in ("=", "!="):
        raise invalid(f"filter: {key} can be compared with = and != only.")
    return (str(value) == wanted if value is not None else False) == (operator == "=")


def _compared(one: float, operator: str, other: float) -> bool:
    return {"=": one == other, "!=": one != other, ">": one > other, "<": one < other, ">=": one >= other, "<=": one <= other}[operator]


def _comparable(value: Any) -> Any:
    return (value is not None, value.timestamp() if isinstance(value, dt.datetime) else str(value))
