"""cloudbuild.yaml, its triggers and the workflow of GitHub: what the services would refuse, and what the house would; each check shown its fault."""

import copy
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from google.cloud.devtools import cloudbuild_v1 as cb

from churn.deployment.identity import Access
from churn.platform.settings import CHECKOUT, CONFIGS
from tests.ci.cloudbuild import BUILDS, TRIGGERS, goals, read, targets, wrong

WORKFLOW = CHECKOUT / ".github" / "workflows" / "ml-pipeline.yml"
ACTIONLINT = Path(sys.executable).with_name("actionlint")


@pytest.mark.parametrize("path", BUILDS, ids=str)
def test_a_build_is_what_the_service_takes(path):
    assert wrong(read(path)) == []


@pytest.mark.parametrize("path", TRIGGERS, ids=str)
def test_a_trigger_is_what_the_service_takes(path):
    assert wrong(read(path), cb.BuildTrigger) == []


def build():
    return copy.deepcopy(read(Path("cloudbuild.yaml")))


def step(values, name):
    return next(each for each in values["steps"] if each["id"] == name)


FAULTS = [
    (lambda b: step(b, "test").update(entryPoint="make"), "not a Build"),
    (lambda b: b["options"].update(logging="CLOUD_LOGS"), "not a Build"),
    (lambda b: b.update(timeout="15m"), "not a Build"),
    (lambda b: step(b, "test").update(wait_for=step(b, "test").pop("waitFor")), "wait_for is written with an underscore"),
    (lambda b: step(b, "test")["args"].append("COMMIT=${_COMIT}"), "$_COMIT is not defined"),
    (lambda b: b["substitutions"].update(_EXTRA="x"), "_EXTRA is defined and not used"),
    (lambda b: step(b, "test").update(waitFor=["instal"]), "test waits for instal, which is not before it"),
    (lambda b: step(b, "test").update(id="check"), "there are two check"),
    (lambda b: step(b, "test").pop("timeout"), "test has no timeout"),
    (lambda b: step(b, "test").update(entrypoint="bash"), "test is not a target of the Makefile"),
    (lambda b: step(b, "test").update(script="make test"), "test is not a target of the Makefile"),
    (lambda b: step(b, "test").update(args=["tests"]), "make has no tests"),
    (lambda b: b.update(serviceAccount="projects/p/serviceAccounts/owner@p.iam.gserviceaccount.com"), "is not one of configs/iam.yaml"),
    (lambda b: b.pop("serviceAccount"), "is not one of configs/iam.yaml"),
    (lambda b: b["options"].update(logging="LEGACY"), "options.logging is not CLOUD_LOGGING_ONLY"),
    (lambda b: b["options"].pop("substitutionOption"), "is not MUST_MATCH"),
    (lambda b: b.pop("timeout"), "the build has no timeout"),
]


@pytest.mark.parametrize(("plant", "says"), FAULTS, ids=[says for _, says in FAULTS])
def test_a_fault_in_a_build_is_seen(plant, says):
    values = build()
    plant(values)
    assert [line for line in wrong(values) if says in line], wrong(values)


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (lambda t: t.update(fileName="cloudbuild.yaml"), "not a BuildTrigger"),
        (lambda t: t.update(filename="cloudbuild.yml"), "there is no build 'cloudbuild.yml'"),
        (lambda t: t["substitutions"].update(_PROJEKT="x"), "_PROJEKT is not a substitution of cloudbuild.yaml"),
        (lambda t: t.update(filename="cloudbuild/pull-request.yaml", substitutions={}), "the account is not that of"),
    ],
)
def test_a_fault_in_a_trigger_is_seen(plant, says):
    values = copy.deepcopy(read(Path("cloudbuild/triggers/main.yaml")))
    plant(values)
    assert [line for line in wrong(values, cb.BuildTrigger) if says in line], wrong(values, cb.BuildTrigger)


def test_production_wants_approval_and_a_pull_request_gets_checks_only():
    triggers = {path.stem: read(path) for path in TRIGGERS}
    assert {name for name, each in triggers.items() if each.get("approvalConfig", {}).get("approvalRequired")} == {"release", "retrain"}
    checks = read(Path(triggers["pull-request"]["filename"]))
    made = {goal for each in checks["steps"] for goal in goals(each)}
    assert made == {"install-dev", "check", "test", "audit", "sbom", "ci-build"}
    (grant,) = Access.read(CONFIGS / "iam.yaml").accounts["churn-checks"].grants
    assert grant.role == "roles/logging.logWriter"


def test_the_accounts_of_ci_are_those_of_iam():
    access = Access.read(CONFIGS / "iam.yaml")
    named = {read(path)["serviceAccount"].split("/")[3].split("@")[0] for path in BUILDS}
    assert named == {"churn-ci", "churn-checks"} <= set(access.accounts)
    assert access.federation.account == "churn-ci"
    assert "cloudbuild.googleapis.com" in access.apis


