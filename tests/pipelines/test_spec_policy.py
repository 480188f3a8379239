"""What must hold of every compiled spec, and the golden spec that a reviewer reads."""

import pytest
import yaml

import compile as compile_command
from pipelines.submit.spec import Spec
from tests.pipelines.golden import GOLDEN, golden_text

# Steps whose whole effect is their outputs. Everything else looks at the world or changes it, and is never taken from a cache.
CACHED = {"prepare", "features", "train", "evaluate"}
DEPLOYMENT = {"register", "deploy", "smoke-test", "canary", "promote"}


@pytest.fixture(scope="module", params=sorted(compile_command.pipelines()))
def spec(request):
    return Spec(request.param, compile_command.compiled(request.param, compile_command.images_for("test")))


def dags(spec):
    """Every graph of a spec by name."""
    yield "root", spec.values["root"]["dag"]
    yield from ((name, component["dag"]) for name, component in spec.values["components"].items() if "dag" in component)


def tasks(spec):
    """Every task that runs something, with its settings."""
    for _, dag in dags(spec):
        for name, task in dag["tasks"].items():
            if "dag" not in spec.values["components"][task["componentRef"]["name"]]:
                yield name, task


def test_only_steps_whose_whole_effect_is_their_outputs_are_cached(spec):
    cached = {name for name, task in tasks(spec) if task["cachingOptions"].get("enableCache")}
    assert cached == CACHED


def test_the_same_input_gives_the_same_bytes(spec):
    assert compile_command.compiled(spec.name, compile_command.images_for("test")) == spec.text


def test_one_document_of_a_known_schema(spec):
    documents = list(yaml.safe_load_all(spec.text))
    assert len(documents) == 1
    assert documents[0]["schemaVersion"] == "2.1.0"


def test_nothing_is_installed_when_a_step_starts(spec):
    for label, executor in spec.executors.items():
        command = " ".join(executor["container"]["command"])
        assert "pip install" not in command, label
        assert executor["container"]["image"].endswith(":test"), label


def test_every_parameter_has_a_description_and_a_default(spec):
    for name, parameter in spec.values["root"]["inputDefinitions"]["parameters"].items():
        assert parameter.get("description"), name
        assert "defaultValue" in parameter, name


def test_the_gate_is_readable_and_its_threshold_is_the_parameter(spec):
    assert spec.values["root"]["inputDefinitions"]["parameters"]["min_auc_pr"]["defaultValue"] == 0.72
    conditions = [
        task["triggerPolicy"]["condition"]
        for _, dag in dags(spec)
        for task in dag["tasks"].values()
        if "condition" in task.get("triggerPolicy", {})
    ]
    gate = "inputs.parameter_values['pipelinechannel--evaluate-Output'] >= inputs.parameter_values['pipelinechannel--min_auc_pr']"
    assert [condition for condition in conditions if gate in condition and not condition.startswith("!")]


def test_the_whole_deployment_lies_inside_the_gate_behind_approved_and_nothing_leaves_it(spec):
    inside = {name: set(dag["tasks"]) for name, dag in dags(spec) if DEPLOYMENT & set(dag["tasks"])}
    assert len(inside) == 1
    (approved, names) = next(iter(inside.items()))
    assert names == DEPLOYMENT
    assert "outputDefinitions" not in spec.values["components"][approved]
    parents = [(dag, task) for _, dag in dags(spec) for task in dag["tasks"].values() if task["componentRef"]["name"] == approved]
    # kfp wraps If and Else in a group of branches; each level up to the gate carries a condition of its own.
    assert [task["triggerPolicy"]["condition"] for _, task in parents] == [
        "inputs.parameter_values['pipelinechannel--judge-Output'] == true"
    ]


def test_an_exit_handler_stands_around_everything(spec):
    root = spec.values["root"]["dag"]["tasks"]
    assert root["notify"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert len(root) == 2


def test_no_secret_is_a_parameter(spec):
    words = ("password", "token", "secret", "key", "credential")
    assert not [name for name in spec.parameters if any(word in name for word in words)]


def test_golden_spec(spec):
    golden = GOLDEN / f"{spec.name}.yaml"
    assert golden.read_text() == golden_text(spec.name), (
        f"the spec of {spec.name} has changed: read the difference, then python -m tests.pipelines.golden"
    )
