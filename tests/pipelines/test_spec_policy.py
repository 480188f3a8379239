"""What must hold of every compiled spec, each rule shown to see its fault; and the golden spec that a reviewer reads."""

import copy

import pytest
import yaml

import compile as compile_command
from pipelines.policy import RULES, pinned, steps, unlabelled, violations
from pipelines.submit.spec import Spec
from tests.pipelines.golden import GOLDEN, _differences, differences

DEPLOYMENT = {"register", "deploy", "smoke-test", "canary", "promote"}


@pytest.fixture(scope="module", params=sorted(compile_command.pipelines()))
def spec(request):
    return Spec(request.param, compile_command.compiled(request.param, compile_command.images_for("test")))


@pytest.fixture(scope="module")
def training():
    return Spec("training", compile_command.compiled("training", compile_command.images_for("test")))


def test_every_compiled_pipeline_keeps_every_rule(spec):
    assert violations(spec.text) == []


def test_the_whole_deployment_stands_behind_the_gate_and_approved(training):
    gated = {step.name for step in steps(training.values) if {"evaluate.Output >= min_auc_pr", "judge.Output == true"} <= step.conditions}
    assert gated == DEPLOYMENT
    assert training.default("min_auc_pr") == 0.72


def test_golden_spec(spec):
    assert differences(spec.name) == [], "the spec has changed: read make spec-diff, then python -m tests.pipelines.golden"


def test_every_golden_spec_is_of_a_pipeline():
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(compile_command.pipelines())


def test_a_difference_is_said_by_its_path_and_code_as_a_diff():
    old = {"root.a": 1, "root.gone": True, "code": "one\ntwo\n"}
    new = {"root.a": 2, "root.new": [], "code": "one\n2\n"}
    assert list(_differences(old, new)) == [
        "~ code",
        "    @@ -1,2 +1,2 @@",
        "     one",
        "    -two",
        "    +2",
        "~ root.a: 1 -> 2",
        "- root.gone: True",
        "+ root.new: []",
    ]


@pytest.mark.parametrize(
    ("image", "stays"),
    [
        ("churn-data:src-1", True),
        ("host:5000/churn/data:1.2", True),
        (f"host/churn/data@sha256:{'a' * 64}", True),
        (f"host/churn/data:latest@sha256:{'a' * 64}", True),  # the digest decides
        ("churn-data:latest", False),
        ("churn-data", False),
        ("host:5000/churn-data", False),
        ("host/churn/data@sha256:abc", False),
        ("", False),
    ],
)
def test_an_image_that_stays_what_it_is(image, stays):
    assert pinned(image) is stays


# -- each rule with a fault of its kind: what is done to the spec, and what the rule then says


def task(values, name):
    """A task's settings, wherever it stands."""
    dags = [values["root"]["dag"], *(each["dag"] for each in values["components"].values() if "dag" in each)]
    return next(dag["tasks"][name] for dag in dags if name in dag["tasks"])


def dag_of(values, name):
    dags = [values["root"]["dag"], *(each["dag"] for each in values["components"].values() if "dag" in each)]
    return next(dag for dag in dags if name in dag["tasks"])


