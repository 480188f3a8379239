"""Acts, inside the gate: rows of known score."""

from components.base import pipeline_component


@pipeline_component("deploy")
def smoke_test(target: str, releases: str, line: str, serving: dict, release: str) -> int:
    """Start the server with the release and probe it with rows of known score; gives how many answered right."""
    from churn.deployment.deploy import smoke

    return smoke(target, releases, line, serving, release)
