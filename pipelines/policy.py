"""What must hold of every compiled spec: small rules over plain data, each giving what breaks it, in words."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_TAG = re.compile(r"^[^@]+:(\w[\w.-]{0,127})$")
_CPU, _MEMORY = 96, 624  # what Vertex AI gives a step at the most: vCPUs, GB
_SCHEMAS = ("2.0.0", "2.1.0")
_INSTALLS = re.compile(r"\b(pip3?|uv|conda|apt(-get)?)\b.{0,40}\binstall\b")
_SECRET_NAME = re.compile(r"(password|passwd|token|secret|credential|(api|private|access)_?key)", re.IGNORECASE)
_SECRET = re.compile(r"-----BEGIN|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\beyJ[\w-]{20,}\.|\bya29\.|://[^/\s:@]+:[^/\s:@]+@")
# Steps whose whole effect is their outputs. Everything else looks at the world or changes it, and is never taken from a cache.
CACHED = frozenset({"prepare", "features", "train", "evaluate"})
# Steps that are not tried again: a canary that did not pass would get its share of the customers anew, and judge reads what steps before it wrote.
ONCE = frozenset({"canary", "judge"})
# Cached, and yet reads from the network.
READS = frozenset({"prepare"})
# Steps that use deployment or registry code and change nothing that is live: they may stand outside of the gate.
HARMLESS = frozenset({"find-champion", "hold", "notify", "track"})
_CHANGES = re.compile(r"\bchurn\.(deployment|registry)\b")
GATE = frozenset({"evaluate.Output >= min_auc_pr", "judge.Output == true"})

Values = dict[str, Any]


def pinned(image: str) -> bool:
    """True for an image that stays what it is: by digest, or by a tag that is not latest."""
    tag = _TAG.search(image)
    return bool(_DIGEST.search(image)) or bool(tag and tag[1] != "latest")


def violations(text: str) -> list[str]:
    """Everything that is wrong in a compiled spec, a line each; none where it is as it should be."""
    documents = list(yaml.safe_load_all(text))
    if len(documents) != 1:
        return [f"one document: there are {len(documents)} YAML documents, and Vertex AI takes one"]
    spec = documents[0]
    return [f"{name}: {words}" for name, rule in RULES.items() for words in rule(spec)]


def _parses(spec: Values) -> Iterator[str]:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    if spec.get("schemaVersion") not in _SCHEMAS:
        yield f"schemaVersion {spec.get('schemaVersion')} is not one that Vertex AI takes ({', '.join(_SCHEMAS)})"
    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        yield f"is no PipelineSpec: {' '.join(str(error).split())}"


def _images(spec: Values) -> Iterator[str]:
    for label, container in containers(spec).items():
        if not pinned(container.get("image", "")):
            yield f"{label}: {container.get('image')!r} has neither a digest nor a tag other than latest"


def _nothing_installed(spec: Values) -> Iterator[str]:
    for label, container in containers(spec).items():
        if _INSTALLS.search(" ".join([*container.get("command", []), *container.get("args", [])])):
            yield f"{label} installs packages when it starts; put them into its image"


def _resources(spec: Values) -> Iterator[str]:
    for label, container in containers(spec).items():
        said = container.get("resources", {})
        missing = [name for name in ("cpuLimit", "memoryLimit", "resourceCpuLimit", "resourceMemoryLimit") if not said.get(name)]
        if missing:
            yield f"{label} has no {', '.join(missing)}; Vertex AI reads the first two, newer backends the others"
        if float(said.get("cpuLimit", 0)) > _CPU or float(said.get("memoryLimit", 0)) > _MEMORY:
            yield f"{label} wants more than {_CPU} vCPUs or {_MEMORY} GB, which no machine of Vertex AI has for a step"


def _retries(spec: Values) -> Iterator[str]:
    for step in steps(spec):
        policy = step.task.get("retryPolicy", {})
        if step.kind in ONCE:
            if policy:
                yield f"{step.name} is tried again, and must not be"
        elif not step.cached or step.kind in READS:
            if not policy.get("maxRetryCount"):
                yield f"{step.name} talks to the network and is not tried again; set_retry"
            elif policy.get("backoffDuration", "0s") == "0s":
                yield f"{step.name} is tried again at once; give set_retry a backoff_duration"


def _caching(spec: Values) -> Iterator[str]:
    for step in steps(spec):
        if step.cached and step.kind not in CACHED:
            yield f"{step.name} looks at the world or changes it, and would be taken from the cache"
        if not step.cached and step.kind in CACHED:
            yield f"{step.name} would never be taken from the cache"


def _exit_handler(spec: Values) -> Iterator[str]:
    root = spec["root"]["dag"]["tasks"]
    exits = [name for name, task in root.items() if task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"]
    if len(exits) != 1:
        yield f"{len(exits)} exit handlers around the pipeline, where one says the outcome"
        return
    outside = sorted({*root} - {*exits, *root[exits[0]].get("dependentTasks", [])})
    if outside:
        yield f"{', '.join(outside)} stand outside of the exit handler: nobody is told when they fail"


def _gate(spec: Values) -> Iterator[str]:
    for step in steps(spec):
        missing = GATE - step.conditions
        if missing and step.kind not in HARMLESS and _CHANGES.search(" ".join(step.container.get("command", []))):
            yield f"{step.name} can be reached without {' and '.join(sorted(missing))}"


def _leaves_the_gate(spec: Values) -> Iterator[str]:
    for name, component in spec["components"].items():
        if name.startswith("comp-condition") and "outputDefinitions" in component:
            yield f"{name} has outputs, which are there only where its condition held"


def _described(spec: Values) -> Iterator[str]:
    info = spec.get("pipelineInfo", {})
    for field in ("name", "description"):
        if not info.get(field):
            yield f"the pipeline has no {field}"
    for name, parameter in _parameters(spec).items():
        for field, has in (("description", parameter.get("description")), ("default", "defaultValue" in parameter)):
            if not has:
                yield f"the parameter {name} has no {field}"


def _secrets(spec: Values) -> Iterator[str]:
    for name in _parameters(spec):
        if _SECRET_NAME.search(name):
            yield f"the parameter {name} has a secret's name; name the secret's place instead, and read it in the step"
    for path, value in leaves(spec):
        if isinstance(value, str) and _SECRET.search(value):
            yield f"{path} looks like a secret"
    for label, container in containers(spec).items():
        for each in container.get("env", []):
            if _SECRET_NAME.search(each["name"]) and each.get("value"):
                yield f"{label} has a secret's name in its environment: {each['name']}"


RULES: dict[str, Callable[[Values], Iterator[str]]] = {
    "schema": _parses,
    "images": _images,
    "installed": _nothing_installed,
    "resources": _resources,
    "retries": _retries,
    "caching": _caching,
    "exit handler": _exit_handler,
    "gate": _gate,
    "nothing leaves the gate": _leaves_the_gate,
    "described": _described,
    "secrets": _secrets,
}


def unlabelled(job: Values) -> list[str]:
    """What is wrong in a pipeline job's labels (a spec carries none): which commit and which call it is."""
    labels = job.get("labels", {})
    missing = [f"the job has no label {name}" for name in ("commit", "churn_call") if not labels.get(name)]
    wrong = [f"the label {name}={value} is none" for name, value in labels.items() if not re.fullmatch(r"[a-z0-9_-]{1,63}", value)]
    return missing + wrong


