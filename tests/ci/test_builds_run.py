"""The builds of Cloud Build, run its way over the sandbox: from a push to production, and stopped by whatever fails."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from churn.platform.google import vertex_client
from churn.platform.settings import CHECKOUT
from tests.ci.cloudbuild import filled, goals, read, run
from tests.clouds import point_at
from tests.pipelines.conftest import QUICK, shop_dataset, shop_log

# What a test of the build need not do again, or has no docker for; everything else is the real target.
HEAVY = ["install-dev", "check", "test", "audit", "sbom", "ci-build", "ci-push"]
MAKE = """#!{python}
import json, os, sys
goals = [word for word in sys.argv[1:] if "=" not in word]
with open(os.environ["HOME"] + "/made", "a") as log:
    log.write(" ".join(goals) + "\\n")
if set(goals) & set(os.environ.get("BREAKS", "").split()):
    sys.exit("planted: " + " ".join(goals))
# Each environment is a cloud of its own: its services answer at its own addresses.
os.environ.update(json.loads(os.environ.get("CLOUDS", "{{}}")).get(os.environ.get("CHURN_PROJECT"), {{}}))
if not set(goals) <= set({heavy!r}):
    os.execv({make!r}, ["make", *sys.argv[1:]])
if "ci-push" in goals:
    repository, digest = os.environ["CHURN_IMAGE_REPOSITORY"], "@sha256:" + 64 * "a"
    json.dump({{name: f"{{repository}}/churn-{{name}}{{digest}}" for name in ("data", "train", "deploy", "server")}}, open("images.json", "w"))
"""
COMMIT = "c0ffee" * 6 + "c0ff"
OWN = {"PROJECT_ID": "sandbox", "COMMIT_SHA": COMMIT, "SHORT_SHA": COMMIT[:7], "TAG_NAME": "v1.2.0"}
SHOP = "shop-30d"


def values(**changed):
    """An environment's own values, as the file that PARAMS names."""
    quick = {name: yaml.safe_load(value) for name, _, value in (each.partition("=") for each in QUICK)}
    canary = {"canary.percent": 25, "canary.min_answers": 5, "canary.max_p95_ms": 5000}
    return quick | canary | {"min_auc_pr": 0.1} | changed


