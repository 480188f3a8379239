"""Acts, outside the gate: records why."""

from kfp.dsl import Artifact, Input

from components.base import pipeline_component


@pipeline_component("deploy")
def hold(target: str, line: str, champion_release: str, judgement: Input[Artifact], tracked_run: str, pipeline_root: str, run: str) -> None:
    """Record why the model does not go live; what is live stays live."""
    from churn.deployment.deploy import hold as hold_release

    hold_release(target, line, champion_release, judgement.path, tracked_run=tracked_run, pipeline_root=pipeline_root, run=run)
