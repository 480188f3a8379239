"""Settings: one typed object for each target, from configs/environments/TARGET.yaml and environment variables, checked when it is read."""

import os
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import pydantic
from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from churn.platform.checked import read_yaml, words
from churn.platform.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = CHECKOUT / "configs"
_PREFIX = "CHURN_"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BUCKET = r"^$|^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$"


class _Settings(BaseSettings):
    """What every settings object does: the environment's variable CHURN_NAME over the file's name, unknown names refused."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[Any, ...]:
        """Variables win over the file; which target it is, the file alone says (CHURN_TARGET only chooses the file)."""
        return (lambda: {name: value for name, value in env_settings().items() if name != "target"}, init_settings)

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> Self:
        """Build it from a file's values and the environment.

        Raises:
            ConfigError: every wrong setting by name, with the variable that sets it and an example.
        """
        try:
            return cls(**values)
        except pydantic.ValidationError as error:
            raise ConfigError(f"{where}: {'; '.join(cls._wrong(each) for each in error.errors())}") from None

    @classmethod
    def _wrong(cls, error: Any) -> str:
        name = str(error["loc"][0]) if error["loc"] else ""
        field = cls.model_fields.get(name)
        if field is None or error["type"] == "extra_forbidden":
            return words(cls, error)
        example = f", for example {field.examples[0]}" if field.examples else ""
        return f"{words(cls, error)}: set it there or with {_PREFIX}{name.upper()}{example}"


class Environment(_Settings):
    """What every target has: one file of configs/environments/.

    target: where models go live. pipeline_root, releases: folders, paths below the workspace or URIs. tracking_uri: MLflow's store or server;
    empty: none. webhook_env: the name of the variable with the webhook's URL. serving: what the target needs to serve (its own policy checks it).
    """

    target: Literal["local", "vertex", "sagemaker"]
    pipeline_root: str = ""
    releases: str = ""
    tracking_uri: str = Field("", examples=["http://mlflow.internal:5000"])
    webhook_env: str = ""
    serving: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def read(cls, target: str | None = None) -> "Environment":
        """The environment of a target: the one named, else CHURN_TARGET, else local. Ambient cloud variables decide nothing.

        Raises:
            ConfigError: no such target, or a wrong setting.
        """
        name = target or os.environ.get("CHURN_TARGET") or "local"
        path = CONFIGS / "environments" / f"{name}.yaml"
        if not path.exists():
            known = ", ".join(sorted(each.stem for each in path.parent.glob("*.yaml")))
            raise ConfigError(f"target {name!r} is not known; there are: {known} (configs/environments/)")
        values = read_yaml(path)
        kinds: dict[str, type[Environment]] = {"vertex": VertexEnvironment, "sagemaker": SageMakerEnvironment}
        kind = kinds.get(str(values.get("target")), Environment)
        # A file has '' where a team puts its own: not set is what that means.
        given = {key: value for key, value in values.items() if value != ""}
        return kind.of(given, f"target {name}: {path.relative_to(CONFIGS.parent)}")

    def local_tracking_uri(self) -> str:
        """MLFLOW_TRACKING_URI where it is set, else the environment's, a relative SQLite path made absolute."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or self.tracking_uri
        prefix = "sqlite:///"
        return f"{prefix}{workspace() / uri.removeprefix(prefix)}" if uri.startswith(prefix) else uri

    def places(self) -> dict[str, Any]:
        """Where a run keeps things, as pipeline parameters: a local run's as absolute paths."""
        return {
            "target": self.target,
            "releases": self.releases if "://" in self.releases else str(workspace() / self.releases),
            "tracking_uri": self.local_tracking_uri(),
            "webhook_env": self.webhook_env,
            "serving": self.serving,
        }


