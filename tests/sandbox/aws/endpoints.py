"""Endpoints as SageMaker has them: created, updated and deleted in their own time, in service only when every variant answers /ping."""

import time
from dataclasses import dataclass, field
from typing import Any

from tests.sandbox.aws.backend import ACCOUNT, REGION, Moto
from tests.sandbox.aws.refusal import AwsRefusal, invalid
from tests.sandbox.aws.servers import Servers, Unhealthy, VariantServer

_BEGUN = ("Creating", "Updating")


@dataclass
class Variant:
    """A variant of an endpoint: what it was asked to have, and what answers for it."""

    name: str
    model: str
    count: int
    weight: float
    server: VariantServer | None = None

    def described(self, *, current: bool) -> dict[str, Any]:
        """As DescribeEndpoint says it; what is not in service yet has only wishes."""
        wished = {"VariantName": self.name, "DesiredWeight": self.weight, "DesiredInstanceCount": self.count}
        return wished | ({"CurrentWeight": self.weight, "CurrentInstanceCount": self.count} if current else {})


@dataclass
class Endpoint:
    """One endpoint. `coming` is what an update brings: other variants under another configuration, or other weights."""

    name: str
    config: str
    status: str
    variants: dict[str, Variant] = field(default_factory=dict)
    coming: dict[str, Variant] = field(default_factory=dict)
    coming_config: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    failing: bool = False
    failure: str = ""
    looks: int = 0
    at: float = field(default_factory=time.time)
    credit: dict[str, float] = field(default_factory=dict)

    def next(self) -> Variant:
        """Whose turn it is, by smooth weighted round robin: 10 % is every tenth call, and the same calls each time."""
        shares = {name: variant.weight for name, variant in self.variants.items() if variant.weight > 0}
        if set(self.credit) != set(shares):
            self.credit = dict.fromkeys(shares, 0.0)
        for name, share in shares.items():
            self.credit[name] += share
        chosen = max(sorted(self.credit), key=lambda name: self.credit[name])
        self.credit[chosen] -= sum(shares.values())
        return self.variants[chosen]


