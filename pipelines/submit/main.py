"""The command submit: resolve the parameters, run the compiled pipeline, say what it came to."""

import argparse
import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.platform.errors import ChurnError, ConfigError
from churn.platform.files import locked
from churn.platform.settings import CHECKOUT, CONFIGS, Environment, VertexEnvironment, workspace

if TYPE_CHECKING:
    from pipelines.submit.spec import Spec

_RUN_LOCK = "CHURN_RUN_LOCK"  # the steps of a local run look at it: churn/deployment/releases.py


def main(arguments: list[str] | None = None) -> int:
    """The command; gives 0 where the pipeline ran (whatever the gate said), 1 where it failed, 2 where the call or the configuration was wrong."""
    options = _parser().parse_args(arguments)
    try:
        return _submit(options)
    except ConfigError as error:
        print(f"submit: {error}", file=sys.stderr)
        return 2
    except ChurnError as error:
        print(f"submit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("submit: interrupted; what was live stays live", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="submit", description="Run a compiled pipeline.")
    parser.add_argument(
        "pipeline",
        nargs="?",
        default="training",
        metavar="PIPELINE",
        help="a name in specs/, a spec's file, or its address in a KFP repository (default: training)",
    )
    parser.add_argument(
        "--target",
        metavar="local|vertex|sagemaker",
        help="where it runs and goes live (default: CHURN_TARGET, else local); sagemaker runs here",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="K=V",
        help="a parameter's value for this run; dataset=NAME or FILE; training.max_depth=3",
    )
    parser.add_argument("--params", type=Path, metavar="FILE", help="a YAML or JSON file of values; --param wins over it")
    parser.add_argument("--dry-run", action="store_true", help="print what would run or be sent, and do nothing")
    parser.add_argument(
        "--runner",
        choices=["process", "docker"],
        default="process",
        help="of a local run: each step a process, or a container of its image",
    )
    parser.add_argument("--no-cache", action="store_true", help="run every step again")
    parser.add_argument("--wait", action="store_true", help="wait for the end of a run on Vertex AI (a local run always does)")
    parser.add_argument(
        "--require-gate", action="store_true", help="wait, and exit 1 where the gate stays closed: for a CI that goes on only then"
    )
    parser.add_argument("--again", action="store_true", help="on Vertex AI: start another although the same is running")
    parser.add_argument("--reason", default="", metavar="TEXT", help="on Vertex AI: why, as a label of the job")
    parser.add_argument(
        "--upload", action="store_true", help="put the spec, with these values as its defaults, into the KFP repository, and run nothing"
    )
    return parser


def _submit(options: argparse.Namespace) -> int:
    environment = Environment.read(options.target)
    from pipelines.code import git_commit, spec_hash
    from pipelines.submit.parameters import resolve
    from pipelines.submit.repository import spec_named

    spec = spec_named(options.pipeline, CHECKOUT / "specs")
    values = resolve(spec, environment, options.param, options.params, git_commit())
    if spec.code and spec.code != spec_hash():
        print(
            f"submit: the spec {spec.name} is older than the code (compiled from {spec.code}, now {spec_hash()}); run: python compile.py",
            file=sys.stderr,
        )
    if isinstance(environment, VertexEnvironment):
        return _vertex(spec, values, environment, options)
    if options.upload:
        raise ConfigError("--upload: a KFP repository belongs to a project; name it with --target vertex")
    if options.dry_run:
        _print({"pipeline": spec.name, "target": environment.target, "spec_sha256": spec.sha256, "parameters": values})
        return 0
    return _local(spec, values, environment, options)


def _print(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _status(summary: dict[str, Any], options: argparse.Namespace) -> int:
    """A closed gate is an answer, and a failure only for who asked for an open one."""
    refused = options.require_gate and not summary["gate"]["passed"]
    if refused and summary["status"] == "succeeded":
        print("submit: the gate stays closed, and --require-gate wants it open", file=sys.stderr)
    return 1 if refused or summary["status"] != "succeeded" else 0


def _local(spec: "Spec", values: dict[str, Any], environment: Environment, options: argparse.Namespace) -> int:
    from pipelines.code import image_hash
    from pipelines.submit.console import glance
    from pipelines.submit.docker import with_lock
    from pipelines.submit.local import run_locally
    from pipelines.submit.record import RunRecord, notify_failed
    from pipelines.submit.summary import RunFacts

    # The steps run the code that is here now: the image's name says so, and with it every cache key.
    tag = f"src-{image_hash()}"
    root = workspace() / environment.pipeline_root
    containers = None
    if options.runner == "docker":
        root = root.with_name(
            f"{root.name}-docker"
        )  # files of another user, and a cache of its own: what is asked for is that the images run
        containers = _containers(spec, tag, values, root)
    run = f"{spec.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    record = RunRecord(RunFacts(run, spec.name, environment.target, values, values.get("git_commit", ""), spec.sha256, tag, spec.tasks))
    print(f"run {run} ({environment.target})", flush=True)
    begin, error = time.monotonic(), ""
    record.begin()
    with locked(record.folder / ".alive"):
        os.environ[_RUN_LOCK] = str(record.folder / ".alive")
        if containers is not None:
            containers = with_lock(containers, _RUN_LOCK, record.folder / ".alive")
        try:
            run_locally(
                spec.with_images(tag),
                values,
                run=run,
                pipeline_root=root,
                logs=record.folder / "logs",
                started=record.progress.started,
                ended=record.ended,
                caching=not options.no_cache,
                containers=containers,
            )
        except ChurnError as failure:
            error = str(failure)
        except KeyboardInterrupt:
            record.write(ended=True, error="interrupted")
            raise
        finally:
            del os.environ[_RUN_LOCK]
    summary = record.write(ended=True, error=error)
    record.keep()
    if error:
        notify_failed(record, error)
    print(glance(summary, record.folder, time.monotonic() - begin), flush=True)
    return _status(summary, options)


def _containers(spec: "Spec", tag: str, values: dict[str, Any], root: Path) -> dict[str, Any]:
    from pipelines.submit.docker import arguments, check_images
    from pipelines.submit.spec import Spec

    check_images(Spec(spec.name, spec.with_images(tag)).images)
    away = {name: values[name] for name in ("source", "tickets_source", "releases", "tracking_uri") if "://" in values[name]}
    away = {name: value for name, value in away.items() if not value.startswith("sqlite:///")}
    if away:
        raise ConfigError(
            f"--runner docker: its steps have no network, and {next(iter(away))} is {next(iter(away.values()))}; give a local one"
        )
    writes = [root]
    if "://" not in values["releases"]:
        writes.append(Path(values["releases"]))
    if values["tracking_uri"].startswith("sqlite:///"):
        writes.append(Path(values["tracking_uri"].removeprefix("sqlite:///")).parent)
    return arguments(writes, [Path(values[name]) for name in ("source", "tickets_source") if values[name] and "://" not in values[name]])


def _vertex(spec: "Spec", values: dict[str, Any], environment: VertexEnvironment, options: argparse.Namespace) -> int:
    from churn.deployment.vertex import label
    from churn.platform.checked import read_yaml
    from pipelines.policy import unlabelled
    from pipelines.submit.cost import Prices, check_ceiling, estimate, last_times
    from pipelines.submit.repository import upload
    from pipelines.submit.vertex import build, sources_in_bucket, upload_sources

    spec = spec.with_repository(environment.image_repository)
    prices = Prices.of(read_yaml(CONFIGS / "prices.yaml"), "configs/prices.yaml")
    estimated = estimate(spec, prices, last_times(workspace() / "runs", spec.name))
    check_ceiling(estimated, environment.max_cost_usd)
    values, uploads = sources_in_bucket(values, environment)
    labels = {"commit": label(values.get("git_commit", "")[:12]), "reason": label(options.reason)}
    request = build(spec, values, environment, labels={k: v for k, v in labels.items() if v}, caching=not options.no_cache)
    if wrong := unlabelled(request.job):
        raise ConfigError(f"{'; '.join(wrong)}: submit from a git checkout, or say what code it is with --param git_commit=SHA")
    if options.dry_run:
        _print({"estimate_usd": round(estimated.usd, 2), "uploads": uploads, "parent": request.parent, "pipeline_job": request.job})
        return 0
    upload_sources(uploads, environment)
    if options.upload:
        commit = values.get("git_commit", "")
        tags = ["latest-upload", f"code-{spec.sha256[:12]}", *([f"commit-{commit}"] if commit else [])]
        address = upload(spec.with_defaults(values), environment, tags)
        print(f"uploaded {address}\n  run it from the console (Pipelines, Create run), or: submit {address} --target vertex")
        return 0
    print(f"  estimated at {estimated.words()}", flush=True)
    return _send(spec, values, environment, request, options)


def _send(spec: "Spec", values: dict[str, Any], environment: VertexEnvironment, request: Any, options: argparse.Namespace) -> int:
    from pipelines.submit.console import glance
    from pipelines.submit.record import RunRecord
    from pipelines.submit.summary import RunFacts
    from pipelines.submit.vertex import VertexJobs, console_url, finish, next_id, under_way, watch

    jobs = VertexJobs(environment)
    before = jobs.of_call(request)
    begin, new = time.monotonic(), False
    job = None if options.again else under_way(before)
    if job is None:
        job, new = jobs.create(request, next_id(spec, request, before))
    run = job.name.rsplit("/", 1)[1]
    image = spec.tag or ", ".join(spec.images)
    record = RunRecord(RunFacts(run, spec.name, "vertex", values, values.get("git_commit", ""), spec.sha256, image, spec.tasks))
    print(
        f"run {run} (vertex)" + ("" if new else ": the same spec with the same parameters is under way; --again starts another"), flush=True
    )
    print(f"  {console_url(request, run)}", flush=True)
    record.begin()
    if not (options.wait or options.require_gate):
        print(f"  its outcome will be {environment.pipeline_root}/outcomes/{run}.json; the same command with --wait follows it", flush=True)
        return 0
    try:
        error = watch(jobs, job.name, record)
    except KeyboardInterrupt:
        print(f"submit: {run} goes on; the same command with --wait follows it again", file=sys.stderr)
        return 1
    summary = finish(record, error)
    print(glance(summary, record.folder, time.monotonic() - begin, logs=console_url(request, run)), flush=True)
    return _status(summary, options)


if __name__ == "__main__":
    sys.exit(main())
