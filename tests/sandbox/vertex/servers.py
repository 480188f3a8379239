"""Model servers: a real process of the real server, or the same contract answered in this process."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.sandbox.inline import answered
from tests.sandbox.refusal import precondition
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.executor import CHECKOUT, end_group
from tests.sandbox.vertex.registry import managed

_PATIENCE = 60.0


class ModelServer(Protocol):
    """What a deployed model is."""

    def predict(self, body: bytes) -> tuple[int, bytes]:
        """The status and body that the container answers."""

    def stop(self) -> None:
        """End it."""


class InlineServer:
    """The serving contract, answered here: for tests that deploy hundreds of times."""

    def __init__(self, folder: Path) -> None:
        from churn.training.model import ChurnModel

        self._model = ChurnModel.load(folder)

    def predict(self, body: bytes) -> tuple[int, bytes]:
        """As the server's predict route does."""
        return answered(self._model, body)

    def stop(self) -> None:
        """Nothing runs."""


class ProcessServer:
    """python -m churn.serving.server, with the variables that Vertex gives a custom container."""

    def __init__(self, storage_uri: str, routes: Any, log: Path, environment: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        health, predict = routes.health_route or "/health", routes.predict_route or "/predict"
        vertex = {
            "AIP_HTTP_PORT": str(port),
            "AIP_HEALTH_ROUTE": health,
            "AIP_PREDICT_ROUTE": predict,
            "AIP_STORAGE_URI": storage_uri,
        }
        own = {variable.name: variable.value for variable in routes.env}
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "churn.serving.server"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env={**os.environ, **environment, **own, **vertex},
                start_new_session=True,
            )
        self._health, self._predict = f"http://127.0.0.1:{port}{health}", f"http://127.0.0.1:{port}{predict}"

    def healthy(self, stop: threading.Event) -> None:
        """Wait until the health route answers 200.

        Raises:
            Refusal: it ended, it is not healthy in time, or `stop` was set.
        """
        end = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < end and not stop.is_set():
            with contextlib.suppress(OSError), urllib.request.urlopen(self._health, timeout=5):
                return
            stop.wait(0.05)
        self.stop()
        said = self._log.read_text().strip().splitlines()
        raise precondition(f"Model server never became ready; its last line: {said[-1] if said else 'it said nothing'}")

    def predict(self, body: bytes) -> tuple[int, bytes]:
        """Forwarded as it is."""
        request = urllib.request.Request(self._predict, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 503, str(error).encode()

    def stop(self) -> None:
        """End the process."""
        end_group(self._process)


class Servers:
    """Starts them, and ends what still runs."""

    def __init__(self, context: Context, kind: str, environment: Callable[[], dict[str, str]]) -> None:
        self._context = context
        self._kind = kind
        self._environment = environment
        self._running: set[ModelServer] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._ids = itertools.count(1)
        self._inlined: dict[Path, InlineServer] = {}

    @property
    def slow(self) -> bool:
        """Whether starting one takes time."""
        return self._kind == "process"

    def start(self, model: Any, stop: threading.Event) -> ModelServer:
        """A healthy server of a model's version.

        Raises:
            Refusal: it does not become healthy.
        """
        uri = managed(model)
        name = uri.rpartition("/")[2]
        if self._kind == "inline":
            return self._inline(uri, self._context.folder / "models" / name)
        logs = self._context.folder / "servers"
        logs.mkdir(parents=True, exist_ok=True)
        server = ProcessServer(uri, model.container_spec, logs / f"{name}-{next(self._ids)}.log", self._environment())
        with self._lock:
            self._running.add(server)
        server.healthy(stop)
        if self._closed:
            server.stop()
        return server

    def stop(self, server: ModelServer) -> None:
        """End one."""
        server.stop()
        with self._lock:
            self._running.discard(server)

    def close(self) -> None:
        """End them all."""
        self._closed = True
        for server in list(self._running):
            self.stop(server)

    def _inline(self, uri: str, folder: Path) -> ModelServer:
        if folder not in self._inlined:
            try:
                for relative, content in self._context.buckets.under(uri):
                    path = folder / relative
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                self._inlined[folder] = InlineServer(folder)
            except Exception as error:  # whatever it is, the container would not have started
                raise precondition(f"Model server never became ready; its last line: {error}") from error
        return self._inlined[folder]
