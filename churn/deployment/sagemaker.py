"""Releases on Amazon SageMaker: a Model for each release, one endpoint whose configuration has a variant for each that answers, weights that share.

Everything has a name of its own (the Model's from the release, the endpoint's from the line, a configuration's from what it holds), so a call that was
made twice, because its answer was lost or its caller killed, finds its work done.
"""

import gzip
import io
import json
import logging
import math
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from churn.deployment.canary import Answer
from churn.deployment.releases import Release, Traffic
from churn.deployment.remote import RemoteReleases
from churn.platform import storage
from churn.platform.aws import asked_aws, aws_client, unless_missing
from churn.platform.checked import Checked
from churn.platform.errors import ConfigError, StateError
from churn.platform.files import sha256_json
from churn.platform.retries import retried, status, waited

T = TypeVar("T")
log = logging.getLogger(__name__)
_IMAGE = r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/[a-z0-9][a-z0-9._/-]*(:[\w.-]+|@sha256:[0-9a-f]{64})"
_IMAGE_EXAMPLE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn-serve:1.4.0"
_ROLE = r"arn:aws[a-z-]*:iam::\d{12}:role/.+"
_LONGEST = 63  # of any name on SageMaker
_HASH = 12  # digits of a hash in a name
_UNDER_WAY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})


class SageMakerServing(Checked):
    """What serving on SageMaker needs: the pipeline parameter serving.

    role: that SageMaker takes to read the model and the image. image: the server's, a full reference in ECR; empty: the one that the release was made with.
    instances: of what is live; a canary has its percent of them, and one at least. keep_versions: Models that are kept besides those that answer.
    minutes: as long is a change of the endpoint waited for.
    """

    region: str = Field(pattern=r"^[a-z]+(-[a-z]+)+-[0-9]$", examples=["us-east-1"])
    role: str = Field("", examples=["arn:aws:iam::123456789012:role/churn"])
    image: str = Field("", examples=[_IMAGE_EXAMPLE])
    instance_type: str = Field("ml.m5.large", examples=["ml.m5.large"])
    instances: int = Field(2, ge=1)
    keep_versions: int = Field(5, ge=1)
    minutes: float = Field(45, gt=0)

    @field_validator("role", "image", "instance_type")
    @classmethod
    def _formed(cls, value: str, info: Any) -> str:
        forms = {"role": _ROLE, "image": _IMAGE, "instance_type": r"ml\.[a-z0-9-]+\.[a-z0-9-]+"}
        what = {"role": "the ARN of a role", "image": "a full reference in ECR, with a tag or digest", "instance_type": "an instance type"}
        if not re.fullmatch(forms[info.field_name], value) and (value or info.field_name != "image"):
            raise ValueError(f"should be {what[info.field_name]}, for example {cls.model_fields[info.field_name].examples[0]}")  # type: ignore[index]
        return value

    @model_validator(mode="after")
    def _one_region(self) -> Self:
        found = re.fullmatch(_IMAGE, self.image)
        if found and found["region"] != self.region:
            raise ValueError(
                f"image: it is in {found['region']}, and SageMaker in {self.region} takes none from there; push it to {self.region}"
            )
        return self


