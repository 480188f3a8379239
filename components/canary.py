"""Acts, inside the gate: a share of the requests, watched."""

from components.base import pipeline_component


@pipeline_component("deploy")
def canary(
    target: str,
    releases: str,
    line: str,
    serving: dict,
    release: str,
    champion_release: str,
    policy: dict,
    smoke_tested: int,
    run: str,
) -> str:
    """Give the release a share of the requests beside what is live, and judge it by policy; a bad one is rolled back, and the run fails."""
    from churn.deployment.canary import CanaryPolicy
    from churn.deployment.deploy import canary as canary_release

    watched = CanaryPolicy.of(policy, "parameter canary")
    line_said = canary_release(target, releases, line, serving, release, policy=watched, expected=champion_release, run=run)
    print(f"{line_said} (smoke test: {smoke_tested} rows)")
    return line_said
