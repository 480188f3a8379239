"""Warm steps: a local run imports what is slow once, and each of its steps starts as a fork of the process that has it.

A step of a local run is a process of its own, and eight of them import pandas, xgboost or MLflow: that costs more than the work itself. So a run starts
one process that imports them while the first steps are under way, and then does nothing but fork: what a step is (its arguments, environment, folder and
output) comes over a socket from the launcher that kfp starts in its place. Until that process is ready, or should it have grown a thread (forking would
not be safe then), the launcher simply becomes the interpreter, as without any of this.
"""

import contextlib
import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Slow and shared. Evidently is not here: only prepare needs it, and prepare is mostly cached.
_PRELOADED = ("pandas", "pyarrow.parquet", "duckdb", "matplotlib.backends.backend_svg", "churn.training.model", "churn.registry.versions")
# A fork takes one thread along: the libraries that start one when they are imported are told not to.
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_PIECE = 1 << 16


def launcher(python: str, address: Path) -> list[str]:
    """The command that stands for the interpreter in a step's command line."""
    return [python, "-I", "-S", str(Path(__file__)), str(address), python]


@contextlib.contextmanager
def warm_steps(address: Path) -> Iterator[None]:
    """Have the process that forks steps beside a run."""
    command = [sys.executable, "-m", "pipelines.submit.warm", "serve", str(address)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **_NO_THREADS}, **quiet) as process:  # type: ignore[call-overload]
        try:
            yield
        finally:
            process.terminate()


def serve(address: Path) -> None:
    """Import, listen, and fork a step for each connection, until standard input ends (the run is over, or was killed)."""
    _preload()
    beside = address.with_suffix(".beside")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(beside))
        listening.listen(8)
        beside.rename(address)  # a launcher finds it only when it is ready
        _until_the_run_ends(listening)


def _preload() -> None:
    import importlib

    for name in _PRELOADED:
        importlib.import_module(name)
    from churn.registry.tracking import import_mlflow
    from churn.training.model import import_xgboost

    import_xgboost()
    import_mlflow()


def _until_the_run_ends(listening: socket.socket) -> None:
    import selectors

    with selectors.DefaultSelector() as waiting:
        waiting.register(listening, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is sys.stdin:
                    return
                connection, _ = listening.accept()
                with connection:
                    _fork(connection, listening)


def _fork(connection: socket.socket, listening: socket.socket) -> None:
    """Fork twice: the first child waits for the step and tells the launcher how it ended, the second is the step."""
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        return  # the launcher sees the end of the connection, and goes on by itself
    if os.fork():
        os.wait()  # the keeper's parent, which is gone at once
        return
    if os.fork():
        os._exit(0)
    listening.close()
    request, descriptors = _receive(connection)
    connection.send(b"+")
    step = os.fork()
    if step == 0:
        connection.close()
        _become(request, descriptors)
    _, status = os.waitpid(step, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    first, descriptors, _, _ = socket.recv_fds(connection, _PIECE, 3)
    size, _, body = first.partition(b"\n")
    while len(body) < int(size):
        body += connection.recv(_PIECE)
    return json.loads(body), descriptors


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Be the step: python -m MODULE ARGUMENTS, as the interpreter would run it."""
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    status = 1
    try:
        _, module, *arguments = request["arguments"]
        sys.argv = [module, *arguments]
        sys.path.insert(0, "")
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def launch(address: str, python: str, arguments: list[str]) -> None:
    """Have the step forked, and end as it ends; or be the interpreter."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(address)
            body = json.dumps({"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
            socket.send_fds(connection, [str(len(body)).encode() + b"\n"], [0, 1, 2])
            connection.sendall(body)
            taken = connection.recv(1)
        except OSError:
            taken = b""
        if taken:
            answer = connection.recv(16)
            # No answer: the step's keeper is gone, and nobody knows how the step ended.
            sys.exit(int(answer) if answer else 1)
    os.execv(python, [python, *arguments])  # noqa: S606 (the interpreter that kfp asked for)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    else:
        launch(sys.argv[1], sys.argv[2], sys.argv[3:])