def container(values, name):
    return values["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


def parameters(values):
    return values["root"]["inputDefinitions"]["parameters"]


def move_out_of_the_gate(values):
    promote = dag_of(values, "promote")["tasks"].pop("promote")
    promote["dependentTasks"], promote["inputs"] = [], {}
    dag_of(values, "judge")["tasks"]["promote"] = promote


def open_the_gate(values):
    """The condition reads as before, and what it compares with is another parameter."""
    root = values["root"]["dag"]["tasks"]["exit-handler-1"]["inputs"]["parameters"]
    root["pipelinechannel--min_auc_pr"] = {"componentInputParameter": "min_gain"}


def without_the_second_condition(values):
    for each in values["components"].values():
        for name in each.get("dag", {}).get("tasks", {}).values():
            if "judge-Output" in name.get("triggerPolicy", {}).get("condition", ""):
                del name["triggerPolicy"]


def an_alternative_to_the_gate(values):
    for each in values["components"].values():
        for name in each.get("dag", {}).get("tasks", {}).values():
            condition = name.get("triggerPolicy", {}).get("condition", "")
            if ">=" in condition and not condition.startswith("!"):
                name["triggerPolicy"]["condition"] = f"{condition} || inputs.parameter_values['pipelinechannel--replace_champion'] == true"


def outside_of_the_exit_handler(values):
    values["root"]["dag"]["tasks"]["alone"] = copy.deepcopy(task(values, "fingerprint"))


def outputs_of_a_condition(values):
    name = next(name for name in values["components"] if name.startswith("comp-condition"))
    values["components"][name]["outputDefinitions"] = {"parameters": {"Output": {"parameterType": "STRING"}}}


def environment(values):
    container(values, "track")["env"] = [{"name": "MLFLOW_TRACKING_PASSWORD", "value": "hunter2"}]


FAULTS = [
    ("schema", lambda v: v.update(schemaVersion="3.0.0"), "schemaVersion 3.0.0 is not one"),
    ("schema", lambda v: v.update(platforms={}), "is no PipelineSpec"),
    ("schema", lambda v: task(v, "train").update(timeout="60s"), "is no PipelineSpec"),
    ("images", lambda v: container(v, "train").update(image="churn-train:latest"), "exec-train: 'churn-train:latest' has neither"),
    ("images", lambda v: container(v, "train").update(image="churn-train"), "exec-train: 'churn-train' has neither"),
    ("images", lambda v: container(v, "train").pop("image"), "exec-train: None has neither"),
    ("installed", lambda v: container(v, "train")["command"].append("python -m pip install kfp"), "exec-train installs packages"),
    ("installed", lambda v: container(v, "train")["command"].append("pip3 --quiet install kfp"), "exec-train installs packages"),
    ("resources", lambda v: container(v, "train").pop("resources"), "exec-train has no cpuLimit, memoryLimit, resourceCpuLimit"),
    ("resources", lambda v: container(v, "train")["resources"].pop("memoryLimit"), "exec-train has no memoryLimit"),
    ("resources", lambda v: container(v, "train")["resources"].pop("resourceCpuLimit"), "exec-train has no resourceCpuLimit"),
    ("resources", lambda v: container(v, "train")["resources"].update(cpuLimit=97.0), "exec-train wants more than 96 vCPUs"),
    ("retries", lambda v: task(v, "deploy").pop("retryPolicy"), "deploy talks to the network and is not tried again"),
    ("retries", lambda v: task(v, "prepare").pop("retryPolicy"), "prepare talks to the network"),
    ("retries", lambda v: task(v, "hold-2").pop("retryPolicy"), "hold-2 talks to the network"),
    ("retries", lambda v: task(v, "deploy")["retryPolicy"].update(maxRetryCount=0), "deploy talks to the network"),
    ("retries", lambda v: task(v, "deploy")["retryPolicy"].pop("backoffDuration"), "deploy is tried again at once"),
    ("retries", lambda v: task(v, "canary").update(retryPolicy={"maxRetryCount": 1}), "canary is tried again, and must not be"),
    ("caching", lambda v: task(v, "promote").update(cachingOptions={"enableCache": True}), "promote looks at the world or changes it"),
    ("caching", lambda v: task(v, "train").update(cachingOptions={}), "train would never be taken from the cache"),
    ("exit handler", lambda v: task(v, "notify").pop("triggerPolicy"), "0 exit handlers"),
    ("exit handler", outside_of_the_exit_handler, "alone stand outside of the exit handler"),
    ("gate", move_out_of_the_gate, "promote can be reached without evaluate.Output >= min_auc_pr and judge.Output == true"),
    ("gate", open_the_gate, "promote can be reached without evaluate.Output >= min_auc_pr"),
    ("gate", without_the_second_condition, "promote can be reached without judge.Output == true"),
    ("gate", an_alternative_to_the_gate, "promote can be reached without evaluate.Output >= min_auc_pr"),
    ("nothing leaves the gate", outputs_of_a_condition, "has outputs, which are there only where its condition held"),
    ("described", lambda v: v["pipelineInfo"].pop("description"), "the pipeline has no description"),
    ("described", lambda v: parameters(v)["seed"].pop("description"), "the parameter seed has no description"),
    ("described", lambda v: parameters(v)["seed"].pop("defaultValue"), "the parameter seed has no default"),
    ("secrets", lambda v: parameters(v).update(api_key=parameters(v)["source"]), "the parameter api_key has a secret's name"),
    ("secrets", lambda v: parameters(v)["source"].update(defaultValue="https://me:hunter2@host/x"), "defaultValue looks like a secret"),
    ("secrets", lambda v: container(v, "track")["args"].append(f"ghp_{'x' * 36}"), "exec-track.container.args[4] looks like a secret"),
    ("secrets", environment, "exec-track has a secret's name in its environment: MLFLOW_TRACKING_PASSWORD"),
]


@pytest.mark.parametrize(("rule", "plant", "says"), FAULTS, ids=[f"{rule}-{number}" for number, (rule, *_) in enumerate(FAULTS)])
def test_a_planted_fault_is_seen_by_its_rule(training, rule, plant, says):
    values = copy.deepcopy(training.values)
    plant(values)
    said = violations(yaml.safe_dump(values))
    assert [line for line in said if line.startswith(f"{rule}: ") and says in line], said


def test_every_rule_has_a_fault_that_it_was_shown():
    assert {rule for rule, *_ in FAULTS} == set(RULES)


def test_a_second_document_is_refused(training):
    assert violations(f"{training.text}\n---\nplatforms: {{}}\n") == ["one document: there are 2 YAML documents, and Vertex AI takes one"]


def test_a_job_says_which_commit_and_which_call_it_is():
    assert unlabelled({"labels": {"commit": "abc123", "churn_call": "0f", "reason": "a-look"}}) == []
    assert unlabelled({"labels": {"commit": ""}}) == [
        "the job has no label commit",
        "the job has no label churn_call",
        "the label commit= is none",
    ]
    assert unlabelled({"labels": {"commit": "A", "churn_call": "0f"}}) == ["the label commit=A is none"]
