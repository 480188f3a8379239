"""The releases of a line on a target: the one place that chooses."""

from pathlib import Path
from typing import Any

from churn.deployment.releases import Releases, check_line
from churn.platform import storage
from churn.platform.errors import ConfigError


def releases(target: str, root: str | Path, line: str, serving: dict[str, Any] | None = None) -> Releases:
    """The releases of a line.

    Args:
        target: local, vertex or sagemaker.
        root: the folder, or gs:// or s3:// URI, of all release lines.
        line: the release line.
        serving: what a cloud target needs to serve: project, region, machine type, replicas, image (its policy checks it).

    Raises:
        ConfigError: a target or a line that cannot be, or a wrong setting.
    """
    check_line(line)
    if target == "local":
        from churn.deployment.local import LocalReleases

        return LocalReleases(root, line)
    if target == "vertex":
        from churn.deployment.vertex import VertexReleases, VertexServing

        return VertexReleases(str(root), line, VertexServing.of(serving or {}, "parameter serving"))
    if target == "sagemaker":
        from churn.deployment.sagemaker import SageMakerReleases, SageMakerServing

        return SageMakerReleases(str(root), line, SageMakerServing.of(serving or {}, "parameter serving"))
    raise ConfigError(f"target {target!r} is not known here: local, vertex, sagemaker")


def lines(target: str, root: str | Path) -> list[str]:
    """The release lines of a target in which something went live."""
    if target == "local":
        from churn.deployment.local import lines as local_lines

        return local_lines(root)
    return sorted({name.partition("/")[0] for name in storage.names(str(root)) if name.count("/") == 1 and name.endswith("/history.json")})
