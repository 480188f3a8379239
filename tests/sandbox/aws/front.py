"""One address for all of AWS that the project uses: each request is named, meets its fault, and is answered here or by moto."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from tests.sandbox.aws.backend import Moto
from tests.sandbox.aws.endpoints import Endpoints, arn
from tests.sandbox.aws.refusal import AwsRefusal, invalid, of_fault, rendered
from tests.sandbox.faults import Gate
from tests.sandbox.refusal import Refusal
from tests.sandbox.web import Answer, Request

_INVOKE = re.compile(r"/endpoints/([^/]+)/invocations")
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_NAMED = ("ModelName", "EndpointName", "EndpointConfigName", "VariantName")
_TAG = re.compile(r"[\w\s.:/=+\-@]*")
_S3 = {
    ("GET", False): "ListObjectsV2",
    ("HEAD", False): "HeadBucket",
    ("PUT", False): "CreateBucket",
    ("DELETE", False): "DeleteBucket",
    ("POST", False): "DeleteObjects",
    ("GET", True): "GetObject",
    ("HEAD", True): "HeadObject",
    ("PUT", True): "PutObject",
    ("DELETE", True): "DeleteObject",
    ("POST", True): "CreateMultipartUpload",
}


class Front:
    """One request to one answer; `endpoints` is asked for at each, because a reset makes new ones."""

    def __init__(self, moto: Moto, endpoints: Callable[[], Endpoints], gate: Gate) -> None:
        self._moto, self._find, self._gate = moto, endpoints, gate
        self._lock = threading.RLock()

    def respond(self, request: Request) -> Answer:
        """Answer, or refuse in the service's own words."""
        service, operation = _named(request)
        action, failing = self._actions(service, operation, request)
        try:
            return self._gate.through(f"{service}.{operation}", action, failing)
        except AwsRefusal as refusal:
            return rendered(service, refusal)
        except Refusal as refusal:
            return rendered(service, of_fault(service, refusal))

    def _actions(self, service: str, operation: str, request: Request) -> tuple[Callable[[], Answer], Callable[[], Answer] | None]:
        """What the call does, and what a call of which the work fails does."""
        if service == "sagemaker-runtime":
            return lambda: self._invoke(request), None
        if service == "sagemaker":
            failing = (lambda: self._sagemaker(operation, request, failing=True)) if operation in _LASTING else None
            return lambda: self._sagemaker(operation, request), failing
        return lambda: self._moto.forward(request), None

    def _invoke(self, request: Request) -> Answer:
        found = _INVOKE.fullmatch(request.path)
        assert found
        variant, said = self._find().invoke(found[1], request.body)
        return Answer(said, 200, {"Content-Type": "application/json", "x-Amzn-Invoked-Production-Variant": variant})

    def _sagemaker(self, operation: str, request: Request, **failing: bool) -> Answer:
        body = request.json()
        _check(body)
        with self._lock:
            if operation in _OWN:
                return _json(_OWN[operation](self._find(), body, **failing))
            if operation == "ListModels":
                return _json(_page(self._moto.models(body.get("NameContains", "")), body))
            if operation in _GUARDS:
                _GUARDS[operation](self._moto, self._find(), body)
            return self._moto.forward(request)


def _page(models: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
    """A page of Models: ten, where nothing is said. moto gives all, whatever is asked for."""
    first, size = int(body.get("NextToken", 0)), int(body.get("MaxResults", 10))
    more = {"NextToken": str(first + size)} if first + size < len(models) else {}
    return {"Models": models[first : first + size], **more}


def _create_model(moto: Moto, _: Endpoints, body: dict[str, Any]) -> None:
    if moto.model(body["ModelName"]):
        raise invalid(f'Cannot create already existing model "{arn("model", body["ModelName"])}".')
    url = body["PrimaryContainer"].get("ModelDataUrl")
    if url and moto.content(url) is None:
        raise invalid(f"Could not access model data at {url}. Please ensure that the object exists and that the role may read it.")


def _create_config(moto: Moto, _: Endpoints, body: dict[str, Any]) -> None:
    name, variants = body["EndpointConfigName"], body["ProductionVariants"]
    if moto.config(name) is not None:
        raise invalid(f'Cannot create already existing endpoint configuration "{arn("endpoint-config", name)}".')
    if len({each["VariantName"] for each in variants}) < len(variants):
        raise invalid("Duplicate variant names.")
    for each in variants:
        _check(each)
        if each["InitialInstanceCount"] < 1 or each.get("InitialVariantWeight", 1) < 0:
            raise invalid(f"Variant {each['VariantName']}: at least one instance, and a weight of at least 0.")


def _delete_config(moto: Moto, endpoints: Endpoints, body: dict[str, Any]) -> None:
    if endpoints.using(body["EndpointConfigName"]):
        raise invalid(f'Cannot delete endpoint configuration "{arn("endpoint-config", body["EndpointConfigName"])}": an endpoint uses it.')


# What the front does itself, and what it looks at before moto does it.
_OWN: dict[str, Callable[..., dict[str, Any]]] = {
    "CreateEndpoint": Endpoints.create,
    "UpdateEndpoint": Endpoints.update,
    "UpdateEndpointWeightsAndCapacities": Endpoints.weigh,
    "DeleteEndpoint": Endpoints.delete,
    "DescribeEndpoint": Endpoints.describe,
    "ListEndpoints": Endpoints.list,
}
_LASTING = ("CreateEndpoint", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities")
_GUARDS: dict[str, Callable[[Moto, Endpoints, dict[str, Any]], None]] = {
    "CreateModel": _create_model,
    "CreateEndpointConfig": _create_config,
    "DeleteEndpointConfig": _delete_config,
}


def _named(request: Request) -> tuple[str, str]:
    """The service and the operation that a request is for."""
    target = request.headers.get("x-amz-target", "")
    if target.startswith("SageMaker."):
        return "sagemaker", target.partition(".")[2]
    if request.method == "POST" and _INVOKE.fullmatch(request.path):
        return "sagemaker-runtime", "InvokeEndpoint"
    parts = [part for part in request.path.split("/", 2) if part]
    return "s3", _S3.get((request.method, len(parts) > 1), request.method)


def _check(body: dict[str, Any]) -> None:
    """Names and tags, which the services are strict about."""
    for field in _NAMED:
        if field in body and not _NAME.fullmatch(body[field]):
            raise invalid(f"Value '{body[field]}' at '{field}' failed to satisfy constraint: {_NAME.pattern}, 63 characters at the most.")
    tags = body.get("Tags") or []
    if len(tags) > 50 or any(len(tag["Value"]) > 256 or not _TAG.fullmatch(tag["Value"]) or not tag["Key"] for tag in tags):
        raise invalid(f"Tags: {tags} fail to satisfy the constraints.")


def _json(content: dict[str, Any]) -> Answer:
    return Answer(json.dumps(content).encode(), 200, {"Content-Type": "application/x-amz-json-1.1"})
