"""The sandbox as an object: everything of it, from start to close."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

from tests.sandbox import controls
from tests.sandbox.clock import Clock
from tests.sandbox.environment import variables, write_key
from tests.sandbox.faults import Gate
from tests.sandbox.kfp_repository import KfpRepository
from tests.sandbox.names import BUCKET, MANAGED
from tests.sandbox.proxy import Proxy
from tests.sandbox.web import Answer, Request, WebServer, said

Transport = Literal["rest", "grpc"]
_STATE = "state-{}"
_FREE = {"rest": 0, "storage": 0, "grpc": 0, "proxy": 0}


class Sandbox:
    """Vertex AI, Cloud Storage, and what stands beside them, on loopback.

    rest, grpc, storage: the addresses; ca: the certificate that gRPC clients trust; calls: what was called, in order; faults, clock: to meddle with. gate: what
    calls and faults pass, for a service that stands beside.
    """

    def __init__(
        self,
        folder: Path,
        *,
        servers: Literal["process", "inline"] = "process",
        transport: Transport = "rest",
        ports: dict[str, int] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Args:
        folder: where it keeps files; what an earlier one left there is removed.
        servers: what a deployed model is: a process of the real server, or the same contract answered in this process.
        transport: the one that environment() names where it is not told.
        ports: for rest, storage, grpc and proxy; a free one where none is given.
        say: called with a line for each thing that happens.
        """
        self._folder = folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(_STATE.format("*")):
            shutil.rmtree(left)
        self._servers, self._transport, self._say = servers, transport, say
        self.gate = Gate()
        self.calls, self.faults, self.clock = self.gate.calls, self.gate.faults, Clock()
        self._repository = KfpRepository(self.gate)
        self._generation = 0
        self._fill()
        self._listen({**_FREE, **(ports or {})})

    def _listen(self, ports: dict[str, int]) -> None:
        # Here and not above: a job's process is in this package too, and needs none of the cloud SDKs.
        from tests.sandbox import certificates
        from tests.sandbox.rest import RestFront
        from tests.sandbox.rpc import RpcFront
        from tests.sandbox.storage.front import StorageFront

        made = certificates.make(self._folder)
        self._rest = RestFront(self._call)
        storage = StorageFront(lambda: self.buckets, self.gate)
        self._fronts: list[Any] = [WebServer(self._respond, ports["rest"]), WebServer(storage.respond, ports["storage"])]
        self.rest, self.storage = (front.address for front in self._fronts)
        storage.address = self.storage
        rpc = RpcFront(self._call, made, ports["grpc"])
        self.grpc, self.ca = rpc.address, made.ca
        proxy = Proxy(rpc.port, ports["proxy"])
        self._fronts += [rpc, proxy]
        self._proxy, self._key = proxy.address, write_key(self._folder, self.rest)

    def environment(self, transport: Transport | None = None) -> dict[str, str]:
        """The variables that point a process at it."""
        addresses = {"rest": self.rest, "grpc": self.grpc, "storage": self.storage, "proxy": self._proxy}
        return variables(**addresses, ca=self.ca, key=self._key, transport=transport or self._transport)

    def reset(self) -> None:
        """Everything is as at the start: no state, one empty bucket, real time, no faults, no calls; what ran is ended. The ports stay."""
        self.faults.clear()
        self.vertex.close()
        self._repository.reset()
        self.clock.reset()
        shutil.rmtree(self._folder / _STATE.format(self._generation), ignore_errors=True)
        self._fill()
        self.calls.clear()

    def wait(self, seconds: float = 600.0) -> None:
        """Until no pipeline job and no batch job runs.

        Raises:
            TimeoutError: one still does.
        """
        end = time.monotonic() + seconds
        while self.vertex.busy():
            if time.monotonic() > end:
                raise TimeoutError(f"a job still runs after {seconds:g} s")
            time.sleep(0.02)

    def close(self) -> None:
        """End everything that it started."""
        self.faults.clear()
        self.vertex.close()
        for front in self._fronts:
            front.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fill(self) -> None:
        from tests.sandbox.storage.buckets import Buckets
        from tests.sandbox.vertex.core import Vertex

        self._generation += 1
        self.buckets = Buckets()
        self.buckets.create(BUCKET)
        self.buckets.create(MANAGED)
        # A folder of its own: what a job of before the reset still writes is nowhere.
        self.vertex = Vertex(
            self._folder / _STATE.format(self._generation),
            self.buckets,
            self.gate,
            self.clock,
            servers=self._servers,
            environment=self.environment,
            template=self._repository.template,
            say=self._say,
        )

    def _call(self, name: str, request: Any) -> Any:
        # By way of self: a reset makes a new service behind the same fronts.
        return self.vertex.call(name, request)

    def _respond(self, request: Request) -> Answer:
        if request.path == "/token":
            return said({"access_token": "sandbox", "token_type": "Bearer", "expires_in": 3600})
        if request.path.startswith("/kfp/"):
            return self._repository.respond(request)
        if request.path.startswith("/sandbox"):
            return controls.respond(self, request)
        return self._rest.respond(request)


def tick(sandbox: Sandbox, stop: threading.Event) -> None:
    """Let schedules fall due in real time, until stopped."""
    while not stop.wait(1.0):
        sandbox.clock.tick()
