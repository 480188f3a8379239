"""Where things are: the checkout, the workspace, the environment that a command works in."""

import os
from pathlib import Path
from typing import Literal

from churn.platform.checked import Checked, read_yaml
from churn.platform.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = CHECKOUT / "configs"


class Environment(Checked):
    """One file of configs/environments/."""

    target: Literal["local"]
    pipeline_root: str
    releases: str
    tracking_uri: str
    webhook_env: str = ""

    @classmethod
    def read(cls, target: str | None = None) -> "Environment":
        """The environment of a target: the one named, else CHURN_TARGET, else local. Ambient cloud variables decide nothing.

        Raises:
            ConfigError: no such target, or a wrong file.
        """
        name = target or os.environ.get("CHURN_TARGET") or "local"
        path = CONFIGS / "environments" / f"{name}.yaml"
        if name == "vertex" and not path.exists():
            raise ConfigError(
                "target vertex: no Google Cloud project is configured (there is no configs/environments/vertex.yaml); "
                "run locally with --target local, or see 'Going to Vertex AI' in README.md"
            )
        if not path.exists():
            known = ", ".join(sorted(each.stem for each in path.parent.glob("*.yaml")))
            raise ConfigError(f"target {name!r} is not known; there are: {known} (configs/environments/)")
        return cls.of(read_yaml(path), str(path))

    def local_tracking_uri(self) -> str:
        """MLFLOW_TRACKING_URI where it is set, else the environment's, a relative SQLite path made absolute."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or self.tracking_uri
        prefix = "sqlite:///"
        return f"{prefix}{workspace() / uri.removeprefix(prefix)}" if uri.startswith(prefix) else uri


def workspace() -> Path:
    """The folder for runs/, releases/, mlruns/ and .cache/: CHURN_WORKSPACE, else the checkout."""
    named = os.environ.get("CHURN_WORKSPACE")
    return Path(named).resolve() if named else CHECKOUT