class Endpoints:
    """Every endpoint. What was begun ends as it is looked at: after `looks` descriptions, once its servers answer.

    broken: the status that a variant's container answers in place of a prediction. sick_images: images whose container never answers /ping.
    """

    def __init__(self, moto: Moto, servers: Servers, looks: int) -> None:
        self._moto, self._servers, self._looks = moto, servers, looks
        self._all: dict[str, Endpoint] = {}
        self.broken: dict[str, int] = {}
        self.sick_images: set[str] = set()

    def using(self, config: str) -> bool:
        """Whether an endpoint has a configuration, or is about to."""
        return any(config in (each.config, each.coming_config) for each in self._all.values())

    def create(self, body: dict[str, Any], *, failing: bool = False) -> dict[str, Any]:
        """CreateEndpoint."""
        name, config = body["EndpointName"], body["EndpointConfigName"]
        if name in self._all:
            raise invalid(f'Cannot create already existing endpoint "{arn("endpoint", name)}".')
        endpoint = Endpoint(name, config, "Creating")
        self._bring(endpoint, config, failing)
        self._all[name] = endpoint
        return {"EndpointArn": arn("endpoint", name)}

    def update(self, body: dict[str, Any], *, failing: bool = False) -> dict[str, Any]:
        """UpdateEndpoint."""
        endpoint, config = self._resting(body["EndpointName"]), body["EndpointConfigName"]
        if self._moto.config(endpoint.config) is None:
            raise invalid(f'Could not find endpoint configuration "{arn("endpoint-config", endpoint.config)}".')
        if config == endpoint.config:
            raise invalid(f'Endpoint "{arn("endpoint", endpoint.name)}" has this configuration already; to update it, create a new one.')
        self._bring(endpoint, config, failing)
        endpoint.status = "Updating"
        return {"EndpointArn": arn("endpoint", endpoint.name)}

    def weigh(self, body: dict[str, Any], *, failing: bool = False) -> dict[str, Any]:
        """UpdateEndpointWeightsAndCapacities."""
        endpoint = self._resting(body["EndpointName"])
        wanted = {each["VariantName"]: float(each["DesiredWeight"]) for each in body["DesiredWeightsAndCapacities"]}
        if unknown := sorted(set(wanted) - set(endpoint.variants)):
            raise invalid(f"The variant name(s) {', '.join(unknown)} is/are not present within endpoint configuration.")
        endpoint.weights, endpoint.failing, endpoint.looks, endpoint.status = wanted, failing, self._looks, "Updating"
        return {"EndpointArn": arn("endpoint", endpoint.name)}

    def delete(self, body: dict[str, Any]) -> dict[str, Any]:
        """DeleteEndpoint."""
        endpoint = self._known(body["EndpointName"])
        if endpoint.status in _BEGUN:
            raise invalid(f'Cannot update in-progress endpoint "{arn("endpoint", endpoint.name)}".')
        self._stop(endpoint.variants)
        endpoint.variants, endpoint.status, endpoint.looks = {}, "Deleting", self._looks
        return {}

    def describe(self, body: dict[str, Any]) -> dict[str, Any]:
        """DescribeEndpoint; which moves on what was begun."""
        endpoint = self._known(body["EndpointName"])
        self._move(endpoint)
        self._known(endpoint.name)
        pending = [each.described(current=False) for each in endpoint.coming.values()]
        summary = {"PendingDeploymentSummary": {"EndpointConfigName": endpoint.coming_config, "ProductionVariants": pending}}
        current = [each.described(current=True) for each in endpoint.variants.values()]
        return {
            **self._summary(endpoint),
            "EndpointConfigName": endpoint.config,
            **({"ProductionVariants": current} if current else {}),
            **({"FailureReason": endpoint.failure} if endpoint.failure else {}),
            **(summary if endpoint.coming else {}),
        }

    def list(self, body: dict[str, Any]) -> dict[str, Any]:
        """ListEndpoints."""
        found = [each for each in self._all.values() if body.get("NameContains", "") in each.name]
        return {"Endpoints": [self._summary(each) for each in found]}

    def invoke(self, name: str, body: bytes) -> tuple[str, bytes]:
        """InvokeEndpoint: the variant and what it said."""
        endpoint = self._all.get(name)
        if endpoint is None or not endpoint.variants:
            raise AwsRefusal("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        variant = endpoint.next()
        assert variant.server is not None
        status, said = (self.broken[variant.name], b"it is broken") if variant.name in self.broken else variant.server.invoke(body)
        if status == 200:
            return variant.name, said
        message = f'Received error ({status}) from {variant.name} with message "{said.decode(errors="replace")}".'
        raise AwsRefusal("ModelError", message, 424, OriginalStatusCode=status, OriginalMessage=said.decode(errors="replace"))

    def close(self) -> None:
        """End every server."""
        for endpoint in self._all.values():
            self._stop(endpoint.variants)
            self._stop(endpoint.coming)
        self._all.clear()

    def _known(self, name: str) -> Endpoint:
        if name not in self._all:
            raise invalid(f'Could not find endpoint "{arn("endpoint", name)}".')
        return self._all[name]

    def _resting(self, name: str) -> Endpoint:
        endpoint = self._known(name)
        if endpoint.status != "InService":
            raise invalid(f'Cannot update in-progress endpoint "{arn("endpoint", name)}".')
        return endpoint

    def _bring(self, endpoint: Endpoint, config: str, failing: bool) -> None:
        variants = self._moto.config(config)
        if variants is None:
            raise invalid(f'Could not find endpoint configuration "{arn("endpoint-config", config)}".')
        endpoint.coming = {
            each["VariantName"]: Variant(
                each["VariantName"], each["ModelName"], each["InitialInstanceCount"], each.get("InitialVariantWeight", 1.0)
            )
            for each in variants
        }
        endpoint.coming_config, endpoint.failing, endpoint.looks, endpoint.failure = config, failing, self._looks, ""

    def _move(self, endpoint: Endpoint) -> None:
        if endpoint.looks > 0 and endpoint.status in (*_BEGUN, "Deleting"):
            endpoint.looks -= 1
        elif endpoint.status == "Deleting":
            del self._all[endpoint.name]
        elif endpoint.status in _BEGUN:
            self._finish(endpoint)

    def _finish(self, endpoint: Endpoint) -> None:
        try:
            if endpoint.failing:
                raise Unhealthy("the sandbox was told that this fails")
            if not all([self._healthy(each) for each in endpoint.coming.values()]):
                return
        except Unhealthy as error:
            self._fail(endpoint, str(error))
            return
        if endpoint.coming:
            self._stop(endpoint.variants)
            endpoint.config, endpoint.variants = endpoint.coming_config, endpoint.coming
        for name, weight in endpoint.weights.items():
            endpoint.variants[name].weight = weight
        self._rest(endpoint, "InService")

    def _healthy(self, variant: Variant) -> bool:
        if variant.server is None:
            model = self._moto.model(variant.model)
            if model is None:
                raise Unhealthy(f'Could not find model "{arn("model", variant.model)}".')
            content = self._moto.content(model.primary_container["ModelDataUrl"])
            if content is None:
                raise Unhealthy(f"Could not find model data at {model.primary_container['ModelDataUrl']}.")
            if model.primary_container["Image"] in self.sick_images:
                raise Unhealthy("exec format error")
            variant.server = self._servers.start(content)
        return variant.server.ping()

    def _fail(self, endpoint: Endpoint, why: str) -> None:
        """A creation that fails leaves a failed endpoint; an update that fails leaves what was."""
        self._stop(endpoint.coming)
        endpoint.failure = f"The primary container for a production variant did not pass the ping health check: {why}"
        self._rest(endpoint, "Failed" if endpoint.status == "Creating" else "InService")

    def _rest(self, endpoint: Endpoint, status: str) -> None:
        endpoint.coming, endpoint.coming_config, endpoint.weights, endpoint.status = {}, "", {}, status

    def _stop(self, variants: dict[str, Variant]) -> None:
        for each in variants.values():
            if each.server is not None:
                each.server.stop()

    def _summary(self, endpoint: Endpoint) -> dict[str, Any]:
        return {
            "EndpointName": endpoint.name,
            "EndpointArn": arn("endpoint", endpoint.name),
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.at,
            "LastModifiedTime": endpoint.at,
        }


def arn(kind: str, name: str) -> str:
    """The ARN of something of SageMaker's."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"
