"""Long-running operations: what a call began, and how it ended."""

import threading
from collections.abc import Callable
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from tests.sandbox.names import canonical
from tests.sandbox.refusal import Refusal, invalid

# The calls that give one.
LONG = frozenset(
    {
        "PipelineService.DeletePipelineJob",
        "ScheduleService.DeleteSchedule",
        "ModelService.UploadModel",
        "ModelService.DeleteModel",
        "ModelService.DeleteModelVersion",
        "EndpointService.CreateEndpoint",
        "EndpointService.DeleteEndpoint",
        "EndpointService.DeployModel",
        "EndpointService.UndeployModel",
        "JobService.DeleteBatchPredictionJob",
    }
)


class Operations:
    """Every operation, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, operations_pb2.Operation] = {}
        self._stops: dict[str, threading.Event] = {}

    def done(self, resource: str, response: Any, metadata: Any) -> operations_pb2.Operation:
        """An operation whose work is done. The first answer does not say so: a client has to ask, as it does of the service."""
        name = self._start(resource, metadata)
        self._end(name, response)
        return operations_pb2.Operation(name=name, metadata=self._known[name].metadata)

    def failed(self, parent: str, refusal: Refusal, metadata: Any) -> operations_pb2.Operation:
        """One that ends with an error, and did nothing."""
        name = self._start(parent, metadata)
        self._fail(name, refusal)
        return operations_pb2.Operation(name=name, metadata=self._known[name].metadata)

    def begin(self, resource: str, work: Callable[[threading.Event], Any], metadata: Any) -> operations_pb2.Operation:
        """One whose work takes time, and is done beside; `work` gives the response, and is told when it shall stop."""
        name = self._start(resource, metadata)
        first = operations_pb2.Operation(name=name, metadata=self._known[name].metadata)
        self._stops[name] = stop = threading.Event()
        threading.Thread(target=self._run, args=(name, work, stop), daemon=True).start()
        return first

    def get(self, request: Any) -> operations_pb2.Operation:
        """Operations.GetOperation, and WaitOperation."""
        with self._lock:
            found = self._known.get(canonical(request.name))
            if found is None:
                raise Refusal("NOT_FOUND", f"name: the operation {request.name!r} is not found.")
            copy = operations_pb2.Operation()
            copy.CopyFrom(found)
            return copy

    def list(self, request: Any) -> operations_pb2.ListOperationsResponse:
        """Operations.ListOperations."""
        if request.filter not in ("", "done=true", "done=false"):
            raise invalid(f"filter: {request.filter!r} is not understood; done=true and done=false are.")
        with self._lock:
            mine = [each for name, each in sorted(self._known.items()) if name.startswith(canonical(request.name + "/"))]
        wanted = [each for each in mine if request.filter in ("", f"done={str(each.done).lower()}")]
        return operations_pb2.ListOperationsResponse(operations=wanted)

    def cancel(self, request: Any) -> empty_pb2.Empty:
        """Operations.CancelOperation: best effort, the work is told."""
        if stop := self._stops.get(self.get(request).name):
            stop.set()
        return empty_pb2.Empty()

    def delete(self, request: Any) -> empty_pb2.Empty:
        """Operations.DeleteOperation: it is forgotten; its work goes on."""
        found = self.get(request)
        with self._lock:
            del self._known[found.name]
        return empty_pb2.Empty()

    def close(self) -> None:
        """Tell all work to stop."""
        for stop in list(self._stops.values()):
            stop.set()

    def _start(self, resource: str, metadata: Any) -> str:
        with self._lock:
            name = f"{canonical(resource)}/operations/{len(self._known) + 1:019}"
            operation = operations_pb2.Operation(name=name)
            operation.metadata.Pack(type(metadata).pb(metadata))
            self._known[name] = operation
        return name

    def _run(self, name: str, work: Callable[[threading.Event], Any], stop: threading.Event) -> None:
        try:
            response = work(stop)
        except Refusal as refusal:
            self._fail(name, refusal)
        except Exception as error:
            self._fail(name, Refusal("INTERNAL", f"{type(error).__name__}: {error}"))
        else:
            self._end(name, response)

    def _end(self, name: str, response: Any) -> None:
        raw = type(response).pb(response) if hasattr(type(response), "pb") else response
        with self._lock:
            if operation := self._known.get(name):
                operation.response.Pack(raw)
                operation.done = True

    def _fail(self, name: str, refusal: Refusal) -> None:
        with self._lock:
            if operation := self._known.get(name):
                operation.error.code, operation.error.message = refusal.grpc, refusal.message
                operation.done = True
