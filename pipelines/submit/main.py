"""The command submit: resolve the parameters, run the compiled pipeline, say what it came to."""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from churn.platform.errors import ChurnError, ConfigError
from churn.platform.files import locked, replace_link, write_json
from churn.platform.settings import CHECKOUT, Environment, workspace

_RUN_LOCK = "CHURN_RUN_LOCK"  # the steps of a local run look at it: churn/deployment/releases.py


def main(arguments: list[str] | None = None) -> int:
    """The command; gives 0 where the pipeline ran (whatever the gate said), 1 where it failed, 2 where the call or the configuration was wrong."""
    options = _parser().parse_args(arguments)
    try:
        return _submit(options)
    except ConfigError as error:
        print(f"submit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("submit: interrupted; what was live stays live", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="submit", description="Run a compiled pipeline.")
    parser.add_argument(
        "pipeline", nargs="?", default="training", metavar="PIPELINE", help="a name in specs/, or a spec's file (default: training)"
    )
    parser.add_argument("--target", metavar="local|vertex", help="where it runs (default: CHURN_TARGET, else local)")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="K=V",
        help="a parameter's value for this run; dataset=NAME or FILE; training.max_depth=3",
    )
    parser.add_argument("--params", type=Path, metavar="FILE", help="a YAML or JSON file of values; --param wins over it")
    parser.add_argument("--dry-run", action="store_true", help="print the final values, and run nothing")
    parser.add_argument("--no-cache", action="store_true", help="run every step again")
    parser.add_argument("--wait", action="store_true", help="wait for the end (a local run always does)")
    return parser


def _submit(options: argparse.Namespace) -> int:
    environment = Environment.read(options.target)
    from pipelines.code import git_commit, image_hash, spec_hash
    from pipelines.submit.parameters import resolve
    from pipelines.submit.spec import Spec

    spec = Spec.read(options.pipeline, CHECKOUT / "specs")
    values = resolve(spec, environment, options.param, options.params, git_commit())
    if spec.code and spec.code != spec_hash():
        print(
            f"submit: the spec {spec.name} is older than the code (compiled from {spec.code}, now {spec_hash()}); run: python compile.py",
            file=sys.stderr,
        )
    if options.dry_run:
        print(
            json.dumps(
                {"pipeline": spec.name, "target": environment.target, "spec_sha256": spec.sha256, "parameters": values},
                indent=1,
                ensure_ascii=False,
            )
        )
        return 0
    # The steps run the code that is here now: the image's name says so, and with it every cache key.
    tag = f"src-{image_hash()}"
    return _Run(spec.name, environment, values, spec.with_images(tag), spec.sha256, tag, spec.tasks).run(caching=not options.no_cache)


class _Run:
    """One local run: its folder, its summary, its end."""

    def __init__(
        self, name: str, environment: Environment, values: dict[str, Any], spec: str, spec_sha256: str, image: str, tasks: list[str]
    ) -> None:
        from pipelines.submit.console import Progress
        from pipelines.submit.local import TaskRecord
        from pipelines.submit.summary import RunFacts

        self.id = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.folder = workspace() / "runs" / self.id
        self.pipeline_root = workspace() / environment.pipeline_root
        self.facts = RunFacts(self.id, name, environment.target, values, values.get("git_commit", ""), spec_sha256, image, tasks)
        self.spec = spec
        self.records: list[TaskRecord] = []
        self.progress = Progress()

    def run(self, *, caching: bool) -> int:
        """Run it; gives the exit status."""
        from pipelines.submit.console import glance
        from pipelines.submit.local import run_locally

        print(f"run {self.id} ({self.facts.target})", flush=True)
        begin, error = time.monotonic(), ""
        self._write(ended=False)
        replace_link(self.folder.parent / "latest", self.id)
        with locked(self.folder / ".alive"):
            os.environ[_RUN_LOCK] = str(self.folder / ".alive")
            try:
                run_locally(
                    self.spec,
                    self.facts.parameters,
                    run=self.id,
                    pipeline_root=self.pipeline_root,
                    logs=self.folder / "logs",
                    started=self.progress.started,
                    ended=self._ended,
                    caching=caching,
                )
            except ChurnError as failure:
                error = str(failure)
            except KeyboardInterrupt:
                self._write(ended=True, error="interrupted")
                raise
            finally:
                del os.environ[_RUN_LOCK]
        summary = self._write(ended=True, error=error)
        self._keep()
        if error:
            self._notify(error)
        print(glance(summary, self.folder, time.monotonic() - begin), flush=True)
        return 0 if summary["status"] == "succeeded" else 1

    def _ended(self, record: Any) -> None:
        self.records.append(record)
        self.progress.ended(record)
        self._write(ended=False)

    def _write(self, *, ended: bool, error: str = "") -> dict[str, Any]:
        from pipelines.submit.summary import summarize

        summary = summarize(self.facts, self.records, ended=ended, error=error)
        write_json(self.folder / "summary.json", summary)
        return summary

    def _keep(self) -> None:
        """What a person wants of a run, beside its summary: the report, the page on the data, the bad rows, an example request."""
        for record in self.records:
            for key, name in (("report", "report.html"), ("quality", "quality.html"), ("rejects", "rejected_rows.csv")):
                if isinstance(artifact := record.outputs.get(key), dict):
                    with contextlib.suppress(OSError):
                        shutil.copyfile(artifact["uri"], self.folder / name)
            if isinstance(artifact := record.outputs.get("evaluation"), dict):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    probe = json.loads((Path(artifact["uri"]) / "probe.json").read_text())
                    write_json(self.folder / "example.json", {"instances": probe["instances"][:2]})

    def _notify(self, error: str) -> None:
        """Where the orchestrator itself died no exit handler ran."""
        from churn.platform.notify import notify

        notify(f"run {self.id} FAILED: {error}", webhook_env=str(self.facts.parameters.get("webhook_env", "")))


if __name__ == "__main__":
    sys.exit(main())
