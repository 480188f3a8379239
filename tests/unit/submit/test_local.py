"""The only module that reaches into kfp.local: what it wraps is there, and is what is called."""

import contextlib
import textwrap

import pytest

from churn.platform.errors import StateError
from churn.platform.files import seal
from pipelines.submit import local
from pipelines.submit.local import TaskRecord, error_line, run_locally

BEGIN = """
    [KFP Executor 2026-11-24 12:52:15,084 INFO]: Loading KFP component "fingerprint" from /tmp/tmp.D/ephemeral_component.py
    [KFP Executor 2026-11-24 12:52:15,084 INFO]: Got executor_input:
    {
        "inputs": {
            "parameterValues": {"source": "/nonexistent.csv"}
        }
    }
"""
TRACEBACK = """
    Traceback (most recent call last):
      File "<frozen runpy>", line 198, in _run_module_as_main
      File "/home/someone/.venv/lib/python3.11/site-packages/kfp/dsl/executor.py", line 453, in execute
        result = self.func(**func_kwargs)
                 ^^^^^^^^^^^^^^^^^^^^^^^^
"""
END = """

12:52:15.104 - ERROR - Task [96m'fingerprint'[0m finished with status [91mFAILURE[0m
--------------------------------------------------------------------------------
"""
OURS = "    churn.platform.errors.InputError: /nonexistent.csv: no such file; give the path of one as the source"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (BEGIN + TRACEBACK + OURS + END, "/nonexistent.csv: no such file; give the path of one as the source"),
        (BEGIN + TRACEBACK + "    KeyError: 'planted'" + END, "KeyError: 'planted'"),
        (
            BEGIN + TRACEBACK + "    duckdb.duckdb.OutOfMemoryException: Out of Memory Error: failed to pin" + END,
            "OutOfMemoryException: Out of Memory Error: failed to pin",
        ),
        (BEGIN + TRACEBACK + "    mlflow.exceptions.MlflowException: no such run\n      more of it" + END, "MlflowException: no such run"),
        (
            BEGIN + TRACEBACK + "    subprocess.TimeoutExpired: Command 'server' timed out after 10 seconds" + END,
            "TimeoutExpired: Command 'server' timed out after 10 seconds",
        ),
        (BEGIN + TRACEBACK + "    MemoryError" + END, "MemoryError"),
        (BEGIN + TRACEBACK + "    SystemExit: 3" + END, "SystemExit: 3"),
        (
            BEGIN
            + TRACEBACK
            + "    ValueError: first\n\n    During handling of the above exception\n"
            + TRACEBACK
            + "    OSError: second"
            + END,
            "OSError: second",
        ),
        (
            BEGIN + TRACEBACK + OURS + "\n" + TRACEBACK + "    OSError: while cleaning up" + END,
            "/nonexistent.csv: no such file; give the path of one as the source",
        ),
        (BEGIN + END, "the step ended without saying why"),
        ("", "the step ended without saying why"),
    ],
)
def test_the_line_that_says_why(log, line):
    assert error_line(log) == line


def test_what_is_wrapped_is_there_and_put_back():
    from kfp.local import cache, docker_task_handler, executor_input_utils, subprocess_task_handler
    from kfp.local.orchestrator import task_executor

    places = (
        (task_executor, "execute_single_task"),
        (cache.LocalCache, "get"),
        (executor_input_utils, "get_local_pipeline_resource_name"),
        (subprocess_task_handler, "replace_python_executable"),
        (docker_task_handler, "run_docker_container"),
    )
    before = [getattr(owner, name) for owner, name in places]
    watcher = local._Watcher(None, None, None, True)
    with local._patched(watcher, "run-1", None, []):
        assert all(getattr(owner, name) is not original for (owner, name), original in zip(places, before, strict=True))
        assert executor_input_utils.get_local_pipeline_resource_name("churn-training") == "run-1"
    assert [getattr(owner, name) for owner, name in places] == before
    for owner, name in places:
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(owner, name)
            with (
                pytest.raises(StateError, match=f"kfp.local has moved: {name} .*use kfp 2.17.0"),
                local._patched(watcher, "run-1", None, []),
            ):
                pass
    assert [getattr(owner, name) for owner, name in places] == before


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """Three steps: one that may be cached, one that may fail, one that is told how it ended."""
    from kfp import compiler, dsl

    component = dsl.component(base_image="python", packages_to_install=[], install_kfp_package=False)

    def write(text: str, folder: dsl.Output[dsl.Artifact]) -> str:
        import pathlib

        from churn.platform.files import seal

        path = pathlib.Path(folder.path)
        path.mkdir(parents=True)
        (path / "text").write_text(text)
        folder.metadata["length"] = len(text)
        return seal(path)

    def look(run: str, sha256: str, fail: bool) -> str:
        print(f"this is {run}")  # noqa: T201 (a step's log)
        if fail:
            raise ValueError("planted")
        return run

    def tell(status: dsl.PipelineTaskFinalStatus) -> str:
        return status.state

    steps = {each.__name__: component(each) for each in (write, look, tell)}

    @dsl.pipeline(name="small")
    def small(text: str, fail: bool):
        with dsl.ExitHandler(steps["tell"]().set_caching_options(False)):
            written = steps["write"](text=text)
            steps["look"](run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, sha256=written.outputs["Output"], fail=fail).set_caching_options(False)

    path = tmp_path_factory.mktemp("small") / "small.yaml"
    compiler.Compiler().compile(small, str(path))
    return path.read_text()


