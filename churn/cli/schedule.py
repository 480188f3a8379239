"""churn schedule: the schedules on Vertex AI, compared with configs/schedules.yaml, or made what it says."""

import argparse
import json
import subprocess
import sys
from typing import Any

from churn.platform import storage
from churn.platform.checked import read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import CHECKOUT, CONFIGS, Environment, VertexEnvironment


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("show", "what is there, and what a sync would do"),
        ("sync", "create, update, pause, resume and delete until it is so"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--target", metavar="vertex", help="where (default: CHURN_TARGET)")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from churn.deployment.schedules import SchedulePolicy, Schedules

    environment = Environment.read(arguments.target)
    if not isinstance(environment, VertexEnvironment):
        raise ConfigError(f"schedules are there on Vertex AI, and the target is {environment.target}; say --target vertex")
    path = CONFIGS / "schedules.yaml"
    policies = {name: SchedulePolicy.of(values, f"{path}: {name}") for name, values in read_yaml(path).items()}
    jobs = {name: _job(policy.pipeline, policy.params, upload=arguments.action == "sync") for name, policy in policies.items()}
    schedules = Schedules(environment.project, environment.region)
    act = schedules.sync if arguments.action == "sync" else schedules.compare
    for name in sorted({*policies, *schedules.there()}):
        for each in act(name, policies.get(name), jobs.get(name, {})):
            done = "" if each.action == "none" else f"{each.action}d: " if arguments.action == "sync" else f"to be {each.action}d: "
            print(f"{each.name}: {done}{each.words}")
    return 0


def _job(pipeline: str, params: dict[str, Any], *, upload: bool) -> dict[str, Any]:
    """The pipeline job as submit would send it: asked of the command itself, for it alone knows how parameters are put together."""
    given = [word for name, value in params.items() for word in ("--param", f"{name}={value}")]
    command = [sys.executable, "-m", "pipelines.submit.main", pipeline, "--target", "vertex", *given, "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    if done.returncode:
        raise ConfigError(f"submit {pipeline}: {done.stderr.strip().removeprefix('submit: ')}")
    request = json.loads(done.stdout)
    for path, uri in request["uploads"].items():
        print(
            f"  note: {path} is a file of this machine, and every scheduled run would read the same copy, {uri}; new data need a gs:// source"
        )
        if upload:
            storage.upload_once(path, uri)
    return dict(request["pipeline_job"])
