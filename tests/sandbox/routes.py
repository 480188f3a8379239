"""The REST routes, as the SDK's own transports have them: what they send is what is answered."""

import importlib
import re
from dataclasses import dataclass
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2

SERVICES = ("PipelineService", "ScheduleService", "ModelService", "EndpointService", "PredictionService", "JobService")
# The SDK asks under /ui, the first of its options for each.
OPERATIONS = {
    "GetOperation": ("GET", r"/(?:v1|ui)/(?P<name>projects/.+/operations/[^/:]+)"),
    "CancelOperation": ("POST", r"/(?:v1|ui)/(?P<name>projects/.+/operations/[^/:]+):cancel"),
    "WaitOperation": ("POST", r"/(?:v1|ui)/(?P<name>projects/.+/operations/[^/:]+):wait"),
    "DeleteOperation": ("DELETE", r"/(?:v1|ui)/(?P<name>projects/.+/operations/[^/:]+)"),
    "ListOperations": ("GET", r"/(?:v1|ui)/(?P<name>projects/.+)/operations"),
}


@dataclass(frozen=True)
class Route:
    """One way to call one method: body is the field that the body fills, '*' for the whole request, None for no body."""

    call: str
    method: str
    pattern: re.Pattern[str]
    fields: tuple[str, ...]
    body: str | None


def request_type(call: str) -> Any:
    """The message that a call takes."""
    service, _, method = call.partition(".")
    if service == "Operations":
        return getattr(operations_pb2, f"{method}Request")
    return getattr(v1, f"{method}Request")


def routes() -> list[Route]:
    """All routes of the services."""
    found = []
    for method, (verb, pattern) in OPERATIONS.items():
        found.append(Route(f"Operations.{method}", verb, re.compile(pattern), ("name",), "*" if verb == "POST" else None))
    for service in SERVICES:
        module = re.sub(r"(?<!^)(?=[A-Z])", "_", service).lower()
        base = importlib.import_module(f"google.cloud.aiplatform_v1.services.{module}.transports.rest_base")
        transport = getattr(base, f"_Base{service}RestTransport")
        for name, method in vars(transport).items():
            call = name.removeprefix("_Base")
            if name != call and hasattr(v1, f"{call}Request") and hasattr(method, "_get_http_options"):
                found += [_route(f"{service}.{call}", option) for option in method._get_http_options()]
    return found


def _route(call: str, option: dict[str, str]) -> Route:
    fields = []

    def group(match: re.Match[str]) -> str:
        fields.append(match[1])
        return "(" + match[2].replace("**", ".+").replace("*", "[^/:]+") + ")"

    pattern = re.sub(r"\{([\w.]+)=([^}]+)\}", group, option["uri"])
    return Route(call, option["method"].upper(), re.compile(pattern), tuple(fields), option.get("body"))
