"""The serving contract: instances in, predictions out, in order. A wrong request is refused with the name of what is wrong."""

import hashlib
from typing import Any

import numpy as np

from churn.platform.errors import InputError
from churn.training.model import ChurnModel

_MOST_NAMED = 5
_LARGEST = float(np.finfo(np.float32).max)  # what the model computes with


def answer(model: ChurnModel, body: Any, canary: tuple[ChurnModel, int] | None = None) -> dict[str, Any]:
    """The predictions for a request body.

    Args:
        model: what answers.
        canary: a model of the same features that answers for this percent of the customers, always the same ones.
        body: {"instances": [{feature: number or null, …, "customer_id": optional}], "parameters": optional object}.

    Returns:
        {"predictions": [{"churn_probability", "churn", "model_version", "customer_id" where given}]}, in the order of the instances.

    Raises:
        InputError: what is wrong with the request, by name.
    """
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
        raise InputError('the body should be a JSON object with a list "instances"')
    if body.get("parameters") is not None and not isinstance(body["parameters"], dict):
        raise InputError('"parameters" should be an object')
    instances = body["instances"]
    matrix = np.empty((len(instances), len(model.features)), dtype=np.float32)
    for number, instance in enumerate(instances):
        matrix[number] = _row(instance, model.features, number)
    probabilities = model.score(matrix) if instances else np.empty(0)
    predictions = [
        {"churn_probability": float(p), "churn": bool(p >= model.threshold), "model_version": model.sha256[:12]}
        | ({"customer_id": instance["customer_id"]} if "customer_id" in instance else {})
        for p, instance in zip(probabilities, instances, strict=True)
    ]
    if canary:
        _share(predictions, instances, *canary)
    return {"predictions": predictions}


def _share(predictions: list[dict[str, Any]], instances: list[dict[str, Any]], canary: ChurnModel, percent: int) -> None:
    """Put the canary's answers in the place of those of its customers."""
    places = [number for number, instance in enumerate(instances) if in_share(instance.get("customer_id"), percent)]
    answers = answer(canary, {"instances": [instances[number] for number in places]})["predictions"]
    for number, prediction in zip(places, answers, strict=True):
        predictions[number] = prediction


def in_share(customer_id: Any, percent: int) -> bool:
    """Whether a customer is among this percent of all: by a hash, so that each is always answered by the same model. Nobody is not."""
    if customer_id is None:
        return False
    return int.from_bytes(hashlib.sha256(str(customer_id).encode("utf-8", "surrogatepass")).digest()[:8]) % 100 < percent


def _row(instance: Any, features: tuple[str, ...], number: int) -> list[float]:
    if not isinstance(instance, dict):
        raise InputError(f"instance {number} should be an object of feature name to number or null")
    unknown = sorted(set(instance) - set(features) - {"customer_id"})
    missing = [name for name in features if name not in instance]
    for what, names in (("has unknown features", unknown), ("lacks features", missing)):
        if names:
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            raise InputError(f"instance {number} {what}: {', '.join(names[:_MOST_NAMED])}{more}")
    _check_customer_id(instance.get("customer_id"), number)
    return [_number(instance[name], name, number) for name in features]


def _check_customer_id(value: Any, number: int) -> None:
    # It is sent back as it came, and NaN is not JSON.
    if not (value is None or isinstance(value, str) or (_is_number(value) and abs(value) < float("inf"))):
        raise InputError(f"instance {number}: customer_id should be text, a number or null, not {str(value)[:40]!r}")


def _number(value: Any, name: str, number: int) -> float:
    if value is None:
        return float("nan")
    if not _is_number(value) or not abs(value) <= _LARGEST:
        raise InputError(f"instance {number}: {name} should be a finite number or null, not {str(value)[:40]!r}")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
