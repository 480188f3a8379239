"""Looks: what is live on this target in this release line."""

from typing import NamedTuple

from kfp.dsl import Model, Output

from components.base import pipeline_component


@pipeline_component("deploy")
def find_champion(
    target: str, releases: str, release_line: str, serving: dict, dataset: dict, horizon_days: int, champion: Output[Model]
) -> NamedTuple("Found", [("line", str), ("release", str), ("model_sha256", str)]):  # type: ignore[valid-type]
    """Find the live release of the line and bring its model; without one the artifact is empty and says so.

    Args:
        target: where releases live: local, vertex or sagemaker.
        releases: the folder of all release lines.
        release_line: the line's name; empty: the dataset and the horizon.
        serving: what a cloud target needs to serve.
        dataset: the dataset's mapping, for its name.
        horizon_days: for the line's name.
        champion: the live model.
    """
    from churn.deployment.champion import find_champion as find

    found = find(target, releases, release_line or f"{dataset['name']}-{horizon_days}d", champion.path, serving)
    champion.metadata.update(release=found.release, model_sha256=found.model_sha256, empty=not found.release, damage=found.damage)
    return (found.line, found.release, found.model_sha256)
