"""The command submit: what it prints, how it exits, what it leaves. The pipeline itself is stood in for."""

import json
import os
import subprocess
import sys

import pytest

from churn.platform.errors import StateError
from churn.platform.files import is_locked
from pipelines.submit import local
from pipelines.submit.local import TaskRecord
from pipelines.submit.main import main
from tests.pipelines.golden import GOLDEN

SPEC = str(GOLDEN / "training.yaml")


@pytest.fixture
def pipeline(monkeypatch, workspace):
    """Stands in for kfp's local runner: `does` is what the pipeline does, `given` what it was given."""

    class Pipeline:
        def __init__(self):
            self.given = {}

        def does(self, ended):
            ended(TaskRecord("fingerprint", "succeeded", 0.1, {"content": "sha256:1", "as_of": ""}))

        def __call__(self, spec, arguments, **given):
            self.given = given | {"spec": spec, "arguments": arguments}
            self.does(given["ended"])

    pipeline = Pipeline()
    monkeypatch.setattr(local, "run_locally", pipeline)
    return pipeline


def latest(workspace) -> dict:
    return json.loads((workspace / "runs" / "latest" / "summary.json").read_text())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["unknown"], "no compiled pipeline"),
        (["no/such.yaml"], "no compiled pipeline no/such.yaml"),
        ([SPEC, "--target", "vertex"], "project is missing: set it there or with CHURN_PROJECT"),
        ([SPEC, "--target", "prod"], "target 'prod' is not known"),
        ([SPEC, "--param", "sede=1"], "did you mean seed?"),
        ([SPEC, "--param", "seed=x"], "parameter seed: should be a whole number"),
        ([SPEC, "--param", "dataset=unknown"], "dataset 'unknown'"),
        ([SPEC, "--params", "none.yaml"], "none.yaml: no such file"),
    ],
)
def test_a_wrong_call_is_one_line_and_2_and_leaves_nothing(pipeline, workspace, capsys, call, message):
    assert main(call) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("submit: ")
    assert message in said.err.splitlines()[-1]
    assert (said.out, list(workspace.iterdir()), pipeline.given) == ("", [], {})


@pytest.mark.parametrize("call", [["--nonsense"], ["training", "scoring"], ["--param"]])
def test_what_argparse_refuses_is_2_too(call, capsys):
    with pytest.raises(SystemExit) as ended:
        main(call)
    assert ended.value.code == 2


def test_a_dry_run_prints_the_final_values_and_runs_nothing(pipeline, workspace, capsys):
    assert main([SPEC, "--dry-run", "--param", "seed=11"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["pipeline"], printed["target"], printed["parameters"]["seed"]) == ("training", "local", 11)
    assert len(printed["spec_sha256"]) == 64
    assert (list(workspace.iterdir()), pipeline.given) == ([], {})


def test_a_spec_that_is_older_than_the_code_is_said(tmp_path, capsys):
    old = tmp_path / "training.yaml"
    old.write_text("# training, compiled by compile.py from code 000000000000\n" + (GOLDEN / "training.yaml").read_text())
    assert main([str(old), "--dry-run"]) == 0
    assert "is older than the code (compiled from 000000000000, now" in capsys.readouterr().err


def test_a_pipeline_that_ran_is_0_whatever_the_gate_said(pipeline, workspace, capsys):
    assert main([SPEC]) == 0
    run = latest(workspace)
    assert (run["status"], run["gate"]["passed"]) == ("succeeded", False)
    assert (workspace / "runs" / "latest").readlink().name == run["run_id"] == pipeline.given["run"]
    assert run["run_id"].startswith("training-")
    assert f"run        {run['run_id']}: succeeded" in capsys.readouterr().out
    assert pipeline.given["caching"] is True
    assert "churn-data:src-" in pipeline.given["spec"]
    assert run["parameters"] == pipeline.given["arguments"]


def test_no_cache(pipeline):
    assert main([SPEC, "--no-cache"]) == 0
    assert pipeline.given["caching"] is False


def test_while_a_run_lives_its_summary_says_failed_and_its_steps_see_its_lock(pipeline, workspace):
    seen = {}

    def does(ended):
        ended(TaskRecord("fingerprint", "succeeded"))
        seen.update(summary=latest(workspace), lock=os.environ["CHURN_RUN_LOCK"])
        seen["locked"] = is_locked(seen["lock"])

    pipeline.does = does
    assert main([SPEC]) == 0
    assert (seen["summary"]["status"], seen["locked"]) == ("failed", True)
    assert "it is running still, or it was killed" in seen["summary"]["error"]
    assert "CHURN_RUN_LOCK" not in os.environ
    assert not is_locked(seen["lock"])


def test_a_failed_step_is_1(pipeline, workspace, capsys):
    pipeline.does = lambda ended: ended(TaskRecord("fingerprint", "failed", error="log.csv: no such file"))
    assert main([SPEC]) == 1
    assert latest(workspace)["error"] == "fingerprint: log.csv: no such file"
    assert "error      fingerprint: log.csv: no such file" in capsys.readouterr().out


def test_where_the_orchestrator_dies_submit_says_so_for_the_exit_handler(pipeline, workspace, caplog):
    def does(_):
        raise StateError("the orchestrator failed: TypeError: x")

    pipeline.does = does
    assert main([SPEC]) == 1
    run = latest(workspace)
    assert (run["status"], run["error"]) == ("failed", "the orchestrator failed: TypeError: x")
    assert caplog.messages == [f"run {run['run_id']} FAILED: the orchestrator failed: TypeError: x"]


def test_an_interrupted_run_is_1_and_failed(pipeline, workspace, capsys):
    def does(_):
        raise KeyboardInterrupt

    pipeline.does = does
    assert main([SPEC]) == 1
    assert (latest(workspace)["status"], latest(workspace)["error"]) == ("failed", "interrupted")
    assert "CHURN_RUN_LOCK" not in os.environ
    assert "what was live stays live" in capsys.readouterr().err


def test_what_a_person_wants_of_a_run_is_kept_beside_its_summary(pipeline, workspace, tmp_path):
    for name in ("report", "quality", "rejects"):
        (tmp_path / name).write_text(name)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "probe.json").write_text(json.dumps({"instances": [{"a": 1}, {"a": 2}, {"a": 3}], "probabilities": []}))

    def does(ended):
        ended(TaskRecord("prepare", "cached", 0, {name: {"uri": str(tmp_path / name), "metadata": {}} for name in ("quality", "rejects")}))
        ended(TaskRecord("evaluate", "succeeded", 0, {"evaluation": {"uri": str(tmp_path / "evaluation"), "metadata": {}}, "Output": 0.5}))
        ended(TaskRecord("judge", "succeeded", 0, {"report": {"uri": str(tmp_path / "report"), "metadata": {}}}))

    pipeline.does = does
    main([SPEC])
    folder = workspace / "runs" / "latest"
    assert (folder / "report.html").read_text() == "report"
    assert (folder / "quality.html").read_text() == "quality"
    assert (folder / "rejected_rows.csv").read_text() == "rejects"
    assert json.loads((folder / "example.json").read_text()) == {"instances": [{"a": 1}, {"a": 2}]}


@pytest.mark.parametrize("command", ["pipelines.submit.main", "churn.cli.main"])
def test_help_imports_nothing_heavy(command):
    code = (
        f"import sys\nfrom {command} import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'kfp', 'pandas', 'numpy', 'mlflow', 'evidently', 'xgboost', 'sklearn', 'duckdb', 'pyarrow', "
        "'google.auth', 'google.api_core', 'boto3', 'matplotlib'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")
    assert done.stdout.endswith("imported: []\n")