class Runs:
    """Runs of the small pipeline in one folder, one after the other."""

    def __init__(self, spec, root) -> None:
        self.spec, self.root, self.count = spec, root, 0

    def __call__(self, *, fail: bool = False, **options) -> dict[str, TaskRecord]:
        self.count += 1
        begun, ended = [], []
        given = {
            "run": f"run-{self.count}",
            "pipeline_root": self.root / "root",
            "logs": self.root / "logs",
            "started": begun.append,
            "ended": ended.append,
        }
        run_locally(self.spec, {"text": "some text", "fail": fail}, **given, **options)
        assert begun == [record.name for record in ended]
        return {record.name: record for record in ended}


@pytest.fixture
def run(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "warm_steps", lambda _: contextlib.nullcontext())  # tests/integration has them
    return Runs(spec, tmp_path)


def test_a_run_is_recorded_task_by_task_and_the_cache_is_believed_only_where_its_files_are(run):
    first = run()
    assert {name: record.state for name, record in first.items()} == {"write": "succeeded", "look": "succeeded", "tell": "succeeded"}
    assert first["look"].outputs == {"Output": "run-1"}
    assert first["write"].outputs["folder"]["metadata"]["length"] == 9
    assert first["tell"].outputs == {"Output": "SUCCEEDED"}
    assert "this is run-1" in (run.root / "logs" / "look.log").read_text()
    assert "small" in (run.root / "logs" / "orchestrator.log").read_text()

    second = run()
    assert (second["write"].state, second["write"].seconds, second["look"].state) == ("cached", 0.0, "succeeded")
    assert second["write"].outputs == first["write"].outputs
    assert second["look"].outputs == {"Output": "run-2"}
    assert run(caching=False)["write"].state == "succeeded"

    for text in (run.root / "root").glob("*/write/folder/text"):
        text.write_text("")
    assert run()["write"].state == "succeeded"


def test_a_step_that_fails_is_one_line_and_the_exit_handler_runs(run):
    failed = run(fail=True)
    assert (failed["look"].state, failed["look"].error) == ("failed", "ValueError: planted")
    assert failed["tell"].outputs == {"Output": "FAILED"}


def test_where_the_orchestrator_fails_itself_its_words_are_the_error(run):
    with pytest.raises(StateError, match=r"the orchestrator failed: \w+: .*"):
        run_locally(textwrap.dedent("root: {}"), {}, run="r", pipeline_root=run.root, logs=run.root / "logs", started=print, ended=print)


@pytest.mark.parametrize(
    ("harm", "whole"),
    [(lambda folder: None, True), (lambda folder: (folder / "a").write_text(""), False), (lambda folder: (folder / "a").unlink(), False)],
)
def test_a_cached_output_is_believed_where_it_is_whole(tmp_path, harm, whole):
    from kfp import dsl

    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    (folder / "a").write_text("a")
    seal(folder)
    harm(folder)
    assert local._whole(dsl.Artifact(uri=str(folder))) is whole
    file.write_text("" if not whole else "a")
    assert local._whole(dsl.Artifact(uri=str(file))) is whole
    assert local._whole("a parameter")
    assert not local._whole(dsl.Artifact(uri=str(tmp_path / "gone")))
