"""The benchmark's other side still is what a user would write: it runs, and gives the pipeline's own model."""

import subprocess
import sys
from pathlib import Path

import compile as compile_command
from churn.cli.main import main as churn
from churn.deployment.local import LocalReleases

CHECKOUT = Path(__file__).parents[2]


def test_the_functions_in_one_plain_process_bring_a_model_live(workspace):
    assert churn(["data", "fetch", "cdnow"]) == 0
    assert compile_command.main(["--out", str(workspace / "specs")]) == 0
    command = [sys.executable, "benchmarks/plain.py", str(workspace / "plain"), str(workspace / "specs" / "training.yaml")]
    subprocess.run(command, check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    store = LocalReleases(workspace / "plain" / "releases", "cdnow-90d")
    release = store.live()
    assert [entry["release"] for entry in store.history()] == [release.name]
    assert release.facts["metrics"]["auc_pr"] > 0.72
