"""Vertex AI's gRPC front, over TLS: the same calls, as protobuf."""

from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from tests.sandbox.certificates import Certificates
from tests.sandbox.refusal import Cut, Refusal
from tests.sandbox.routes import OPERATIONS, SERVICES, request_type, routes

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RpcFront:
    """Listens until closed."""

    def __init__(self, call: Callable[[str, Any], Any], certificates: Certificates, port: int = 0) -> None:
        self._call = call
        self._server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
        names = {f"google.cloud.aiplatform.v1.{service}": service for service in SERVICES}
        calls = {route.call for route in routes()} | {f"Operations.{method}" for method in OPERATIONS}
        for full, service in {**names, "google.longrunning.Operations": "Operations"}.items():
            mine = {name for name in calls if name.startswith(f"{service}.")}
            self._serve(full, {name.partition(".")[2]: self._handler(name, request_type(name)) for name in mine})
        from google.cloud import resourcemanager_v3

        project = self._handler("Projects.GetProject", resourcemanager_v3.GetProjectRequest)
        self._serve("google.cloud.resourcemanager.v3.Projects", {"GetProject": project})
        credentials = grpc.ssl_server_credentials([(certificates.key, certificates.certificate)])
        self.port: int = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.address = f"localhost:{self.port}"
        self._server.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.stop(None).wait()

    def _serve(self, service: str, handlers: dict[str, Any]) -> None:
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def _handler(self, name: str, kind: Any) -> Any:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return self._call(name, request)
            except Refusal as refusal:
                context.abort(_CODES[refusal.grpc], refusal.message)
            except Cut:
                # What a client sees of a connection that ends under its call.
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

        read = kind.deserialize if hasattr(kind, "deserialize") else kind.FromString
        return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=read, response_serializer=_written)


def _written(message: Any) -> bytes:
    return type(message).serialize(message) if hasattr(type(message), "serialize") else message.SerializeToString()