def containers(spec: Values) -> dict[str, Values]:
    """The container of each executor, by its label."""
    found = spec["deploymentSpec"]["executors"]
    return {label: executor.get("container", {}) for label, executor in sorted(found.items())}


@dataclass(frozen=True)
class Step:
    """A task that runs something, and the conditions behind which it stands, in the names of their origins: evaluate.Output >= min_auc_pr."""

    name: str
    task: Values
    container: Values
    conditions: frozenset[str]

    @property
    def kind(self) -> str:
        """Its name without the number that kfp gives to a second one."""
        return re.sub(r"-\d+$", "", self.name)

    @property
    def cached(self) -> bool:
        """Whether it may be taken from the cache."""
        return bool(self.task.get("cachingOptions", {}).get("enableCache"))


def steps(spec: Values) -> Iterator[Step]:
    """Every task that runs something."""
    yield from _steps(spec, spec["root"]["dag"], {name: name for name in _parameters(spec)}, frozenset())


def _steps(spec: Values, dag: Values, origins: dict[str, str], behind: frozenset[str]) -> Iterator[Step]:
    for name, task in dag["tasks"].items():
        given = {key: _origin(value, origins) for key, value in task.get("inputs", {}).get("parameters", {}).items()}
        conditions = behind | _conditions(task, given)
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            yield from _steps(spec, component["dag"], given, conditions)
        else:
            yield Step(name, task, containers(spec).get(component.get("executorLabel", ""), {}), conditions)


def _origin(value: Values, origins: dict[str, str]) -> str:
    if "taskOutputParameter" in value:
        return f"{value['taskOutputParameter']['producerTask']}.{value['taskOutputParameter']['outputParameterKey']}"
    return origins.get(value.get("componentInputParameter", ""), "a constant")


def _conditions(task: Values, given: dict[str, str]) -> frozenset[str]:
    text = task.get("triggerPolicy", {}).get("condition", "")
    named = re.sub(r"inputs\.parameter_values\['([^']+)'\]", lambda match: given.get(match[1], match[1]), text)
    # A part of "a or b" need not hold.
    return frozenset([named] if "||" in named else named.split(" && ")) - {""}


def _parameters(spec: Values) -> Values:
    return dict(spec["root"].get("inputDefinitions", {}).get("parameters", {}))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value of a structure, with its path."""
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from leaves(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from leaves(each, f"{path}[{number}]")
    else:
        yield path, value