class VertexEnvironment(Environment):
    """Google Cloud: where pipelines run and models are served."""

    target: Literal["vertex"]
    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", examples=["my-project-123"])
    region: str = Field("us-central1", pattern=r"^[a-z]+-[a-z]+[0-9]$", examples=["us-central1"])
    bucket: str = Field("", pattern=_BUCKET, examples=["my-project-churn"])
    image_repository: str = Field("", examples=["us-central1-docker.pkg.dev/my-project-123/churn"])
    kfp_repository: str = Field("", pattern=r"^$|^https?://", examples=["https://us-central1-kfp.pkg.dev/my-project-123/churn-pipelines"])
    service_account: str = Field("", pattern=r"^$|^[^@\s]+@[^@\s]+$", examples=["churn-pipeline@my-project-123.iam.gserviceaccount.com"])
    network: str = Field("", pattern=r"^$|^projects/[^/]+/global/networks/[^/]+$", examples=["projects/123456/global/networks/default"])
    kms_key: str = Field(
        "", pattern=r"^$|^projects/.+/cryptoKeys/[^/]+$", examples=["projects/p/locations/us-central1/keyRings/churn/cryptoKeys/churn"]
    )
    failure_policy: Literal["fast", "slow"] = Field("fast", examples=["fast"])
    max_cost_usd: float = Field(10.0, gt=0, examples=["10"])

    @pydantic.model_validator(mode="before")
    @classmethod
    def _derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """What follows from project, region and bucket, where it is not given."""
        project = values.get("project", "")
        known = {
            "project": project,
            "region": values.get("region", "us-central1"),
            "bucket": values.get("bucket") or (f"{project}-churn" if project else ""),
        }
        if not all(isinstance(value, str) for value in known.values()):
            return values
        derived = {
            "pipeline_root": "gs://{bucket}/pipeline",
            "releases": "gs://{bucket}/releases",
            "image_repository": "{region}-docker.pkg.dev/{project}/churn",
            "kfp_repository": "https://{region}-kfp.pkg.dev/{project}/churn-pipelines",
        }
        return values | {"bucket": known["bucket"]} | {name: values.get(name) or text.format(**known) for name, text in derived.items()}

    def local_tracking_uri(self) -> str:
        """The tracking server's address, '' where there is none: a store on this machine is not one for a run elsewhere."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or self.tracking_uri
        if uri and not uri.startswith(("http://", "https://")):
            raise ConfigError(
                f"tracking_uri: {uri!r} is a store on one machine, and would die with its container; set CHURN_TRACKING_URI to a server's "
                "address, for example http://mlflow.internal:5000, or leave it empty: Vertex's own metadata and model registry keep the run then"
            )
        return uri

    def places(self) -> dict[str, Any]:
        """The same, with project, region and key in what the target needs to serve."""
        key = {"kms_key": self.kms_key} if self.kms_key else {}
        return super().places() | {"serving": {**self.serving, "project": self.project, "region": self.region, **key}}


class SageMakerEnvironment(Environment):
    """Amazon SageMaker: where models are served; pipelines run here."""

    target: Literal["sagemaker"]
    aws_region: str = Field("us-east-1", pattern=r"^[a-z]+(-[a-z]+)+-[0-9]$", examples=["us-east-1"])
    s3_bucket: str = Field(pattern=_BUCKET, min_length=3, examples=["my-company-churn"])
    sagemaker_role: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$", examples=["arn:aws:iam::123456789012:role/churn"])

    @pydantic.model_validator(mode="before")
    @classmethod
    def _derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values | {"releases": values.get("releases") or f"s3://{values.get('s3_bucket', '')}/releases"}

    def places(self) -> dict[str, Any]:
        """The same, with the region and the role in what the target needs to serve."""
        return super().places() | {"serving": {**self.serving, "region": self.aws_region, "role": self.sagemaker_role}}


class CloudApi(_Settings):
    """Where cloud services answer, and how long a call may take. Read by a step too: in the cloud nothing is set, and the services' own addresses hold.

    vertex_api_endpoint: another address than Vertex AI's own, http://HOST:PORT or HOST:PORT. vertex_transport: grpc, or rest (which can be plain
    HTTP). api_timeout: seconds, for each call.
    """

    vertex_api_endpoint: str = Field("", pattern=r"^$|^(https?://)?[\w.-]+(:\d+)?$", examples=["us-central1-aiplatform.googleapis.com"])
    vertex_transport: Literal["grpc", "rest"] = Field("grpc", examples=["grpc"])
    api_timeout: float = Field(60.0, gt=0, examples=["60"])

    @classmethod
    def read(cls) -> Self:
        """From the environment's variables CHURN_VERTEX_API_ENDPOINT, CHURN_VERTEX_TRANSPORT and CHURN_API_TIMEOUT."""
        return cls.of({}, "the environment")


def is_loopback(address: str) -> bool:
    """True where an address, with or without a scheme, is this machine's own."""
    return urlsplit(address if "//" in address else f"//{address}").hostname in _LOOPBACK


def workspace() -> Path:
    """The folder for runs/, releases/, mlruns/ and .cache/: CHURN_WORKSPACE, else the checkout."""
    named = os.environ.get("CHURN_WORKSPACE")
    return Path(named).resolve() if named else CHECKOUT
