"""A job's spec: parsed strictly, its parameters checked and cast, its placeholders filled in, its tasks looked up."""

import json
from typing import Any

from google.protobuf import json_format

from tests.sandbox.refusal import invalid

_VERSIONS = ("2.0.0", "2.1.0")


def parsed(spec: Any) -> dict[str, Any]:
    """The spec of a job (a Struct) as plain data.

    Raises:
        Refusal: it is not one PipelineSpec, or has a field that PipelineSpec has not.
    """
    from kfp.pipeline_spec import pipeline_spec_pb2

    plain: dict[str, Any] = json_format.MessageToDict(spec)
    if not plain:
        raise invalid("pipeline_spec: is required.")
    if "platforms" in plain or "pipelineSpec" in plain:
        raise invalid("pipeline_spec: a platform spec is not supported; it should be one PipelineSpec, of one YAML document.")
    try:
        message = json_format.ParseDict(plain, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        raise invalid(f"pipeline_spec: is not a PipelineSpec: {error}") from None
    if message.schema_version not in _VERSIONS:
        raise invalid(f"pipeline_spec.schemaVersion: {message.schema_version!r} is not supported; {' and '.join(_VERSIONS)} are.")
    if not message.pipeline_info.name or not message.root.dag.tasks:
        raise invalid("pipeline_spec: pipelineInfo.name and root.dag.tasks are required.")
    return plain


def arguments(spec: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Every parameter's value: the given one, else the default; numbers, which come as doubles, as what the parameter is.

    Raises:
        Refusal: one is unknown, missing, or of another type.
    """
    declared = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    if unknown := sorted(set(given) - set(declared)):
        raise invalid(f"runtime_config.parameter_values: {', '.join(unknown)}: the pipeline has no such parameter.")
    values = {}
    for name, definition in declared.items():
        if name in given:
            values[name] = _cast(name, given[name], definition["parameterType"])
        elif "defaultValue" in definition:
            values[name] = _cast(name, definition["defaultValue"], definition["parameterType"])
        elif not definition.get("isOptional"):
            raise invalid(f"runtime_config.parameter_values: {name}: the parameter is required and has no default.")
    return values


def _cast(name: str, value: Any, kind: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "NUMBER_INTEGER" and number and float(value).is_integer():
        return int(value)
    if kind == "NUMBER_DOUBLE" and number:
        return float(value)
    for other, cls in (("STRING", str), ("BOOLEAN", bool), ("LIST", list), ("STRUCT", dict)):
        if kind == other and isinstance(value, cls):
            return value
    raise invalid(f"runtime_config.parameter_values: {name}: should be {kind}, not {json.dumps(value)[:60]}.")


def filled(spec: dict[str, Any], placeholders: dict[str, str]) -> dict[str, Any]:
    """The spec with the job's placeholders as their values, wherever they stand."""
    text = json.dumps(spec)
    for name, value in placeholders.items():
        text = text.replace("{{$." + name + "}}", json.dumps(value)[1:-1])
    filled_in: dict[str, Any] = json.loads(text)
    return filled_in


def tasks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every task that is a step (not a condition or a loop, which are pipelines in the pipeline), with its component, in the spec's order."""
    found: dict[str, dict[str, Any]] = {}

    def walk(component: dict[str, Any]) -> None:
        for name, task in component["dag"]["tasks"].items():
            inner = spec["components"][task["componentRef"]["name"]]
            if "dag" in inner:
                walk(inner)
            else:
                found.setdefault(name, inner)

    walk(spec["root"])
    return found
