"""From configs/ to a pipeline's parameters: each fact in exactly one, checked before anything runs."""

from typing import Any

from churn.data.datasets import DatasetFile, read_dataset
from churn.data.mapping import DatasetMapping
from churn.deployment.canary import CanaryPolicy
from churn.deployment.targets import releases
from churn.evaluation.policy import GatePolicy
from churn.features.definition import ChurnDefinition
from churn.platform.checked import read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import CONFIGS
from churn.training.policy import TrainingPolicy

DEFAULT_DATASET = "cdnow"


def training_defaults() -> dict[str, Any]:
    """The training pipeline's parameters as configs/ has them, with the default dataset and the local environment's relative paths."""
    local = read_yaml(CONFIGS / "environments" / "local.yaml")
    policy = read_yaml(CONFIGS / "churn.yaml")
    places = {name: local[name] for name in ("target", "releases", "tracking_uri", "webhook_env")} | {"serving": {}}
    values = {
        **policy["churn"],
        **policy["gate"],
        "seed": policy["seed"],
        "bootstrap_rounds": policy["bootstrap_rounds"],
        "training": read_yaml(CONFIGS / "training.yaml"),
        "canary": read_yaml(CONFIGS / "canary.yaml"),
        "as_of": "",
        "release_line": "",
        "git_commit": "",
    }
    return {**values, **places, **dataset_parameters(read_dataset(DEFAULT_DATASET))}


def dataset_parameters(dataset: DatasetFile) -> dict[str, Any]:
    """What a dataset's file says, as parameters: dataset (the mapping), source, tickets_source, and the churn fields that it overrides.

    Raises:
        ConfigError: churn: names a field that is not one.
    """
    unknown = sorted(set(dataset.churn) - set(ChurnDefinition.model_fields))
    if unknown:
        fields = ", ".join(ChurnDefinition.model_fields)
        raise ConfigError(f"{dataset.path}: churn: has no field {', '.join(unknown)}; a dataset may override {fields}")
    return {"dataset": dataset.mapping, "source": dataset.source, "tickets_source": dataset.tickets_source, **dataset.churn}


def check_training(values: dict[str, Any]) -> None:
    """Check the parameters as the steps will.

    Raises:
        ConfigError: the first parameter that is wrong.
    """
    for policy in (ChurnDefinition, GatePolicy):
        policy.of({name: values[name] for name in policy.model_fields}, "parameters")
    DatasetMapping.of(values["dataset"], "parameter dataset")
    TrainingPolicy.of(values["training"], "parameter training")
    CanaryPolicy.of(values["canary"], "parameter canary")
    if not values["source"]:
        raise ConfigError("source is empty: name the transactions' file with --param source=PATH, or source: in the dataset's file")
    if values["seed"] < 0:
        raise ConfigError(f"seed: should be 0 or more (given: {values['seed']})")
    # Made, not asked: it checks the line's name and what the target needs, and reaches no service.
    line = values["release_line"] or f"{values['dataset']['name']}-{values['horizon_days']}d"
    releases(values["target"], values["releases"], line, values["serving"])
    if values["bootstrap_rounds"] < 100:
        raise ConfigError(f"bootstrap_rounds: at least 100 make an interval (given: {values['bootstrap_rounds']})")
