"""The smoke test: the server is started on a free port with the release's model, and must give rows of known score their score."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from churn.deployment.releases import PROBE, Release
from churn.platform.errors import StateError
from churn.platform.files import read_json

_TOLERANCE = 1e-6
_START = 60.0  # seconds


def smoke_test(release: Release) -> int:
    """Probe a release; gives the number of rows that answered right.

    Raises:
        StateError: the server did not start, or a prediction is not the known one.
    """
    probe = read_json(release.folder / PROBE)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, "-m", "churn.serving.server", "--model", str(release.model), "--fd", str(listening.fileno())]
        # The routes asked for below are the server's own, whatever a container's environment names.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AIP_")}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        server = subprocess.Popen(command, pass_fds=[listening.fileno()], env=plain, **pipes)  # type: ignore[call-overload]
    try:
        _wait_for_health(server, port)
        answered = _post(port, "/predict", {"instances": probe["instances"]})
    finally:
        server.terminate()
        server.wait(10)
    return _compare(answered["predictions"], probe["probabilities"])


def _compare(predictions: list[dict[str, Any]], known: list[float]) -> int:
    if not known or len(predictions) != len(known):
        raise StateError(f"the smoke test asked for {len(known)} predictions and got {len(predictions)}")
    for number, (prediction, probability) in enumerate(zip(predictions, known, strict=True)):
        if abs(prediction["churn_probability"] - probability) > _TOLERANCE:
            raise StateError(
                f"the smoke test's row {number} should be {probability:.6f} and is {prediction['churn_probability']:.6f}: not the model that was evaluated"
            )
    return len(known)


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


def _post(port: int, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise StateError(f"the server answered the smoke test with {error.code}: {error.read().decode(errors='replace')[:300]}") from None
