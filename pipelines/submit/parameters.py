"""A run's final values: --param, over --params, over the dataset's file, over configs/churn.yaml; checked and cast before anything is sent."""

import difflib
import json
import math
from pathlib import Path
from typing import Any

import yaml

from churn.data.datasets import located, read_dataset
from churn.platform.checked import parse_yaml, read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import CONFIGS, Environment, SageMakerEnvironment, VertexEnvironment
from pipelines.configuration import DEFAULT_DATASET, check_training, dataset_parameters, training_defaults
from pipelines.submit.spec import Parameter, Spec


def resolve(spec: Spec, environment: Environment, given: list[str], file: Path | None, git_commit: str) -> dict[str, Any]:
    """The final value of every parameter of the training pipeline.

    Args:
        spec: the compiled pipeline: which parameters there are, and their types.
        environment: where the run goes.
        given: NAME=VALUE each, as on the command line; NAME may reach into a structure (training.max_depth=3).
        file: a YAML or JSON file of values.
        git_commit: the code's commit.

    Raises:
        ConfigError: the first value that is wrong: what, where and what to do.
    """
    asked = (read_yaml(file) if file else {}, _pairs(given))  # the later one wins
    for name in (*asked[0], *asked[1]):
        _check_name(name.partition(".")[0], spec, name)
    chosen = (asked[0] | asked[1]).get("dataset")
    # A dataset's own file may say dataset: as a whole mapping too, as a run's record does.
    dataset = read_dataset(str(chosen) if chosen is not None else DEFAULT_DATASET) if not isinstance(chosen, dict) else None
    # training_defaults() has the default dataset's own definition: churn.yaml's stands behind that of this one.
    values = training_defaults() | read_yaml(CONFIGS / "churn.yaml")["churn"]
    values |= dataset_parameters(dataset) if dataset else {"dataset": chosen, "source": "", "tickets_source": ""}
    values |= {"git_commit": git_commit} | environment.places()
    values["serving"] = _with_image(values["serving"], spec, environment)
    for each in asked:
        for name, value in each.items():
            if name != "dataset":
                _put(values, name, value)
    final = {name: _cast(name, values[name], parameter) for name, parameter in spec.parameters.items() if name in values}
    for name in ("source", "tickets_source"):
        final[name] = located(final[name], dataset.path if dataset else None)
    check_training(final)
    return final


def _with_image(serving: dict[str, Any], spec: Spec, environment: Environment) -> dict[str, Any]:
    """What serving needs, with the server's image: the one set, else the one built with the spec's own images."""
    if isinstance(environment, SageMakerEnvironment) and not serving.get("image"):
        raise ConfigError(
            "serving.image is missing: set CHURN_SERVING__IMAGE to the server's reference in ECR, for example "
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn-server:1"
        )
    if not isinstance(environment, VertexEnvironment) or serving.get("image"):
        return serving
    built = spec.default("serving").get("image") or (f"churn-server:{spec.tag}" if spec.tag else "")
    if not built:
        raise ConfigError(
            "serving.image: the spec names its images by digest, and none for the server; set CHURN_SERVING__IMAGE to its reference"
        )
    return serving | {"image": built if "/" in built else f"{environment.image_repository}/{built}"}


def _pairs(given: list[str]) -> dict[str, Any]:
    pairs = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise ConfigError(f"--param {each}: should be NAME=VALUE")
        pairs[name] = value
    return pairs


def _check_name(name: str, spec: Spec, given: str) -> None:
    if name not in spec.parameters:
        near = difflib.get_close_matches(name, spec.parameters, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(spec.parameters))}"
        raise ConfigError(f"parameter {given!r} is not one of the pipeline {spec.name}; {hint}")


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    place = values
    for part in path:
        if not isinstance(place.get(part), dict):
            raise ConfigError(f"parameter {name!r}: {part} has no fields")
        place[part] = dict(place[part])
        place = place[part]
    place[last] = _parsed(value) if path and isinstance(value, str) else value


def _parsed(text: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.YAMLError:
        return text  # %d.%m.%Y is a format, and no YAML


def _cast(name: str, value: Any, parameter: Parameter) -> Any:
    cast = {"NUMBER_INTEGER": _integer, "NUMBER_DOUBLE": _double, "BOOLEAN": _boolean, "STRING": _string, "STRUCT": _struct, "LIST": _list}
    try:
        return cast[parameter.type](value)
    except (ValueError, TypeError, OverflowError):
        kind = {
            "NUMBER_INTEGER": "a whole number",
            "NUMBER_DOUBLE": "a finite number",
            "BOOLEAN": "true or false",
            "STRUCT": "a JSON object",
            "LIST": "a JSON list",
        }
        raise ConfigError(f"parameter {name}: should be {kind.get(parameter.type, 'text')} (given: {value!r})") from None


def _integer(value: Any) -> int:
    if isinstance(value, bool) or float(value) != int(float(value)):
        raise ValueError
    return int(float(value))


def _double(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _string(value: Any) -> str:
    if isinstance(value, dict | list):
        raise TypeError
    return "" if value is None else str(value)


def _struct(value: Any) -> dict[str, Any]:
    parsed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(parsed, dict):
        raise TypeError
    return _without_nulls(parsed)


def _list(value: Any) -> list[Any]:
    parsed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(parsed, list):
        raise TypeError
    return parsed


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    # A null in a structure ends the run in the orchestrator; "not given" says the same.
    return {name: _without_nulls(value) if isinstance(value, dict) else value for name, value in values.items() if value is not None}
