"""The prediction server: Vertex's custom container and SageMaker's, from one application."""

import argparse
import json
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from churn.platform import storage
from churn.platform.errors import ChurnError, InputError
from churn.serving.contract import answer
from churn.training.model import ChurnModel

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)
_SAGEMAKER = "/opt/ml/model"  # where SageMaker unpacks a model


Canary = Callable[[], tuple[Path, int] | None]


class Current:
    """The model to answer with: what `folder` names now. It is looked at for each request, and read again only where it has moved.

    A canary's model answers for its percent of the customers beside it.
    """

    def __init__(self, folder: Callable[[], Path], canary: Canary = lambda: None) -> None:
        self._folder = folder
        self._canary = canary
        self._beside: Current | None = None
        self._beside_lock = threading.Lock()
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._model: ChurnModel | None = None
        self._said = ""

    def model(self) -> ChurnModel:
        """The model; where the new one cannot be read, the one before it goes on answering, and the log says why, once."""
        with self._lock:
            try:
                path = self._folder()
                if path != self._path or self._model is None:
                    self._model, self._path = ChurnModel.load(path), path
            except (ChurnError, OSError, ValueError, KeyError) as error:
                if self._model is None:
                    raise
                if str(error) != self._said:
                    self._said = str(error)
                    log.warning("what is live now cannot be read, the model before it goes on answering: %s", error)
            return self._model

    def canary(self) -> tuple[ChurnModel, int] | None:
        """The canary's model and its percent of the customers; None where there is none, or none that can be read (the log says why)."""
        named = self._canary()
        if named is None:
            return None
        folder, percent = named
        with self._beside_lock:
            if self._beside is None or self._beside._path != folder:
                self._beside = Current(lambda: folder)
            beside = self._beside
        try:
            return beside.model(), percent
        except (ChurnError, OSError, ValueError, KeyError) as error:
            log.warning("the canary cannot be read, what is live answers alone: %s", error)
            return None


def application(current: Current) -> "Starlette":
    """The routes: AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE (default /health and /predict), /ping and /invocations."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
    from starlette.routing import Route

    def reply(content: object, status: int = 200) -> "Response":
        # In ASCII: half a surrogate pair, in a name that is sent back, has no UTF-8.
        return Response(json.dumps(content, allow_nan=False), status, media_type="application/json")

    async def health(_: "Request") -> "Response":
        try:
            model = await run_in_threadpool(current.model)
        except ChurnError as error:
            return reply({"status": "no model", "error": str(error)}, 503)
        return reply({"status": "ok", "model_version": model.sha256[:12], "features": list(model.features)})

    async def predict(request: "Request") -> "Response":
        raw = await request.body()
        try:
            model, canary = await run_in_threadpool(lambda: (current.model(), current.canary()))
        except ChurnError as error:
            return reply({"error": str(error)}, 503)
        try:
            return reply(await run_in_threadpool(lambda: answer(model, _json(raw), canary)))
        except InputError as error:
            return reply({"error": str(error)}, 400)

    gets = [Route(path, health) for path in {os.environ.get("AIP_HEALTH_ROUTE", "/health"), "/ping"}]
    posts = [Route(path, predict, methods=["POST"]) for path in {os.environ.get("AIP_PREDICT_ROUTE", "/predict"), "/invocations"}]
    return Starlette(routes=[*gets, *posts])


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON") from None


def serve(
    folder: Callable[[], Path], *, canary: Canary = lambda: None, host: str = "127.0.0.1", port: int = 8080, fd: int | None = None
) -> None:
    """Serve until stopped.

    Args:
        folder: gives the model directory to answer with, and is asked again at each request.
        canary: gives the model directory of a canary and its percent of the customers, or None; asked as often.
        host: the address to listen on.
        port: its port.
        fd: or: a listening socket handed over by the parent.
    """
    import uvicorn

    current = Current(folder, canary)
    current.model()  # a server that cannot answer does not start
    server = uvicorn.Server(uvicorn.Config(application(current), host=host, port=port, log_level="warning", access_log=False))
    server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])


def _fetched(model: str) -> Path:
    """The model directory: itself, or downloaded from a bucket, as Vertex names it to a custom container."""
    if not storage.is_remote(model):
        return Path(model)
    return storage.download_sealed(model.rstrip("/"), Path(tempfile.mkdtemp(prefix="churn-model-")))


def main() -> None:
    """Serve one model directory: python -m churn.serving.server --model DIR."""
    parser = argparse.ArgumentParser(description="Serve one model directory.")
    parser.add_argument(
        "--model",
        default=os.environ.get("AIP_STORAGE_URI") or (_SAGEMAKER if Path(_SAGEMAKER).is_dir() else None),
        help=f"the model directory, or its gs:// URI (default: AIP_STORAGE_URI, else {_SAGEMAKER} where it is there)",
    )
    parser.add_argument(
        "how", nargs="?", choices=["serve"], help="what SageMaker says to an image: listen on every address, as any container must"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("AIP_HTTP_PORT", "8080")))
    parser.add_argument("--fd", type=int, help="a listening socket, instead of host and port")
    arguments = parser.parse_args()
    if arguments.model is None:
        parser.error("--model is needed (or AIP_STORAGE_URI)")
    try:
        folder = _fetched(arguments.model)
        host = "0.0.0.0" if arguments.how == "serve" else arguments.host  # noqa: S104 (in its container)
        serve(lambda: folder, host=host, port=arguments.port, fd=arguments.fd)
    except ChurnError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
