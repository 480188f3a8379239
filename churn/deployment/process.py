"""A server of ours on a free port of this machine, for as long as it is asked."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from churn.platform.errors import StateError

_START = 60.0  # seconds


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[int]:
    """Run `python -m MODULE ARGUMENTS --fd N` until the block ends; gives its port once it is healthy.

    Raises:
        StateError: it did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, "-m", module, *arguments, "--fd", str(listening.fileno())]
        # The routes asked for here are the server's own, whatever a container's environment names.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AIP_")}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        server = subprocess.Popen(command, pass_fds=[listening.fileno()], env=plain, **pipes)  # type: ignore[call-overload]
    try:
        _wait_for_health(server, port)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _wait_for_health(server: "subprocess.Popen[str]", port: int) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if server.poll() is not None:
            said = (server.stdout.read() if server.stdout else "").strip().splitlines()
            raise StateError(f"the server did not start: {said[-1] if said else 'it said nothing'}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=_START):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise StateError(f"the server gave no healthy answer within {_START:.0f} s")


def predict(port: int, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The predictions of a server on this machine.

    Raises:
        StateError: it answered with an error.
    """
    body = json.dumps({"instances": instances}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return list(json.load(response)["predictions"])
    except urllib.error.HTTPError as error:
        raise StateError(f"the server answered with {error.code}: {error.read().decode(errors='replace')[:300]}") from None
    except OSError as error:
        raise StateError(f"the server does not answer: {error}") from None
