"""What images are named, what they may hold, and that a failing container is a failing step; the engine itself is asked by make containers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from churn.platform.errors import StateError
from churn.platform.settings import CHECKOUT
from containers import build, guard, prove
from pipelines.submit import docker

LOCKS = CHECKOUT / "requirements"


@pytest.mark.parametrize("group", build.IMAGES)
def test_a_lock_has_nothing_that_its_image_has_no_use_for(group):
    assert guard.too_many(group, guard.locked(LOCKS / f"{group}.txt")) == []


@pytest.mark.parametrize(("group", "package"), [(group, package) for group, names in guard.FORBIDDEN.items() for package in names.values()])
def test_a_package_too_many_is_found(group, package, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text((LOCKS / f"{group}.txt").read_text() + f"{package}==1.0 \\\n    --hash=sha256:0\n")
    assert guard.too_many(group, guard.locked(lock)) == [package]


@pytest.mark.parametrize("group", ["data", "train", "deploy"])
def test_what_the_steps_of_a_group_import_is_read_off_the_components(group):
    modules = guard.needed(group)
    assert {"data": "evidently", "train": "xgboost", "deploy": "boto3"}[group] in modules
    assert {"data": "components.prepare", "train": "components.train", "deploy": "components.promote"}[group] in modules
    assert "kfp.dsl.executor_main" in modules


def test_what_a_function_imports_counts_too(tmp_path):
    from containers.imports import packages, reachable

    (tmp_path / "components").mkdir()
    (tmp_path / "churn").mkdir()
    (tmp_path / "components" / "step.py").write_text("def step():\n    from churn.work import work\n")
    (tmp_path / "churn" / "__init__.py").touch()
    code = "import json\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import never\ndef work():\n    import boto3\n"
    (tmp_path / "churn" / "work.py").write_text(code)
    assert packages(reachable(["components.step"], tmp_path)) == {"boto3": "churn.work"}


def test_every_lock_names_versions_of_the_dev_lock():
    dev = dict(line.split(" ")[0].split("==") for line in (LOCKS / "dev.txt").read_text().splitlines() if "==" in line)
    for group in build.IMAGES:
        for line in (LOCKS / f"{group}.txt").read_text().splitlines():
            if "==" in line:
                name, version = line.split(" ")[0].split("==")
                assert dev[name] == version, (group, name)


def test_the_guards_program_finds_what_is_missing_and_what_is_too_many(monkeypatch):
    monkeypatch.setitem(guard.FORBIDDEN, "data", {"json": "json"})
    monkeypatch.setattr(guard, "needed", lambda _: ["churn.no_such_module", "churn.platform.errors"])
    done = subprocess.run([sys.executable, "-c", guard.program("data")], capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 1
    assert done.stdout.startswith("churn.no_such_module cannot be imported")
    assert "json is there" in done.stdout


@pytest.mark.parametrize("path", ["containers/pipeline/Dockerfile", "containers/server/Dockerfile"])
def test_hadolint_finds_nothing(path):
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), str(CHECKOUT / path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_something(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN apt-get install curl\n")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), str(tmp_path / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1


class Container:
    def __init__(self, status):
        self.status, self.removed = status, False

    def logs(self, stream):
        return iter([b"said\n"])

    def wait(self):
        return {} if self.status is None else {"StatusCode": self.status}

    def remove(self, force):
        self.removed = True


class Client:
    """An engine with one container."""

    def __init__(self, status):
        self.containers, self.container, self.given = self, Container(status), {}

    def run(self, **given):
        self.given = given
        return self.container


@pytest.mark.parametrize("status", [0, 1, 3, 137])
def test_a_container_is_kept_until_its_status_is_read_and_then_removed(status, capsys):
    client = Client(status)
    volumes = {"/root": {"bind": "/root", "mode": "rw"}, "/work": {"bind": "/kfp-workspace", "mode": "rw"}}
    assert docker.kept(["/root:/root:rw", "/log.csv:/log.csv:ro"])(client, "churn-data:1", ["true"], volumes, read_only=True) == status
    assert (client.given["auto_remove"], client.given["read_only"], client.container.removed) == (False, True, True)
    assert client.given["volumes"] == ["/work:/kfp-workspace:rw", "/root:/root:rw", "/log.csv:/log.csv:ro"]
    assert capsys.readouterr().out == "said\n"


def test_an_engine_that_does_not_say_how_it_ended_is_no_success():
    client = Client(None)
    with pytest.raises(StateError, match="the engine does not say how the container of churn-data:1 ended"):
        docker.kept([])(client, "churn-data:1", ["true"], {})
    assert client.container.removed


def summary(**metrics):
    return {"metrics": metrics, "provenance": {"model_sha256": "a"}, "deployment": {"deployed": True}}


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (summary(auc_pr=0.7606), "auc_pr: 0.7607 here, 0.7606 in containers"),
        (summary(auc_pr=0.7607) | {"provenance": {"model_sha256": "b"}}, "another model came out"),
        (summary(auc_pr=0.7607) | {"deployment": {"deployed": False}}, "its model is not live"),
    ],
)
def test_a_run_in_containers_that_is_another_is_refused(there, words):
    prove.same(summary(auc_pr=0.7607), summary(auc_pr=0.7607))
    with pytest.raises(StateError, match=words):
        prove.same(summary(auc_pr=0.7607), there)


def engine(tmp_path, monkeypatch, script: str) -> Path:
    """A docker client that writes down what it is asked."""
    client = tmp_path / "docker"
    client.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{script}\n')
    client.chmod(0o755)
    monkeypatch.setenv("CHURN_DOCKER", str(client))
    return tmp_path / "asked"


def test_images_are_built_and_pushed_under_the_commit_and_written_down_by_digest(tmp_path, monkeypatch, capsys):
    repository = "us-central1-docker.pkg.dev/p/churn"
    monkeypatch.setenv("CHURN_IMAGE_REPOSITORY", repository)
    digest = "sha256:" + "a" * 64
    asked = engine(
        tmp_path, monkeypatch, f'case "$*" in *RepoDigests*) n=${{4%:*}}; echo "[\\"$n@{digest}\\"]";; *Size*) echo 1000000;; esac'
    )
    assert build.main(["--tag", "abc", "--cache-from"]) == 0
    assert f"--cache-from {repository}/churn-data:cache" in asked.read_text()
    assert build.main(["--tag", "abc", "--push", "--images", str(tmp_path / "images.json")]) == 0
    images = json.loads((tmp_path / "images.json").read_text())
    assert images == {name: f"{repository}/churn-{name}@{digest}" for name in build.IMAGES}
    assert f"{repository}/churn-server:abc: 1 MB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--tag", "latest"], 2, "--tag latest says nothing of what is in it"),
        (["--push"], 2, "--push: set CHURN_IMAGE_REPOSITORY"),
        (["--tag", "abc"], 1, "failed with 7"),
    ],
)
def test_what_cannot_be_built_is_one_line(tmp_path, monkeypatch, capsys, arguments, status, words):
    monkeypatch.delenv("CHURN_IMAGE_REPOSITORY", raising=False)
    engine(tmp_path, monkeypatch, "exit 7")
    assert build.main(arguments) == status
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_without_docker_it_says_so(monkeypatch, capsys):
    monkeypatch.setenv("CHURN_DOCKER", "/nonexistent/docker")
    assert build.main(["--tag", "abc"]) == 1
    assert "/nonexistent/docker is not there; install a docker engine" in capsys.readouterr().err
