"""Prove the images: the training pipeline runs in them and gives the model that it gives here, the server answers, and each holds only what it should."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from churn.deployment.local import LocalReleases
from churn.platform.errors import ChurnError, StateError
from churn.platform.settings import CHECKOUT
from containers.build import IMAGES, docker, megabytes, reference
from containers.guard import FINE, program
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


_ASK = """
import json, os, sys, time, urllib.request
base = f"http://127.0.0.1:{os.environ['AIP_HTTP_PORT']}"
for _ in range(300):
    try:
        urllib.request.urlopen(base + os.environ["AIP_HEALTH_ROUTE"], timeout=5)
        break
    except OSError:
        time.sleep(0.2)
request = urllib.request.Request(base + os.environ["AIP_PREDICT_ROUTE"], sys.stdin.buffer.read(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""
_AS_VERTEX = {
    "AIP_HTTP_PORT": "8081",
    "AIP_HEALTH_ROUTE": "/v1/health",
    "AIP_PREDICT_ROUTE": "/v1/predict",
    "AIP_STORAGE_URI": "/opt/ml/model",
}


def serve(image: str, releases: Path) -> int:
    """Run the server's image as Vertex AI does, without a network, and ask it from inside for rows of known score; gives how many were right."""
    release = LocalReleases(releases, LINE).live()
    if release is None:
        raise StateError(f"nothing is live under {releases}")
    told = [word for name, value in _AS_VERTEX.items() for word in ("--env", f"{name}={value}")]
    mount = f"{release.model}:/opt/ml/model:ro"
    container = docker("run", "--detach", *_PLAIN, "--network", "none", "--volume", mount, *told, image, capture=True)
    try:
        body = json.dumps({"instances": release.probe["instances"]})
        said = json.loads(docker("exec", "--interactive", container, "python", "-c", _ASK, capture=True, given=body))["predictions"]
    finally:
        docker("rm", "--force", container, capture=True)
    known = release.probe["probabilities"]
    if len(said) != len(known) or any(abs(each["churn_probability"] - score) > 1e-6 for each, score in zip(said, known, strict=True)):
        raise StateError("the server's image answers other scores than were evaluated")
    return len(said)


def guard(image: str, group: str) -> str:
    """What an image says of what it holds.

    Raises:
        StateError: something is missing, or too many.
    """
    call = ("run", "--rm", *_PLAIN, "--network", "none", "--entrypoint", "python", image, "-c", program(group))
    said = docker(*call, capture=True, allowed=(1,)).splitlines()
    if not said or said[-1] != FINE:
        raise StateError(f"{image} does not hold what it should: {said[-1] if said else 'it said nothing'}")
    return said[-1]


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
