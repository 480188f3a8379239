"""Acts, inside the gate: the release, not yet live."""

from kfp.dsl import Artifact, Input, Metrics, Model

from components.base import pipeline_component


@pipeline_component("deploy")
def deploy(
    target: str,
    releases: str,
    line: str,
    serving: dict,
    model: Input[Model],
    model_sha256: str,
    evaluation: Input[Artifact],
    metrics: Input[Metrics],
    version: str,
    run: str,
    git_commit: str,
    content: str,
) -> str:
    """Lay the model down as a release on the target, whole or not at all; gives the release's name."""
    from churn.deployment.deploy import deploy as deploy_release

    provenance = {"run": run, "git_commit": git_commit, "data_fingerprint": content, "registered_version": version}
    name, new = deploy_release(target, releases, line, serving, model.path, model_sha256, evaluation.path, metrics.metadata, provenance)
    print(f"{name}" + ("" if new else ": there already"))
    return name
