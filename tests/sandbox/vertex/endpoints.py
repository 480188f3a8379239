"""EndpointService and PredictionService: endpoints, the models deployed on them, the traffic between those, and their answers."""

import itertools
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2

from tests.sandbox.names import canonical, parent_of
from tests.sandbox.refusal import Refusal, invalid, precondition
from tests.sandbox.vertex.checks import apply_mask, check_display_name, check_etag, check_labels, copied, fresh_etag, put
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.listing import page
from tests.sandbox.vertex.registry import ModelService
from tests.sandbox.vertex.servers import ModelServer, Servers
from tests.sandbox.vertex.traffic import Turns, check_split

_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?|0|[1-9][0-9]{0,8}")
_KEYS = ("endpoint", "display_name", "labels", "create_time", "update_time")
_UPDATABLE = ("display_name", "description", "labels", "traffic_split", "predict_request_response_logging_config")


class EndpointService:
    """The endpoints by name, and a server for each deployed model by its id."""

    def __init__(self, context: Context, models: ModelService, servers: Servers) -> None:
        self._context = context
        self._models = models
        self._servers = servers
        self._endpoints: dict[str, v1.Endpoint] = {}
        self._serving: dict[tuple[str, str], ModelServer] = {}
        self._turns: dict[str, Turns] = defaultdict(Turns)
        self._busy: dict[str, str] = {}  # the endpoint, and the id of what is being deployed on it
        self._ids = itertools.count(7_000_001)
        models.deployed = self._deployed

    def calls(self) -> dict[str, Callable[[Any], Any]]:
        """What is answered."""
        return {
            "EndpointService.CreateEndpoint": self._create,
            "EndpointService.GetEndpoint": lambda request: copied(self.get(request.name)),
            "EndpointService.ListEndpoints": self._list,
            "EndpointService.UpdateEndpoint": self._update,
            "EndpointService.DeployModel": self._deploy,
            "EndpointService.UndeployModel": self._undeploy,
            "EndpointService.DeleteEndpoint": self._delete,
        }

    def endpoints(self) -> list[v1.Endpoint]:
        """All of them."""
        return list(self._endpoints.values())

    def get(self, name: str) -> v1.Endpoint:
        """An endpoint."""
        endpoint = self._endpoints.get(canonical(name))
        if endpoint is None:
            raise Refusal("NOT_FOUND", f"endpoint: the Endpoint {name!r} is not found.")
        return endpoint

    def turn(self, name: str) -> tuple[v1.DeployedModel, ModelServer]:
        """Who answers the next call, by the traffic split."""
        endpoint = self.get(name)
        chosen = self._turns[endpoint.name].next(endpoint.traffic_split)
        if chosen is None:
            raise precondition(f"endpoint: Endpoint {endpoint.name} doesn't have traffic_split.")
        deployed = next(each for each in endpoint.deployed_models if each.id == chosen)
        return copied(deployed), self._serving[endpoint.name, chosen]

    def _create(self, request: Any) -> Any:
        parent, endpoint = parent_of(request.parent), copied(request.endpoint)
        check_display_name(endpoint.display_name, "endpoint.display_name")
        check_labels(endpoint.labels, "endpoint.labels")
        if endpoint.deployed_models or endpoint.traffic_split:
            raise invalid("endpoint.deployed_models, endpoint.traffic_split: are set by DeployModel.")
        if request.endpoint_id and not _ID.fullmatch(request.endpoint_id):
            raise invalid(f"endpoint_id: {request.endpoint_id!r} should match {_ID.pattern}.")
        endpoint.name = f"{parent}/endpoints/{request.endpoint_id or next(self._ids)}"
        if endpoint.name in self._endpoints:
            raise Refusal("ALREADY_EXISTS", f"endpoint_id: the Endpoint {endpoint.name!r} already exists.")
        endpoint.create_time = self._context.now()
        self._endpoints[endpoint.name] = endpoint
        self._changed(endpoint)
        return self._context.operations.done(endpoint.name, endpoint, v1.CreateEndpointOperationMetadata())

    def _list(self, request: Any) -> v1.ListEndpointsResponse:
        parent = parent_of(request.parent)
        mine = [each for each in self._endpoints.values() if each.name.startswith(f"{parent}/")]
        endpoints, token = page(mine, request, _KEYS)
        return v1.ListEndpointsResponse(endpoints=endpoints, next_page_token=token)

    def _update(self, request: Any) -> v1.Endpoint:
        there = self._free(request.endpoint.name)
        check_etag(request.endpoint.etag, there.etag, f"the Endpoint {there.name!r}")
        changed = copied(there)
        apply_mask(changed, request.endpoint, v1.UpdateEndpointRequest.pb(request).update_mask, _UPDATABLE)
        check_display_name(changed.display_name, "endpoint.display_name")
        check_labels(changed.labels, "endpoint.labels")
        check_split(dict(changed.traffic_split), _ids(changed), "endpoint.traffic_split")
        self._endpoints[changed.name] = changed
        self._changed(changed)
        return copied(changed)

    def _deploy(self, request: Any) -> Any:
        endpoint, deployed = self.get(request.endpoint), copied(request.deployed_model)
        model = self._models.find(deployed.model)
        _check_resources(deployed)
        if deployed.id and not re.fullmatch(r"[0-9]{1,10}", deployed.id):
            raise invalid(f"deployed_model.id: {deployed.id!r} should be 1 to 10 digits.")
        if deployed.id in _ids(endpoint) or (deployed.id and deployed.id == self._busy.get(endpoint.name)):
            raise Refusal(
                "ALREADY_EXISTS", f"deployed_model.id: {deployed.id!r} is deployed on {endpoint.name!r} already, or being deployed."
            )
        self._free(request.endpoint)
        split = dict(request.traffic_split)
        check_split(split, {"0", *_ids(endpoint)}, "traffic_split")
        deployed.id = deployed.id or str(next(self._ids))
        deployed.model, deployed.model_version_id = model.name, model.version_id
        deployed.display_name = deployed.display_name or model.display_name
        deployed.create_time = self._context.now()
        metadata = v1.DeployModelOperationMetadata()
        if not self._servers.slow:
            try:
                response = self._take(endpoint.name, deployed, split, self._servers.start(model, threading.Event()))
            except Refusal as refusal:
                return self._context.operations.failed(endpoint.name, refusal, metadata)
            return self._context.operations.done(endpoint.name, response, metadata)
        self._busy[endpoint.name] = deployed.id
        copy = copied(model)
        return self._context.operations.begin(
            endpoint.name, lambda stop: self._bring_up(endpoint.name, deployed, split, copy, stop), metadata
        )

    def _bring_up(self, name: str, deployed: v1.DeployedModel, split: dict[str, int], model: v1.Model, stop: threading.Event) -> Any:
        try:
            server = self._servers.start(model, stop)
            with self._context.lock:
                return self._take(name, deployed, split, server)
        finally:
            self._busy.pop(name, None)

    def _take(self, name: str, deployed: v1.DeployedModel, split: dict[str, int], server: ModelServer) -> v1.DeployModelResponse:
        """A healthy server joins the endpoint, and gets its traffic."""
        endpoint = self.get(name)
        self._serving[name, deployed.id] = server
        endpoint.deployed_models.append(deployed)
        if split:
            endpoint.traffic_split = {deployed.id if key == "0" else key: share for key, share in split.items()}
        self._changed(endpoint)
        self._context.say(
            f"endpoint {name.rpartition('/')[2]}: model {deployed.model.rpartition('/')[2]}@{deployed.model_version_id} deployed"
            f" as {deployed.id}, traffic {dict(endpoint.traffic_split)}"
        )
        return v1.DeployModelResponse(deployed_model=deployed)

    def _undeploy(self, request: Any) -> Any:
        endpoint = self._free(request.endpoint)
        identity = request.deployed_model_id
        if identity not in _ids(endpoint):
            raise Refusal("NOT_FOUND", f"deployed_model_id: {identity!r} is not deployed on {endpoint.name!r}.")
        rest = _ids(endpoint) - {identity}
        split = dict(request.traffic_split)
        check_split(split, {*rest, identity}, "traffic_split")
        split = split or dict(endpoint.traffic_split)
        if rest and split.get(identity):
            raise precondition(f"deployed_model_id: {identity!r} has {split[identity]} % of the traffic; give that to another model first.")
        endpoint.deployed_models = [each for each in endpoint.deployed_models if each.id != identity]
        endpoint.traffic_split = {key: share for key, share in split.items() if key in rest}
        self._changed(endpoint)
        server = self._serving.pop((endpoint.name, identity))
        self._context.beside(lambda: self._servers.stop(server))
        self._context.say(f"endpoint {endpoint.name.rpartition('/')[2]}: {identity} undeployed, traffic {dict(endpoint.traffic_split)}")
        return self._context.operations.done(endpoint.name, v1.UndeployModelResponse(), v1.UndeployModelOperationMetadata())

    def _delete(self, request: Any) -> Any:
        endpoint = self._free(request.name)
        if endpoint.deployed_models:
            raise precondition(
                f"name: the Endpoint {endpoint.name!r} has deployed models ({', '.join(sorted(_ids(endpoint)))}); undeploy them first."
            )
        del self._endpoints[endpoint.name]
        return self._context.operations.done(endpoint.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _free(self, name: str) -> v1.Endpoint:
        endpoint = self.get(name)
        if endpoint.name in self._busy:
            raise precondition(
                f"endpoint: there are other operations running on the Endpoint {endpoint.name!r}; wait for them to complete."
            )
        return endpoint

    def _changed(self, endpoint: v1.Endpoint) -> None:
        put(endpoint, etag=fresh_etag(), update_time=self._context.now())

    def _deployed(self, model: str, version: str | None) -> list[str]:
        return [
            endpoint.name
            for endpoint in self._endpoints.values()
            if any(each.model == model and version in (None, each.model_version_id) for each in endpoint.deployed_models)
        ]


def _ids(endpoint: v1.Endpoint) -> set[str]:
    return {each.id for each in endpoint.deployed_models}


def _check_resources(deployed: v1.DeployedModel) -> None:
    resources = deployed.dedicated_resources
    if not resources.machine_spec.machine_type:
        raise invalid("deployed_model.dedicated_resources.machine_spec.machine_type: is required.")
    if resources.min_replica_count < 1:
        raise invalid("deployed_model.dedicated_resources.min_replica_count: is required and at least 1.")
    if resources.max_replica_count and resources.max_replica_count < resources.min_replica_count:
        raise invalid("deployed_model.dedicated_resources.max_replica_count: should not be below min_replica_count.")
