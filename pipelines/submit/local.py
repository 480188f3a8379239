"""kfp's local runner, watched: the only module that reaches into kfp.local.

kfp.local keeps no record of tasks, breaks in a folder with a space in its name, serves a cached folder whose files were changed, and names runs itself.
Each is mended by wrapping one function while a run lasts; a test fails when one of them moves.
"""

import contextlib
import io
import re
import shlex
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from churn.platform.errors import ChurnError, StateError
from churn.platform.files import check_seal
from pipelines.submit import docker
from pipelines.submit.warm import launcher, warm_steps

State = Literal["succeeded", "failed", "skipped", "cached"]
_EXCEPTION = re.compile(r"^\s*(?:[\w]+\.)*(\w*(?:Error|Exception|Interrupt|Exit|Expired)\w*)(?:: (.*))?$")
_OURS = re.compile(r"^\s*churn\.[\w.]*\.(\w+Error): (.*)$")


@dataclass(frozen=True)
class TaskRecord:
    """What became of one task.

    seconds: 0 where it was cached or skipped. outputs: parameters by name; artifacts as {"uri", "metadata"}. error: one line, '' where there is none.
    log: what the step printed.
    """

    name: str
    state: State
    seconds: float = 0.0
    outputs: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    log: str = ""


def run_locally(
    spec: str,
    arguments: dict[str, Any],
    *,
    run: str,
    pipeline_root: Path,
    logs: Path,
    started: Callable[[str], None],
    ended: Callable[[TaskRecord], None],
    caching: bool = True,
    containers: dict[str, Any] | None = None,
) -> None:
    """Run a compiled pipeline with kfp's local runner, a task after the other, each in a process of its own.

    Args:
        spec: the compiled pipeline, YAML.
        arguments: every parameter's value.
        run: the run's id, which the steps see as the job's name.
        pipeline_root: where outputs and the cache are kept.
        logs: the folder for what each step prints.
        started: called with a task's name when it begins.
        ended: called with its record when it ends.
        caching: False runs every step again; what comes out is cached for the next run.
        containers: run each step in a container of its image, with these arguments (pipelines/submit/docker.py); None: in a process of this machine.

    Raises:
        StateError: the pipeline failed in the orchestrator, or kfp.local is not as this module knows it.
    """
    from kfp import components, local

    watcher = _Watcher(logs, started, ended, caching)
    said = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="churn-run-")))
        if containers is None:
            stack.enter_context(warm_steps(scratch / "steps"))
        stack.enter_context(_patched(watcher, run, scratch / "steps", (containers or {}).get(docker.MOUNTS, [])))
        local.init(
            runner=docker.runner(containers) if containers is not None else local.SubprocessRunner(use_venv=False),
            pipeline_root=str(pipeline_root),
            workspace_root=str(scratch / "workspace"),
            enable_caching=True,
            cache_root=str(pipeline_root / "cache"),
            raise_on_error=False,
        )
        try:
            with contextlib.redirect_stdout(said):
                components.load_component_from_text(_filled(spec, run))(**arguments)
        except Exception as error:
            raise StateError(f"the orchestrator failed: {type(error).__name__}: {error}") from error
        finally:
            logs.mkdir(parents=True, exist_ok=True)
            (logs / "orchestrator.log").write_text(said.getvalue())


def _filled(spec: str, run: str) -> str:
    """The spec with what kfp.local does not know put in: the job's name as its resource, and the time of its creation, twice, for nobody scheduled it."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    for name, value in (("resource_name", run), ("create_time_utc", now), ("schedule_time_utc", now)):
        spec = spec.replace(f"{{{{$.pipeline_job_{name}}}}}", value)
    return spec


class _Watcher:
    """Wraps the execution of a single task: what it was, how long it took, what came out."""

    def __init__(self, logs: Path, started: Callable[[str], None], ended: Callable[[TaskRecord], None], caching: bool) -> None:
        self._caching = caching
        self._logs = logs
        self._started = started
        self._ended = ended
        self._hit = False

    def execute(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """kfp.local.orchestrator.task_executor.execute_single_task, watched."""

        def execute_single_task(*args: Any, **kwargs: Any) -> Any:
            from kfp.local.status import Status

            name = kwargs["task_name"]
            self._started(name)
            self._hit = False
            said, begin = io.StringIO(), time.monotonic()
            try:
                with contextlib.redirect_stdout(said):
                    outputs, status = original(*args, **kwargs)
            except BaseException as error:
                self._ended(
                    TaskRecord(name, "failed", time.monotonic() - begin, error=f"{type(error).__name__}: {error}", log=said.getvalue())
                )
                raise
            finally:
                self._logs.mkdir(parents=True, exist_ok=True)
                (self._logs / f"{name}.log").write_text(said.getvalue())
            seconds = time.monotonic() - begin
            if status is Status.SUCCESS:
                plain = {key: _plain(value) for key, value in outputs.items()}
                self._ended(
                    TaskRecord(name, "cached" if self._hit else "succeeded", 0.0 if self._hit else seconds, plain, log=said.getvalue())
                )
            else:
                self._ended(TaskRecord(name, "failed", seconds, error=error_line(said.getvalue()), log=said.getvalue()))
            return outputs, status

        return execute_single_task

    def look_up(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """kfp.local.cache.LocalCache.get, believed only where every sealed folder is what was written."""

        def get(cache: Any, key: str) -> Any:
            outputs = original(cache, key)
            self._hit = self._caching and outputs is not None and all(_whole(value) for value in outputs.values())
            return outputs if self._hit else None

        return get


def _plain(value: Any) -> Any:
    return {"uri": value.uri, "metadata": dict(value.metadata)} if hasattr(value, "uri") else value


def _whole(value: Any) -> bool:
    if not hasattr(value, "uri"):
        return True
    path = Path(value.uri)
    if not path.is_dir():
        return path.is_file() and path.stat().st_size > 0
    try:
        check_seal(path)
    except ChurnError:
        return False
    return True


def error_line(log: str) -> str:
    """The one line that says why a step failed: the last exception in its log, without the traceback."""
    lines = log.splitlines()
    for line in reversed(lines):
        if match := _OURS.match(line):
            return match[2]
    for line in reversed(lines):
        if match := _EXCEPTION.match(line):
            return f"{match[1]}: {match[2] or ''}".rstrip(": ")
    return "the step ended without saying why"


@contextlib.contextmanager
def _patched(watcher: _Watcher, run: str, steps: Path, mounts: list[str]) -> Iterator[None]:
    from kfp.local import cache, docker_task_handler, executor_input_utils, subprocess_task_handler
    from kfp.local.orchestrator import task_executor

    def quoted(original: Callable[..., Any]) -> Callable[..., Any]:
        # kfp writes the interpreter's path into a shell line as it is; a space in the checkout's name would split it.
        return lambda command, executable: original(command, shlex.join(launcher(executable, steps)))

    with contextlib.ExitStack() as stack:
        for owner, name, wrap in (
            (task_executor, "execute_single_task", watcher.execute),
            (cache.LocalCache, "get", watcher.look_up),
            (executor_input_utils, "get_local_pipeline_resource_name", lambda _: lambda __: run),
            (subprocess_task_handler, "replace_python_executable", quoted),
            (docker_task_handler, "run_docker_container", lambda _: docker.kept(mounts)),
        ):
            original = getattr(owner, name, None)
            if original is None:
                raise StateError(f"kfp.local has moved: {name} is not where pipelines/submit/local.py wraps it; use kfp 2.17.0, as locked")
            stack.callback(setattr, owner, name, original)
            setattr(owner, name, wrap(original))
        yield
