"""Vertex AI behind both fronts: the services, and the one door to them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.cloud import aiplatform_v1 as v1

from tests.sandbox.clock import Clock
from tests.sandbox.faults import Gate
from tests.sandbox.names import PROJECT_NUMBER, REGION
from tests.sandbox.refusal import Refusal
from tests.sandbox.storage.buckets import Buckets
from tests.sandbox.vertex.batch import BatchService
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.endpoints import EndpointService
from tests.sandbox.vertex.executor import Executor
from tests.sandbox.vertex.operations import LONG
from tests.sandbox.vertex.pipelines import PipelineService
from tests.sandbox.vertex.predictions import PredictionService
from tests.sandbox.vertex.registry import ModelService
from tests.sandbox.vertex.schedules import ScheduleService
from tests.sandbox.vertex.servers import Servers


class Vertex:
    """Everything that the service knows; a reset makes a new one."""

    def __init__(
        self,
        folder: Path,
        buckets: Buckets,
        gate: Gate,
        clock: Clock,
        *,
        servers: str,
        environment: Callable[[], dict[str, str]],
        template: Callable[[str], tuple[dict[str, Any], str]],
        say: Callable[[str], None],
    ) -> None:
        self._gate = gate
        self._context = Context(folder, buckets, clock.now, say)
        self._executor = Executor(folder, buckets, environment)
        self._servers = Servers(self._context, servers, environment)
        self.pipelines = PipelineService(self._context, self._executor, template)
        self.schedules = ScheduleService(self._context, self.pipelines)
        self.models = ModelService(self._context)
        self.endpoints = EndpointService(self._context, self.models, self._servers)
        self.batch = BatchService(self._context, self.models, self._servers)
        predictions = PredictionService(self._context, self.endpoints, self.models)
        self._beside = predictions.calls()
        operations = self._context.operations
        self._calls: dict[str, Callable[[Any], Any]] = {
            **self.pipelines.calls(),
            **self.schedules.calls(),
            **self.models.calls(),
            **self.endpoints.calls(),
            **self.batch.calls(),
            "Operations.GetOperation": operations.get,
            "Operations.WaitOperation": operations.get,
            "Operations.ListOperations": operations.list,
            "Operations.CancelOperation": operations.cancel,
            "Operations.DeleteOperation": operations.delete,
            "Projects.GetProject": _project,
        }
        clock.drive(self.schedules.next_due, self.schedules.fire)

    def call(self, name: str, request: Any) -> Any:
        """Answer SERVICE.METHOD.

        Raises:
            Refusal: the service's own, or a fault's.
            Cut: a fault that ends the connection.
        """
        return self._gate.through(name, lambda: self._act(name, request), (lambda: self._failed(name, request)) if name in LONG else None)

    def names(self) -> list[str]:
        """The calls that are answered."""
        return sorted({**self._calls, **self._beside})

    def busy(self) -> bool:
        """Whether a pipeline job or a batch job runs."""
        return self.pipelines.busy() or self.batch.busy()

    def close(self) -> None:
        """End what runs."""
        self._context.operations.close()
        self._executor.close()
        self.batch.close()
        self._servers.close()

    def _act(self, name: str, request: Any) -> Any:
        if name in self._beside:
            return self._beside[name](request)
        if name not in self._calls:
            raise Refusal("UNIMPLEMENTED", f"the sandbox does not answer {name}.")
        with self._context.lock:
            return self._calls[name](request)

    def _failed(self, name: str, request: Any) -> Any:
        metadata = getattr(v1, f"{name.partition('.')[2]}OperationMetadata", v1.DeleteOperationMetadata)()
        refusal = Refusal("INTERNAL", "Internal error encountered during the operation; nothing was changed.")
        named = re.match(r"projects/[^/]+/locations/[^/]+", str(getattr(request, "parent", "") or getattr(request, "name", "")))
        parent = named[0] if named else f"projects/{PROJECT_NUMBER}/locations/{REGION}"
        return self._context.operations.failed(parent, refusal, metadata)


def _project(request: Any) -> Any:
    """Resource Manager, which PipelineJob.submit asks for the project's number."""
    from google.cloud import resourcemanager_v3

    project = request.name.removeprefix("projects/")
    return resourcemanager_v3.Project(name=f"projects/{PROJECT_NUMBER}", project_id=project, display_name=project)
