"""Warm steps: a fork of the process that has imported what is slow, and the same as a process of its own in everything else."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from pipelines.submit.warm import launcher, warm_steps


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    address = tmp_path_factory.mktemp("warm") / "steps"
    with warm_steps(address):
        while not address.exists():
            time.sleep(0.05)
        yield address


@pytest.fixture
def step(address, tmp_path):
    """Run a module's text as kfp runs a step: the launcher in place of the interpreter, -m, arguments."""

    def run(text, *arguments, address=address, **environment):
        (tmp_path / "a_step.py").write_text(textwrap.dedent(text))
        command = [*launcher(sys.executable, address), "-m", "a_step", *arguments]
        return subprocess.run(command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, check=False)

    return run


SAYS = "import sys, os; print('mlflow' in sys.modules, 'xgboost' in sys.modules, os.environ.get('MARK'), os.getcwd(), sys.argv[1:])"


def test_a_step_has_what_is_slow_and_its_own_arguments_environment_and_folder(step, tmp_path):
    done = step(SAYS, "a b", MARK="here")
    assert done.stdout.split(maxsplit=3)[:3] == ["True", "True", "here"]
    assert str(tmp_path) in done.stdout
    assert "['a b']" in done.stdout


def test_without_the_process_the_launcher_is_the_interpreter(step, tmp_path):
    done = step(SAYS, address=tmp_path / "nobody", MARK="here")
    assert done.stdout.split()[:3] == ["False", "False", "here"]


@pytest.mark.parametrize(("text", "status"), [("import sys; sys.exit(3)", 3), ("import sys; sys.exit('said')", 1), ("pass", 0)])
def test_it_ends_as_the_step_ends(step, text, status):
    assert step(text).returncode == status


def test_a_traceback_reaches_the_log(step):
    done = step("raise ValueError('planted')")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ValueError: planted")


def test_a_killed_step_is_a_failed_one(step):
    assert step("import os; os.kill(os.getpid(), 9)").returncode != 0


def test_a_large_request_arrives_whole(step):
    assert step("import sys; print(len(sys.argv[1]))", "x" * 120_000).stdout.strip() == "120000"


def test_it_ends_with_the_run(tmp_path):
    with warm_steps(tmp_path / "steps"):
        while not (tmp_path / "steps").exists():
            time.sleep(0.05)
    done = subprocess.run(
        [*launcher(sys.executable, tmp_path / "steps"), "-c", "print('cold')"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "cold\n"
