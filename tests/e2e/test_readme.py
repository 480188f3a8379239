"""The README's own cloud commands, word for word, at a sandbox in the foreground: what a newcomer does."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def shell(tmp_path):
    """A shell that `eval "$(make -s sandbox-env)"` has pointed at a sandbox."""
    folder = tmp_path / "sandbox"
    command = [sys.executable, "-m", "tests.sandbox", "--folder", str(folder)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            while "sandbox-env" not in (line := sandbox.stdout.readline()):
                assert line, "the sandbox did not start"
            yield {"before": f'eval "$(cat {folder / "env"})"', "env": {**os.environ, "CHURN_WORKSPACE": str(tmp_path)}}
        finally:
            sandbox.send_signal(signal.SIGINT)
            sandbox.communicate(timeout=30)


def test_the_cloud_commands_of_the_readme(shell, tmp_path):
    section = (CHECKOUT / "README.md").read_text().partition("## Going to Vertex AI")[2]
    commands = re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]
    assert "submit --target vertex --wait" in commands
    # The environment that runs these tests stands for the one that make would make again.
    commands = commands.replace("make install-cloud\n", "").replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    spec = tmp_path / "specs" / "training.yaml"
    commands = commands.replace("compile.py", f"compile.py --out {spec.parent}").replace("submit --", f"submit {spec} --")
    script = f"set -euo pipefail\n{shell['before']}\n{commands}"
    done = subprocess.run(["bash", "-c", script], cwd=CHECKOUT, env=shell["env"], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads((tmp_path / "runs" / "latest" / "summary.json").read_text())
    assert (summary["status"], summary["gate"]["passed"], summary["deployment"]["target"]) == ("succeeded", True, "vertex")
    assert f"* {summary['deployment']['release']}" in done.stdout
    assert "training: created" in done.stdout
    assert "/kfp/sandbox/churn/churn-training/sha256:" in done.stdout
