"""Prove the images: the training pipeline runs in them and gives the model that it gives here, the server answers, and each holds only what it should."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from churn.deployment.local import LocalReleases
from churn.deployment.process import predict
from churn.platform.errors import ChurnError, StateError
from churn.platform.settings import CHECKOUT
from containers.build import IMAGES, docker, megabytes, reference
from containers.guard import program
from pipelines.code import image_hash

_PLAIN = ("--read-only", "--tmpfs", "/tmp:rw,exec,size=1g,mode=1777", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
_FAILING = 15
LINE = "cdnow-90d"


def run_pipeline(workspace: Path, *flags: str) -> dict[str, Any]:
    """The training pipeline on the embedded data in a workspace of its own; gives its summary."""
    environment = {**os.environ, "CHURN_WORKSPACE": str(workspace)}
    python = [sys.executable, "-m"]
    for command in (
        [*python, "churn.cli.main", "data", "fetch", "cdnow"],
        [sys.executable, str(CHECKOUT / "compile.py"), "--out", str(workspace / "specs")],
        [*python, "pipelines.submit.main", str(workspace / "specs" / "training.yaml"), *flags],
    ):
        if subprocess.run(command, env=environment, cwd=CHECKOUT, check=False).returncode:
            raise StateError(f"{' '.join(command[2:5])} failed; what it said stands above")
    return dict(json.loads((workspace / "runs" / "latest" / "summary.json").read_text()))


def same(here: dict[str, Any], there: dict[str, Any]) -> None:
    """Refuse where the run in containers gave other figures than the run here.

    Raises:
        StateError: it did.
    """
    wrong = [
        f"{name}: {value} here, {there['metrics'].get(name)} in containers"
        for name, value in here["metrics"].items()
        if there["metrics"].get(name) != value
    ]
    if here["provenance"]["model_sha256"] != there["provenance"]["model_sha256"]:
        wrong.append("another model came out")
    if not there["deployment"]["deployed"]:
        wrong.append("its model is not live")
    if wrong:
        raise StateError(f"the run in containers is not the run here: {'; '.join(wrong)}")


def serve(image: str, releases: Path) -> int:
    """Run the server's image with what is live, and ask it for rows of known score; gives how many were right."""
    release = LocalReleases(releases, LINE).live()
    if release is None:
        raise StateError(f"nothing is live under {releases}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mount = f"{release.model}:/opt/ml/model:ro"
    container = docker(
        "run", "--detach", *_PLAIN, "--network", "host", "--volume", mount, image, "--host", "127.0.0.1", "--port", str(port), capture=True
    )
    try:
        _wait(port)
        probe = release.probe
        said = [each["churn_probability"] for each in predict(port, probe["instances"])]
    finally:
        docker("rm", "--force", container, capture=True)
    if any(abs(ours - known) > 1e-6 for ours, known in zip(said, probe["probabilities"], strict=True)):
        raise StateError("the server's image answers other scores than were evaluated")
    return len(said)


def _wait(port: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise StateError(f"the server's image gave no healthy answer within {seconds:.0f} s")


def guard(image: str, group: str) -> str:
    """What an image says of what it holds.

    Raises:
        StateError: something is missing, or too many.
    """
    try:
        return docker(
            "run", "--rm", *_PLAIN, "--network", "none", "--entrypoint", "python", image, "-c", program(group), capture=True
        ).splitlines()[-1]
    except StateError:
        raise StateError(f"{image} does not hold what it should: docker run --entrypoint python {image} -c … says what") from None


def failing_containers_fail(image: str) -> None:
    """kfp's runner reported some failing containers as successes; with ours none is.

    Raises:
        StateError: one was.
    """
    import docker as sdk  # type: ignore[import-untyped]

    from pipelines.submit.docker import kept

    client = sdk.from_env()
    statuses = [kept([])(client, image, ["python", "-c", "raise SystemExit(3)"], {}, network_mode="none") for _ in range(_FAILING)]
    client.close()
    if statuses != [3] * _FAILING:
        raise StateError(f"of {_FAILING} containers that ended with 3, the engine's answers were {statuses}")


def main() -> int:
    """The command; gives 0, or 1 where something was not as it should be."""
    tag = f"src-{image_hash()}"
    try:
        for image in IMAGES:
            name = reference(image, tag)
            print(f"{name}: {megabytes(name):.0f} MB, holds what it should: {guard(name, image)}", flush=True)
        failing_containers_fail(reference("data", tag))
        print(f"{_FAILING} failing containers failed", flush=True)
        with tempfile.TemporaryDirectory(prefix="churn-containers-") as scratch:
            here = run_pipeline(Path(scratch) / "here")
            there = run_pipeline(Path(scratch) / "containers", "--runner", "docker")
            same(here, there)
            print(f"the same figures and the same model: auc_pr {there['metrics']['auc_pr']:.4f}", flush=True)
            rows = serve(reference("server", tag), Path(scratch) / "containers" / "releases")
            print(f"the server's image answered {rows} rows of known score", flush=True)
    except ChurnError as error:
        print(f"containers.prove: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