@pytest.fixture
def workspace(tmp_path):
    """The checkout as Cloud Build has it, with an environment that is installed already."""
    folder = tmp_path / "workspace"
    listed = subprocess.run(
        ["git", "-C", str(CHECKOUT), "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    for name in ("pyvenv.cfg", ".installed", ".installed-cloud", ".installed-dev"):
        shutil.copyfile(Path(sys.prefix) / "pyvenv.cfg", folder / ".venv" / name)
    (folder / "bin").mkdir()
    (folder / "bin" / "make").write_text(MAKE.format(python=sys.executable, heavy=HEAVY, make=shutil.which("make")))
    (folder / "bin" / "make").chmod(0o755)
    log = shop_log(folder / "data" / "log.csv")
    (folder / "dev.yaml").write_text(yaml.safe_dump(values(dataset=str(shop_dataset(folder, log)))))
    return folder


class Builds:
    """Builds of the files here, over one workspace."""

    def __init__(self, workspace, environment):
        self.workspace, self.made = workspace, workspace / "made"
        self.environment = environment | {"PATH": f"{workspace / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(workspace)}

    def run(self, name, breaks="", trigger=None, **given):
        self.made.unlink(missing_ok=True)
        told = read(Path(f"cloudbuild/triggers/{trigger}.yaml")).get("substitutions", {}) if trigger else {}
        ran = run(read(Path(name)), OWN | told | given, self.workspace, self.environment | {"BREAKS": breaks})
        return {each.id: each for each in ran}


@pytest.fixture
def builds(workspace, clouds):
    told = {}
    for project, sandbox in clouds.items():
        sandbox.reset()
        sandbox.buckets.create(project)
        own = ("CHURN_PROJECT", "CHURN_BUCKET", "CHURN_REGION", "CHURN_KFP")
        told[project] = {name: value for name, value in sandbox.environment("rest").items() if not name.startswith(own)}
    built = Builds(workspace, {"CLOUDS": json.dumps(told)})
    built.specs = f"{clouds['my-churn-dev'].rest}/kfp/sandbox/churn-pipelines"  # one repository, which each environment reads
    return built


@pytest.fixture
def jobs(clouds, monkeypatch):
    """The pipeline jobs of a project."""

    def of(project):
        point_at(monkeypatch, clouds[project].environment("rest"))
        parent = f"projects/{project}/locations/us-central1"
        return list(vertex_client("PipelineServiceClient", "us-central1").list_pipeline_jobs(parent=parent))

    return of


def main(builds, **given):
    return builds.run("cloudbuild.yaml", trigger="main", _SPECS=builds.specs, _DEV_PARAMS="dev.yaml", _STAGING_PARAMS="dev.yaml", **given)


def test_from_a_push_to_production(builds, jobs):
    ran = main(builds)
    assert all(each.status == 0 for each in ran.values()), "\n".join(each.output for each in ran.values() if each.status)
    assert next(iter(ran)) == "install"
    assert list(ran)[5:] == ["push", "compile", "upload", "dev", "dev-smoke", "staging", "staging-smoke"]
    for name in ("dev", "staging"):
        (job,) = jobs(f"my-churn-{name}")
        assert (job.labels["commit"], job.labels["reason"]) == (COMMIT[:12], f"main-{COMMIT[:7]}")
        images = {each["container"]["image"] for each in dict(job.pipeline_spec)["deploymentSpec"]["executors"].values()}
        assert images == {
            f"us-central1-docker.pkg.dev/sandbox/churn/churn-{group}@sha256:{'a' * 64}" for group in ("data", "train", "deploy")
        }
        smoke = ran[f"{name}-smoke"].output
        assert smoke.startswith(f"{SHOP} on vertex:")
        assert "✗" not in smoke
        assert "rows of known score their score" in smoke
    promoted = promote(builds, trigger="release")
    assert [each.status for each in promoted.values()] == [0, 0, 0], promoted["submit"].output
    (job,) = jobs("my-churn-production")
    assert job.labels["reason"] == "release-v1-2-0"
    (dev,) = jobs("my-churn-dev")
    assert dict(job.pipeline_spec)["deploymentSpec"] == dict(dev.pipeline_spec)["deploymentSpec"]  # the same code, by digest
    assert dict(job.runtime_config.parameter_values)["releases"] == "gs://my-churn-production/releases"


def promote(builds, **given):
    return builds.run("cloudbuild/promote.yaml", _SPECS=builds.specs, _PARAMS="dev.yaml", **given)


def test_a_closed_gate_in_dev_keeps_the_code_out_of_staging(builds, jobs):
    held = yaml.safe_load((builds.workspace / "dev.yaml").read_text()) | {"min_auc_pr": 0.999}
    (builds.workspace / "dev.yaml").write_text(yaml.safe_dump(held))
    ran = main(builds)
    assert ran["dev"].status != 0
    assert "the gate stays closed, and --require-gate wants it open" in ran["dev"].output
    assert not {"dev-smoke", "staging", "staging-smoke"} & set(ran)
    assert jobs("my-churn-staging") == []


@pytest.mark.parametrize("fails", ["check", "test", "ci-build"])
def test_what_fails_stops_the_build_and_nothing_is_pushed(workspace, fails):
    builds = Builds(workspace, {})
    ran = builds.run("cloudbuild.yaml", trigger="main", breaks=fails)
    assert [each.id for each in ran.values() if each.status] == [{"ci-build": "build"}.get(fails, fails)]
    assert not {"push", "compile", "upload", "dev"} & set(ran)
    assert "ci-push" not in builds.made.read_text()


def test_nothing_is_trained_anew_without_a_reason(workspace):
    ran = Builds(workspace, {}).run("cloudbuild/promote.yaml", trigger="retrain")
    assert ran["submit"].status != 0
    assert "say why: REASON=" in ran["submit"].output
    assert "smoke" not in ran


def test_a_pull_request_submits_nothing(workspace):
    builds = Builds(workspace, {})
    assert all(each.status == 0 for each in builds.run("cloudbuild/pull-request.yaml").values())
    assert set(builds.made.read_text().split()) == {"install-dev", "check", "test", "audit", "sbom", "ci-build"}


def test_an_undefined_substitution_ends_it_before_it_begins():
    with pytest.raises(KeyError, match="_NOBODY"):
        filled({"steps": [{"args": ["a", "$_NOBODY"]}]}, {})
    assert filled("${_A}/$_B.iam $$HOME", {"_A": "1$_B", "_B": "2"}) == "12/2.iam $$HOME"


def test_a_step_that_is_real_here_is_a_target_of_the_makefile():
    real = {goal for path in ("cloudbuild.yaml", "cloudbuild/promote.yaml") for step in read(Path(path))["steps"] for goal in goals(step)}
    assert real - set(HEAVY) == {"ci-compile", "ci-upload", "ci-submit", "ci-smoke", "install-cloud"}
