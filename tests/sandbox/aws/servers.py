"""What a variant runs: a process of the real server on the unpacked model.tar.gz, or the same contract answered in this process."""

import io
import os
import socket
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

from tests.sandbox.inline import answered

_PATIENCE = 60.0
CHECKOUT = Path(__file__).resolve().parents[3]


class Unhealthy(Exception):
    """It will never answer /ping."""


class VariantServer(Protocol):
    """What answers for a variant."""

    def ping(self) -> bool:
        """Whether it is healthy yet; Unhealthy where it never will be."""

    def invoke(self, body: bytes) -> tuple[int, bytes]:
        """The status and body that the container answers."""

    def stop(self) -> None:
        """End it."""


def unpack(content: bytes, folder: Path) -> None:
    """model.tar.gz as the service lays it into /opt/ml/model."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Unhealthy(f"Failed to extract model data archive: {error}") from None


class InlineServer:
    """The serving contract, answered here."""

    def __init__(self, folder: Path) -> None:
        from churn.training.model import ChurnModel

        try:
            self._model = ChurnModel.load(folder)
        except Exception as error:  # whatever it is, the container would not have started
            raise Unhealthy(str(error)) from error

    def ping(self) -> bool:
        """It was read: it can answer."""
        return True

    def invoke(self, body: bytes) -> tuple[int, bytes]:
        """As the server's /invocations does."""
        return answered(self._model, body)

    def stop(self) -> None:
        """Nothing runs."""


class ProcessServer:
    """python -m churn.serving.server --model DIR."""

    def __init__(self, folder: Path) -> None:
        self._log = folder.with_suffix(".log")
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("AIP_", "AWS_"))}
        with socket.create_server(("127.0.0.1", 0)) as listening, self._log.open("w") as log:
            self._address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            handle = listening.fileno()
            command = [sys.executable, "-m", "churn.serving.server", "--model", str(folder), "--fd", str(handle)]
            pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            self._process = subprocess.Popen(command, cwd=CHECKOUT, env=plain, pass_fds=[handle], **pipes)

    def ping(self) -> bool:
        """Two seconds are what the service gives it."""
        if self._process.poll() is not None:
            said = self._log.read_text().strip().splitlines()
            raise Unhealthy(said[-1] if said else "it said nothing")
        try:
            with urllib.request.urlopen(f"{self._address}/ping", timeout=2):
                return True
        except OSError:
            return False

    def invoke(self, body: bytes) -> tuple[int, bytes]:
        """Forwarded as it is."""
        request = urllib.request.Request(f"{self._address}/invocations", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 503, str(error).encode()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


class Servers:
    """Starts what variants run."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._number = 0

    def start(self, content: bytes) -> VariantServer:
        """A server of a model.tar.gz.

        Raises:
            Unhealthy: it cannot start.
        """
        self._number += 1
        folder = self._folder / f"server-{self._number}"
        unpack(content, folder)
        return InlineServer(folder) if self._kind == "inline" else ProcessServer(folder)