def test_what_can_run_beside_each_other_does_and_nothing_is_pushed_before_every_check():
    steps = {each["id"]: each for each in build()["steps"]}
    assert all(steps[name]["waitFor"] == ["install"] for name in ("check", "test", "audit", "build"))
    assert set(steps["push"]["waitFor"]) == {"check", "test", "audit", "build"}


def test_a_reason_is_never_text_of_a_command_line():
    """make would evaluate it there."""
    for path in BUILDS:
        assert not [word for each in read(path)["steps"] for word in each["args"] if word.startswith("REASON")]
    for job in workflow()["jobs"].values():
        assert not [line for each in job["steps"] for line in [each.get("run", "")] if "inputs." in line or "REASON" in line]


# -- GitHub


def workflow(text=None):
    return yaml.safe_load(text or WORKFLOW.read_text())


def lint(text):
    """What actionlint says."""
    done = subprocess.run(
        [ACTIONLINT, "-no-color", "-shellcheck=", "-pyflakes=", "-"], input=text, capture_output=True, text=True, check=False
    )
    return done.stdout


def faults(text):
    """What the house wants beyond what actionlint knows."""
    values = workflow(text)
    said = [] if values.get("permissions") == {"contents": "read"} else ["permissions are not read only"]
    said += [] if "concurrency" in values else ["no concurrency"]
    for name, job in values["jobs"].items():
        said += [] if job.get("timeout-minutes") else [f"{name} has no timeout"]
        extra = set(job.get("permissions", {}).items()) - {("contents", "read"), ("id-token", "write")}
        said += [f"{name} may {extra}"] if extra else []
        for each in job["steps"]:
            said += _step_faults(name, each)
    said += ["a secret is used"] if "secrets." in text else []
    pins = re.findall(r"uses: (\S+?)@(\S+)(?: # (\S+))?", text)
    said += [
        f"{action} is not pinned by commit, with its tag" for action, at, tag in pins if not re.fullmatch(r"[0-9a-f]{40}", at) or not tag
    ]
    return said


def _step_faults(job, each):
    if "run" not in each:
        return []
    words = each["run"].split()
    missing = [word for word in words[1:] if "=" not in word and word not in targets()]
    if words[0] != "make" or "\n" in each["run"].strip() or re.search(r"[;&|`]|\$\(", each["run"]):
        return [f"{job}: {each['run']!r} is not a target of the Makefile"]
    return [f"{job}: make has no {word}" for word in missing]


def test_the_workflow_is_what_github_takes_and_the_house_wants():
    assert lint(WORKFLOW.read_text()) == ""
    assert faults(WORKFLOW.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("needs: build\n", "needs: biuld\n", "biuld"),
        ("timeout-minutes: 75", "timeout-minuts: 75", "timeout-minuts"),
        ("${{ steps.auth.outputs.access_token }}", "${{ steps.autth.outputs.access_token }}", "autth"),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-42.04", "ubuntu-42.04"),
        ("inputs.reason ||", "input.reason ||", "input"),
    ],
)
def test_actionlint_sees_a_fault(old, new, says):
    text = WORKFLOW.read_text()
    assert old in text
    assert says in lint(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("run: make check", "run: ruff check .", "is not a target of the Makefile"),
        ("run: make check", "run: make check && make test", "is not a target of the Makefile"),
        ("run: make check", "run: make chek", "make has no chek"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "actions/checkout is not pinned by commit"),
        (" # v7.0.1", "", "actions/checkout is not pinned by commit"),
        ("permissions:\n  contents: read", "permissions:\n  contents: write", "permissions are not read only"),
        ("      id-token: write", "      id-token: write\n      packages: write", "may {('packages', 'write')}"),
        ("    timeout-minutes: 75\n", "", "lint-and-test has no timeout"),
        ("vars.IMAGE_REGISTRY", "secrets.KEY", "a secret is used"),
    ],
)
def test_a_fault_in_the_workflow_is_seen(old, new, says):
    text = WORKFLOW.read_text()
    assert old in text
    assert [line for line in faults(text.replace(old, new, 1)) if says in line]


def test_both_cis_have_the_same_stages_by_the_same_targets():
    jobs = workflow()["jobs"]
    assert list(jobs) == [
        "lint-and-test",
        "build",
        "train-and-evaluate",
        "promote-to-staging",
        "integration-tests",
        "deploy-to-production",
        "smoke-test",
    ]
    github = {word for job in jobs.values() for each in job["steps"] for word in each.get("run", "").split()[1:] if "=" not in word}
    google = {goal for path in BUILDS for each in read(path)["steps"] for goal in goals(each)}
    assert google - {"install-dev", "install-cloud"} == github
    chain = list(jobs)
    assert all(jobs[after]["needs"] == before for before, after in pairwise(chain))
    environments = [jobs[name].get("environment") for name in chain]
    assert environments == [None, "dev", "dev", "staging", "staging", "production", None]
