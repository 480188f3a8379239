"""Acts, inside the gate: the model as a version of the line's registered model."""

from kfp.dsl import Input, Model

from components.base import pipeline_component


@pipeline_component("deploy")
def register(tracking_uri: str, line: str, model: Input[Model], model_sha256: str, tracked_run: str, git_commit: str, content: str) -> str:
    """Register the model with its signature, in staging; a model that is registered already keeps its version. Gives the version."""
    from churn.registry.versions import register as register_version

    tags = {"git_commit": git_commit, "data_fingerprint": content}
    version, new = register_version(
        tracking_uri, line=line, model=model.path, model_sha256=model_sha256, tracked_run=tracked_run, tags=tags
    )
    known = "" if new else ": registered already"
    print(f"{line} version {version}{known}" if version else "no tracking server is set: the target's own model registry keeps the version")
    return version
