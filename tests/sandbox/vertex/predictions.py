"""PredictionService: a request goes to the deployed model whose turn it is, and comes back as Vertex gives it."""

import json
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format, struct_pb2

from tests.sandbox.refusal import Refusal, precondition
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.endpoints import EndpointService
from tests.sandbox.vertex.registry import ModelService


class PredictionService:
    """Predict, which holds the lock only while it finds who answers."""

    def __init__(self, context: Context, endpoints: EndpointService, models: ModelService) -> None:
        self._context = context
        self._endpoints = endpoints
        self._models = models

    def calls(self) -> dict[str, Callable[[Any], Any]]:
        """What is answered, without the lock."""
        return {"PredictionService.Predict": self._predict}

    def _predict(self, request: Any) -> v1.PredictResponse:
        with self._context.lock:
            deployed, server = self._endpoints.turn(request.endpoint)
            name = self._models.find(f"{deployed.model}@{deployed.model_version_id}").display_name
        raw = v1.PredictRequest.pb(request)
        body: dict[str, Any] = {"instances": [json_format.MessageToDict(each) for each in raw.instances]}
        if raw.HasField("parameters"):
            body["parameters"] = json_format.MessageToDict(raw.parameters)
        answer = understood(*server.predict(json.dumps(body).encode()))
        response = v1.PredictResponse(
            deployed_model_id=deployed.id, model=deployed.model, model_version_id=deployed.model_version_id, model_display_name=name
        )
        predictions = [json_format.ParseDict(each, struct_pb2.Value()) for each in answer["predictions"]]
        v1.PredictResponse.pb(response).predictions.extend(predictions)
        return response


def understood(status: int, content: bytes) -> dict[str, Any]:
    """A container's answer, or the refusal that Vertex makes of it."""
    text = content.decode(errors="replace")
    if 400 <= status < 500:
        raise precondition(text)
    if status != 200:
        raise Refusal("INTERNAL", text or "Internal error encountered.")
    try:
        answer: dict[str, Any] = json.loads(text)
        if isinstance(answer["predictions"], list):
            return answer
    except (ValueError, KeyError, TypeError):
        pass
    raise Refusal("INTERNAL", 'The container\'s answer is not {"predictions": [...]}.')
