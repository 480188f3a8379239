"""Runs pipeline jobs: a process each, watched; what its tasks give goes to the bucket."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.sandbox.refusal import Refusal
from tests.sandbox.storage.buckets import Buckets, split

CHECKOUT = Path(__file__).parents[3]


class Watcher(Protocol):
    """Who is told of a job."""

    def started(self, task: str) -> None:
        """A task begins."""

    def ended(self, record: dict[str, Any]) -> None:
        """A task ended: pipelines.submit.local.TaskRecord, artifacts with the gs:// URI that they were uploaded to."""

    def finished(self, error: str | None) -> None:
        """The job's process ended; error: why it did not run to its end."""


class Run:
    """A job's process."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.sandbox.execute", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=CHECKOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def events(self) -> Any:
        """What it says, each answered when the next is asked for; then its exit status."""
        assert self._process.stdout and self._process.stdin
        for line in self._process.stdout:
            yield json.loads(line)
            with contextlib.suppress(OSError):
                self._process.stdin.write("\n")
                self._process.stdin.flush()

    def wait(self) -> int:
        """Its exit status."""
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with contextlib.suppress(OSError):
                stream.close()
        return status

    def end(self) -> None:
        """End it and its steps: asked first, as the service does, and not for long."""
        end_group(self._process)


def end_group(process: subprocess.Popen[Any], patience: float = 3.0) -> None:
    """End a process that was started in a session of its own, and those that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


class Executor:
    """Starts jobs, and keeps what they share: one local pipeline root, hence one cache."""

    def __init__(self, folder: Path, buckets: Buckets, environment: Callable[[], dict[str, str]]) -> None:
        self._folder = folder
        self._buckets = buckets
        self._environment = environment
        self._uploaded: dict[str, str] = {}
        self._runs: dict[str, Run] = {}
        self._followers: dict[str, threading.Thread] = {}
        self._closed = False
        self._lock = threading.Lock()

    def start(self, job: str, spec: dict[str, Any], arguments: dict[str, Any], outputs: str, watcher: Watcher) -> None:
        """Run a job beside; outputs: the gs:// folder of its artifacts.

        Raises:
            Refusal: it is closed (a job that a schedule had queued would begin when close ended the one before it).
        """
        if self._closed:
            raise Refusal("UNAVAILABLE", "the sandbox is being reset.")
        folder = self._folder / "jobs" / job
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(json.dumps(spec))
        told = {"run": job, "arguments": arguments, "pipeline_root": str(self._folder / "pipeline-root")}
        (folder / "job.json").write_text(json.dumps(told))
        run = Run(folder, self._environment())
        follower = threading.Thread(target=self._follow, args=(job, run, outputs, watcher, folder), daemon=True)
        with self._lock:
            self._runs[job], self._followers[job] = run, follower
        follower.start()

    def end(self, job: str) -> None:
        """End a job's process, where there is one."""
        with self._lock:
            run = self._runs.get(job)
        if run:
            run.end()

    def close(self) -> None:
        """End them all, and wait until what follows them is done: their folder may be removed then."""
        self._closed = True
        for job in list(self._runs):
            self.end(job)
        for follower in list(self._followers.values()):
            follower.join()

    def _follow(self, job: str, run: Run, outputs: str, watcher: Watcher, folder: Path) -> None:
        error = None
        for event in run.events():
            kind = event.pop("event")
            if kind == "started":
                watcher.started(event["name"])
            elif kind == "ended":
                watcher.ended({**event, "outputs": self._upload(event["outputs"], f"{outputs}/{event['name']}")})
            else:
                error = event["error"]
        if status := run.wait():
            said = (folder / "log").read_text().strip().splitlines()
            error = error or f"the job's process ended with {status}: {said[-1] if said else 'it said nothing'}"
        with self._lock:
            self._runs.pop(job, None)
        watcher.finished(error)
        with self._lock:
            self._followers.pop(job, None)

    def _upload(self, outputs: dict[str, Any], target: str) -> dict[str, Any]:
        """Artifacts with their gs:// URI; one that comes from the cache keeps the URI that it has."""
        return {
            key: {**value, "uri": self._place(value["uri"], f"{target}/{key}")} if isinstance(value, dict) and "uri" in value else value
            for key, value in outputs.items()
        }

    def _place(self, uri: str, target: str) -> str:
        source = Path(uri)
        if uri in self._uploaded or not source.exists():
            return self._uploaded.get(uri, uri)
        files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
        for path in files:
            bucket, name = split(target if path == source else f"{target}/{path.relative_to(source).as_posix()}")
            self._buckets.put(bucket, name, path.read_bytes())
        self._uploaded[uri] = target
        return target
