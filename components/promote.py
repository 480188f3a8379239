"""Acts, inside the gate: what is live."""

from kfp.dsl import Artifact, Input

from components.base import pipeline_component


@pipeline_component("deploy")
def promote(
    target: str,
    releases: str,
    line: str,
    serving: dict,
    release: str,
    model_sha256: str,
    champion_release: str,
    canary: str,
    tracking_uri: str,
    pipeline_root: str,
    run: str,
    judgement: Input[Artifact],
    version: str,
    tracked_run: str,
) -> bool:
    """Make the release live, only if what is live still is what this run compared with; gives whether its model is live."""
    from churn.deployment.deploy import promote as promote_release

    moved = promote_release(
        target,
        releases,
        line,
        serving,
        release,
        model_sha256,
        expected=champion_release,
        tracking_uri=tracking_uri,
        pipeline_root=pipeline_root,
        run=run,
        judgement=judgement.path,
        version=version,
        tracked_run=tracked_run,
    )
    print(f"{release} is live" + ("" if moved else " already") + f" ({canary})")
    return True
