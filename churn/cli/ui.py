"""churn ui: MLflow over the tracked runs."""

import argparse
import subprocess
import sys
from pathlib import Path

from churn.platform.errors import StateError
from churn.platform.settings import Environment


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("--port", type=int, default=5000)


def run(arguments: argparse.Namespace) -> int:
    """Serve MLflow's pages until stopped."""
    uri = Environment.read("local").local_tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise StateError("no run is tracked yet; make run tracks one")
    print(f"MLflow on http://127.0.0.1:{arguments.port} ({uri})", flush=True)
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        "127.0.0.1",
        "--port",
        str(arguments.port),
        "--workers",
        "1",
    ]
    return subprocess.run(command, check=False).returncode
