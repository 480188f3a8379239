"""Vertex AI's REST front: JSON in and out, every unknown field refused."""

import json
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format

from tests.sandbox.refusal import Refusal, invalid
from tests.sandbox.routes import Route, request_type, routes
from tests.sandbox.web import Answer, Request, said


class RestFront:
    """One request to one call; `call` is asked for at each, because a reset makes a new service."""

    def __init__(self, call: Callable[[str, Any], Any]) -> None:
        self._call = call
        self._routes = routes()

    def respond(self, request: Request) -> Answer:
        """Answer, or refuse in Google's error body."""
        try:
            for route in self._routes:
                match = route.pattern.fullmatch(request.path)
                if match and route.method == request.method:
                    answer = self._call(route.call, message(route, match.groups(), request))
                    raw = type(answer).pb(answer) if hasattr(type(answer), "pb") else answer
                    numbers = "enum-encoding=int" in (request.one("$alt") or "")
                    text = json_format.MessageToJson(raw, use_integers_for_enums=numbers, indent=None)
                    return Answer(text.encode(), 200, {"Content-Type": "application/json; charset=UTF-8"})
            raise Refusal("NOT_FOUND", f"the sandbox has no {request.method} {request.path}")
        except Refusal as refusal:
            return said(refusal.body(), refusal.http)


def message(route: Route, groups: tuple[str, ...], request: Request) -> Any:
    """The request message: from the path, the query and the body.

    Raises:
        Refusal: a field is unknown or has a value of another type.
    """
    kind = request_type(route.call)
    raw = kind.pb(kind()) if hasattr(kind, "pb") else kind()
    try:
        body = json.loads(request.body) if request.body else {}
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received: {error}") from None
    if body and route.body is None:
        raise invalid("Invalid JSON payload received: this method takes no body.")
    fields: dict[str, Any] = {route.body: body} if route.body not in (None, "*") else dict(body)
    for name, values in request.query.items():
        if not name.startswith("$"):
            _set(fields, name.split("."), _typed(raw.DESCRIPTOR, name, values))
    for name, value in zip(route.fields, groups, strict=True):
        _set(fields, name.split("."), value)
    try:
        json_format.ParseDict(fields, raw)
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None
    return kind.deserialize(raw.SerializeToString()) if hasattr(kind, "pb") else raw


def _set(fields: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        fields = fields.setdefault(part, {})
    # The path of a name that the body has too, in the other spelling, must not be given twice.
    fields[path[-1]] = value


def _typed(descriptor: Any, name: str, values: list[str]) -> Any:
    """A query's text as JSON's type: numbers and enums are read from text anyway, booleans and lists are not."""
    field = None
    for part in name.split("."):
        field = descriptor.fields_by_camelcase_name.get(part) or descriptor.fields_by_name.get(part)
        if field is None:
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.')
        descriptor = field.message_type
    if field.is_repeated:
        return values
    value = values[-1]
    if field.type == field.TYPE_BOOL and value in ("true", "false"):
        return value == "true"
    return int(value) if field.type == field.TYPE_ENUM and value.isdigit() else value