class SageMakerReleases(RemoteReleases):
    """The releases of one line on SageMaker.

    An endpoint has no etag: who answers is looked at again right before it is changed, and the service refuses a change while another is under way.
    Between that look and the change, a whole change of somebody else's would have to begin and end to be lost.
    """

    target = "sagemaker"

    def __init__(self, root: str, line: str, serving: SageMakerServing) -> None:
        super().__init__(root, line)
        self._serving = serving
        self._name = f"churn-{line}"
        most = _LONGEST - len("churn--") - _HASH
        if len(line) > most or line.endswith("-"):
            raise ConfigError(
                f"release line {line!r}: {most} characters at the most, the last of them no hyphen, fit the names of SageMaker; "
                "give another release_line"
            )

    def traffic(self) -> Traffic:
        """Who answers now: the variant with the largest weight is live, another one that has any is the canary. A change under way is not waited for."""
        return _traffic(self._look())

    @contextmanager
    def endpoint(self) -> Iterator[Callable[[list[dict[str, Any]]], Answer]]:
        """The line's endpoint: each answer says which variant gave it."""
        yield self._ask

    def batch(self, name: str, source: str, out: str) -> str:
        """Not there.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("batch prediction is there on the targets local and vertex, not on sagemaker; use --target local")

    def _install(self, release: Release) -> bool:
        """Create the release's Model; False where it is there. One of another image or role, which answers nobody, is made anew: a wrong one can be mended."""
        return self._create_model(release, self._serving.image or _image(release))

    def _ensure_model(self, name: str) -> None:
        """A release's Model as it was, with the image that it had; created where it was tidied away."""
        if self._call(f"look at the Model of {name}", lambda: self._model(name)) is None:
            release = self.get(name)
            self._create_model(release, _image(release) or self._serving.image)

    def _create_model(self, release: Release, image: str) -> bool:
        if not image:
            raise ConfigError(
                f"serving.image: {release.name} was made without one; set CHURN_SERVING__IMAGE, for example to {_IMAGE_EXAMPLE}"
            )
        used, role = _used(self._look()), self._serving.role
        container = {"Image": image, "ModelDataUrl": f"{self.uri}/{release.name}.tar.gz"}
        name = self._model_name(release.name)

        def make() -> bool:
            found = self._model(release.name)
            if found and (release.name in used or (found["PrimaryContainer"], found["ExecutionRoleArn"]) == (container, role)):
                return False
            if found:
                self._sagemaker().delete_model(ModelName=name)
            self._sagemaker().create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role, Tags=self._tags(release))
            return True

        self._upload(release)
        return self._call(f"create the Model {name}", make)

    def _model(self, name: str) -> dict[str, Any] | None:
        found = unless_missing(lambda: self._sagemaker().describe_model(ModelName=self._model_name(name)))
        if found is None:
            return None
        container = {each: found["PrimaryContainer"].get(each) for each in ("Image", "ModelDataUrl")}
        return {**found, "PrimaryContainer": container}

    def _upload(self, release: Release) -> None:
        """The model as SageMaker unpacks it, beside the release (whose folder is sealed), once."""
        with tempfile.TemporaryDirectory(prefix="churn-archive-") as folder:
            storage.upload_once(pack(release.model, Path(folder) / "model.tar.gz"), f"{self.uri}/{release.name}.tar.gz")

    def _tags(self, release: Release) -> list[dict[str, str]]:
        provenance = release.facts["provenance"]
        told = {
            "line": self.line,
            "release": release.name,
            "commit": provenance.get("git_commit"),
            "data_fingerprint": provenance.get("data_fingerprint"),
            "run": provenance.get("run"),
        }
        return [{"Key": f"churn:{name}", "Value": tag(str(value))} for name, value in told.items() if value]

    def _line_tag(self) -> list[dict[str, str]]:
        return [{"Key": "churn:line", "Value": self.line}]

    def _route(self, new: Traffic, seen: Traffic) -> None:
        found = self._settled()
        now = _traffic(found)
        if now not in (seen, new):
            raise StateError(f"who answers in {self.line} changed from {seen.words()} to {now.words()} since it was looked at; run again")
        config = self._configuration(new)
        if now == new and found and found["EndpointConfigName"] == config:
            return
        if found and found["EndpointStatus"] != "InService":
            self._remove_failed(found)
            found = None
        self._configure(config, new)
        if found is None:
            self._create(config)
        else:
            self._update(config)
        if new.canary:
            self._weigh(new, config)
        if (now := self.traffic()) != new:
            raise StateError(f"{new.words()} should answer in {self.line}, and {now.words()} does: somebody else changed it; run again")

    def _remove_failed(self, found: dict[str, Any]) -> None:
        """Delete an endpoint whose creation failed: the service takes nothing else for it.

        Raises:
            StateError: something answers there still, which is not for a program to end.
        """
        if _traffic(found).live:
            raise StateError(
                f"endpoint {self._name} is {found['EndpointStatus']}{_why(found)}; SageMaker changes it no more: delete it "
                f"(aws sagemaker delete-endpoint --endpoint-name {self._name}), which ends its answers, and promote again"
            )
        self._call(f"delete the failed endpoint {self._name}", self._delete_endpoint)
        self._settled()

    def _delete_endpoint(self) -> None:
        found = self._describe()
        if found and found["EndpointStatus"] == "Failed":
            unless_missing(lambda: self._sagemaker().delete_endpoint(EndpointName=self._name))

    def _configure(self, config: str, new: Traffic) -> None:
        """Create the configuration, and the Models in it, unless they are there."""
        for name in filter(None, (new.live, new.canary)):
            self._ensure_model(name)

        def make() -> None:
            if unless_missing(lambda: self._sagemaker().describe_endpoint_config(EndpointConfigName=config)) is None:
                self._sagemaker().create_endpoint_config(
                    EndpointConfigName=config, ProductionVariants=self._production(new), Tags=self._line_tag()
                )

        self._call(f"create the endpoint configuration {config}", make)

    def _production(self, new: Traffic) -> list[dict[str, Any]]:
        """The variants of a configuration: a canary's weight is 0, until all of it is in service."""
        share = max(1, math.ceil(self._serving.instances * new.percent / 100))
        parts = [(new.live, self._serving.instances, 1.0), *([(new.canary, share, 0.0)] if new.canary else [])]
        return [
            {
                "VariantName": name,
                "ModelName": self._model_name(name),
                "InstanceType": self._serving.instance_type,
                "InitialInstanceCount": count,
                "InitialVariantWeight": weight,
            }
            for name, count, weight in parts
        ]

    def _configuration(self, new: Traffic) -> str:
        """The name of a configuration, by what it holds."""
        return f"{self._name}-{sha256_json(self._production(new))[:_HASH]}"

    def _create(self, config: str) -> None:
        def make() -> None:
            if self._describe() is None:
                self._sagemaker().create_endpoint(EndpointName=self._name, EndpointConfigName=config, Tags=self._line_tag())

        self._call(f"create the endpoint {self._name}", make)
        self._arrived(config)

    def _update(self, config: str) -> None:
        def change() -> None:
            found = self._describe()
            # One that is not in service has taken this call already, its answer was lost; where it was another's, _arrived finds it out.
            if found and found["EndpointStatus"] == "InService" and found["EndpointConfigName"] != config:
                self._sagemaker().update_endpoint(EndpointName=self._name, EndpointConfigName=config)

        self._call(f"update the endpoint {self._name}", change)
        self._arrived(config)

    def _weigh(self, new: Traffic, config: str) -> None:
        wanted = {new.live: 100.0 - new.percent, new.canary: float(new.percent)}
        weights = [{"VariantName": name, "DesiredWeight": weight} for name, weight in wanted.items()]

        def change() -> None:
            found = self._describe()
            if found and found["EndpointStatus"] == "InService" and _variants(found) != wanted:
                self._sagemaker().update_endpoint_weights_and_capacities(EndpointName=self._name, DesiredWeightsAndCapacities=weights)

        self._call(f"shift weights of the endpoint {self._name}", change)
        self._arrived(config)

    def _arrived(self, config: str) -> None:
        """Wait until the endpoint is in service with a configuration.

        Raises:
            StateError: it is not, and why.
        """
        found = self._settled()
        if found and (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", config):
            return
        stands = f"{_traffic(found).live or 'nothing'} answers" if found else "it is gone"
        raise StateError(
            f"endpoint {self._name} did not take the configuration {config}{_why(found)}; {stands}; see the container's log "
            f"(/aws/sagemaker/Endpoints/{self._name}), and run again"
        )

    def _settled(self) -> dict[str, Any] | None:
        """The endpoint when nothing is under way, whoever began it; None where there is none."""

        def look() -> tuple[dict[str, Any] | None] | None:
            found = self._look()
            return None if found and found["EndpointStatus"] in _UNDER_WAY else (found,)

        return waited(look, what=f"endpoint {self._name}", seconds=60 * self._serving.minutes)[0]

    def _look(self) -> dict[str, Any] | None:
        return self._call(f"look at the endpoint {self._name}", self._describe)

    def _describe(self) -> dict[str, Any] | None:
        return unless_missing(lambda: self._sagemaker().describe_endpoint(EndpointName=self._name))

    def _ask(self, instances: list[dict[str, Any]]) -> Answer:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        runtime = aws_client("sagemaker-runtime", self._serving.region)
        body = json.dumps({"instances": instances}, allow_nan=False)
        try:
            # No second try: a customer's program meets each failure too.
            said = runtime.invoke_endpoint(EndpointName=self._name, ContentType="application/json", Accept="application/json", Body=body)
            return _answer(said.get("InvokedProductionVariant", ""), said["Body"].read())
        except ClientError as error:
            return _refusal(error.response)
        except BotoCoreError as error:
            return Answer("", error=" ".join(str(error).split())[:200], status=status(error) or 503)

    def _tidy(self) -> None:
        """Delete the configurations that are not in use, and the oldest Models beyond the number that is kept. What answers is never at stake."""
        found = self._look()
        if found is None or found["EndpointStatus"] != "InService":
            return  # somebody changes it: the next one tidies
        for config in self._named("endpoint_configs", "EndpointConfigName"):
            if config != found["EndpointConfigName"]:
                self._delete("endpoint_config", "EndpointConfigName", config)
        for name in self._old_models(set(_variants(found))):
            self._delete("model", "ModelName", self._model_name(name))

    def _old_models(self, answering: set[str]) -> list[str]:
        """The releases whose Models are too many: those that answer are not counted, the newest are kept."""
        names = [f"r-{name.rpartition('-')[2]}" for name in self._named("models", "ModelName")]
        idle = [name for name in names if name not in answering]
        if len(idle) <= self._serving.keep_versions:
            return []
        newest = sorted(idle, key=lambda name: (self._created(name), name), reverse=True)
        return newest[self._serving.keep_versions :]

    def _created(self, name: str) -> str:
        try:
            return str(self.facts(name)["created"])
        except ConfigError:
            return ""  # a Model whose release is gone goes first

    def _named(self, kind: str, key: str) -> list[str]:
        """The names of this line's own: another line's may begin the same."""
        own = re.compile(rf"{re.escape(self._name)}-[0-9a-f]{{{_HASH}}}")
        wire = {"endpoint_configs": "EndpointConfigs", "models": "Models"}[kind]

        def pages() -> list[Any]:
            return list(self._sagemaker().get_paginator(f"list_{kind}").paginate(NameContains=f"{self._name}-"))

        found = [each[key] for page in self._call(f"list {kind} of {self._name}", pages) for each in page[wire]]
        return [name for name in found if own.fullmatch(name)]

    def _delete(self, kind: str, key: str, name: str) -> None:
        self._call(f"delete {name}", lambda: unless_missing(lambda: getattr(self._sagemaker(), f"delete_{kind}")(**{key: name})))

    def _model_name(self, release: str) -> str:
        return f"{self._name}-{release.removeprefix('r-')}"

    def _sagemaker(self) -> Any:
        return aws_client("sagemaker", self._serving.region)

    def _call(self, what: str, call: Callable[[], T]) -> T:
        """A call tried again where that may help, its refusal in one line."""
        with asked_aws(what):
            return retried(call)


def _image(release: Release) -> str:
    """The image that a release was made with, '' where it is not written down."""
    return str(release.facts.get("serving", {}).get("image", ""))


def _variants(endpoint: dict[str, Any] | None) -> dict[str, float]:
    """The weight of each variant that has an instance."""
    found = endpoint.get("ProductionVariants", []) if endpoint else []
    return {each["VariantName"]: float(each.get("CurrentWeight", 0)) for each in found if each.get("CurrentInstanceCount")}


def _used(endpoint: dict[str, Any] | None) -> set[str]:
    """The variants that an endpoint has or is about to have; one whose creation failed has none."""
    if endpoint is None or endpoint["EndpointStatus"] == "Failed":
        return set(_variants(endpoint))
    parts = (endpoint, endpoint.get("PendingDeploymentSummary") or {})
    return {each["VariantName"] for part in parts for each in part.get("ProductionVariants", [])}


def _traffic(endpoint: dict[str, Any] | None) -> Traffic:
    """Who answers at an endpoint, and with which share."""
    shares = sorted(((weight, name) for name, weight in _variants(endpoint).items() if weight > 0), reverse=True)
    if not shares:
        return Traffic()
    (_, live), *others = shares
    percent = round(100 * others[0][0] / sum(weight for weight, _ in shares)) if others else 0
    return Traffic(live, others[0][1], percent) if others else Traffic(live)


def _why(endpoint: dict[str, Any] | None) -> str:
    return f": {endpoint['FailureReason']}" if endpoint and endpoint.get("FailureReason") else ""


def _answer(variant: str, body: bytes) -> Answer:
    """An answer by the serving contract; anything else is the variant's error."""
    try:
        return Answer(variant, tuple(float(each["churn_probability"]) for each in json.loads(body)["predictions"]))
    except (ValueError, KeyError, TypeError):
        return Answer(variant, error=f"not what the contract says: {body[:100].decode(errors='replace')!r}", status=502)


def _refusal(response: dict[str, Any]) -> Answer:
    """What the service said in place of an answer: the model's own error where the model gave it, with the variant where it is told."""
    said, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    variant = meta.get("HTTPHeaders", {}).get("x-amzn-invoked-production-variant", "")
    message = response.get("OriginalMessage") or said.get("Message", "")
    code = response.get("OriginalStatusCode") or meta.get("HTTPStatusCode") or 503
    return Answer(variant, error=" ".join(f"{said.get('Code')}: {message}".split())[:200], status=int(code))


def tag(value: str) -> str:
    """A text as a tag's value: letters, digits, white space and _.:/=+-@, 256 at the most."""
    return "".join(each if each.isalnum() or each in " _.:/=+-@" else "-" for each in value)[:256]


def pack(folder: Path, path: Path) -> Path:
    """A model directory as SageMaker takes it, model.tar.gz; the same model gives the same bytes (sorted, without times and owners)."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for each in sorted(part for part in folder.rglob("*") if part.is_file()):
            content = each.read_bytes()
            entry = tarfile.TarInfo(each.relative_to(folder).as_posix())
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path
