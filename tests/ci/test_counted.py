"""A suite that loses tests fails; a lock that does not install where the project says fails; silence is said."""

import subprocess
import sys

import pytest

from churn.platform.settings import CHECKOUT
from tools.counted import least, too_few
from tools.platforms import PLATFORMS, command, verdict


def test_fewer_tests_than_there_were_is_a_failure():
    assert too_few(100, 100) == too_few(101, 100) == ""
    assert "99 tests were collected where 100 are expected" in too_few(99, 100)
    assert least() > 1000


@pytest.fixture
def suite(tmp_path):
    """A suite of two tests in a checkout of its own, with this one's conftest."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tools").mkdir()
    for name in ("tests/conftest.py", "tools/__init__.py", "tools/counted.py"):
        (tmp_path / name).write_text((CHECKOUT / name).read_text())
    (tmp_path / "tests" / "least.txt").write_text("2\n")
    (tmp_path / "tests" / "test_a.py").write_text("def test_one(): pass\ndef test_two(): pass\n")

    def run(*words):
        return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    return tmp_path, run


def test_a_file_that_is_not_collected_any_more_ends_the_run(suite):
    folder, run = suite
    assert run("tests").returncode == 0
    (folder / "tests" / "test_a.py").rename(folder / "tests" / "a_test_that_is_lost.py")
    (folder / "tests" / "test_b.py").write_text("def test_one(): pass\n")
    done = run("tests")
    assert done.returncode not in {0, 5}
    assert "1 tests were collected where 2 are expected" in done.stdout + done.stderr
    assert run("tests/test_b.py").returncode == 0  # a part of the suite is what was asked for
    assert run("tests", "-k", "one").returncode == 0


def test_every_file_with_tests_in_it_is_one_that_is_collected():
    for path in (CHECKOUT / "tests").rglob("*.py"):
        if any(line.startswith(("def test_", "async def test_")) for line in path.read_text().splitlines()):
            assert path.name.startswith("test_"), path


def test_ci_runs_the_whole_suite_and_every_check():
    said = (CHECKOUT / ".ci" / "run").read_text().splitlines()
    assert {"make run", "make check", "make test"} <= set(said)
    assert "set -euo pipefail" in said
    makefile = (CHECKOUT / "Makefile").read_text()
    assert "$(BIN)/python -m pytest tests\n" in makefile  # as the count wants it asked


def test_a_lock_must_have_wheels_but_for_what_is_published_as_source():
    given = command(CHECKOUT / "requirements" / "local.txt", PLATFORMS[0], "/nowhere")
    wheels = {given[number + 1] for number, word in enumerate(given) if word == "--only-binary"}
    assert "xgboost-cpu" in wheels
    assert not {"kfp", "kfp-server-api"} & wheels
    assert "--dry-run" in given and "--require-hashes" in given


@pytest.mark.parametrize(
    ("status", "said", "words", "fails"),
    [
        (0, "", "installs on", 0),
        (1, "Because xgboost-cpu==3.2.0 has no usable wheels", "does not install on", 1),
        (2, "error sending request for url", "NOT CHECKED: the registry does not answer", 0),
    ],
)
def test_a_platform_without_a_wheel_fails_and_silence_is_said(status, said, words, fails):
    line, worst = verdict("local.txt", "somewhere", status, said)
    assert words in line
    assert worst == fails


def test_tools_are_in_no_image():
    assert 'include = ["churn*", "components*", "pipelines*"]' in (CHECKOUT / "pyproject.toml").read_text()
