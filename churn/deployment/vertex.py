"""Releases on Vertex AI: a version of the line's registered model for each release, one endpoint whose traffic split says who answers.

Everything has a name of its own (the model's and the endpoint's id from the line, the deployed model's id and the version's alias from the release), so a
call that was made twice, because its answer was lost or its caller killed, finds its work done.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import Field

from churn.deployment.canary import Answer
from churn.deployment.releases import MODEL, Release, Traffic
from churn.deployment.remote import RemoteReleases
from churn.platform import storage
from churn.platform.checked import Checked
from churn.platform.errors import ConfigError, StateError
from churn.platform.files import sha256_file, sha256_json
from churn.platform.google import asked, timeout, vertex_client
from churn.platform.retries import retried, status, waited

T = TypeVar("T")
_LIVE = "live"  # the alias of the version that answers
_LABEL = "release"
_TRIES = 5
log = logging.getLogger(__name__)


class VertexServing(Checked):
    """What serving on Vertex AI needs: the pipeline parameter serving.

    image: the server's, in Artifact Registry; empty: the one that the release was made with.
    min_replicas, max_replicas: of each deployed model. keep_versions: of the registered model, besides what
    answers. minutes: as long is a deployment waited for. service_account, kms_key: of the deployed models; empty: the service's own.
    """

    project: str = Field(min_length=1)
    region: str = Field(min_length=1)
    image: str = ""
    machine_type: str = "n1-standard-2"
    min_replicas: int = Field(2, ge=1)
    max_replicas: int = Field(10, ge=1)
    keep_versions: int = Field(5, ge=1)
    minutes: float = Field(45, gt=0)
    service_account: str = ""
    kms_key: str = ""


class VertexReleases(RemoteReleases):
    """The releases of one line on Vertex AI. Who answers is changed with the endpoint's etag: of two that race, one is refused."""

    target = "vertex"

    def __init__(self, root: str, line: str, serving: VertexServing) -> None:
        super().__init__(root, line)
        self._serving = serving
        self._id = f"churn-{line}"
        if len(self._id) > 63:
            raise ConfigError(
                f"release line {line!r}: 57 characters at the most are an endpoint's name on Vertex AI; give a shorter release_line"
            )
        self._parent = f"projects/{serving.project}/locations/{serving.region}"
        self._model = f"{self._parent}/models/{self._id}"
        self._endpoint = f"{self._parent}/endpoints/{self._id}"

    def traffic(self) -> Traffic:
        """Who answers now, by the endpoint's traffic split."""
        return _traffic(self._look())

    @contextmanager
    def endpoint(self) -> Iterator[Callable[[list[dict[str, Any]]], Answer]]:
        """The line's endpoint: each answer says which deployed model gave it."""
        names = _deployed(self._look())

        def ask(instances: list[dict[str, Any]]) -> Answer:
            return self._predict(instances, names)

        yield ask

    def batch(self, name: str, source: str, out: str) -> str:
        """Score a file of instances with a release in a batch prediction job; gives the folder of the predictions."""
        version = self._version(name)
        if version is None:
            raise StateError(
                f"{name} is not in the model registry of {self._parent}; churn release promote {name} --target vertex lays it there"
            )
        rows = source if storage.is_remote(source) else f"{self.uri}/batch/{sha256_file(source)}.jsonl"
        if rows != source:
            storage.upload_once(source, rows)
        # Named by what it scores with what: a call that is made again finds the job.
        job = f"churn-batch-{name}-{sha256_json([rows, storage.fingerprint(rows), out])[:12]}"
        return self._batch_job(job, f"{self._model}@{version.version_id}", rows, out)

    def _install(self, release: Release) -> bool:
        """Upload the release as a version of the line's model, with its name as alias; False where there is one."""
        return self._call(f"register {release.name}", lambda: self._upload(release))

    def _upload(self, release: Release) -> bool:
        from google.cloud import aiplatform_v1 as api

        if self._version(release.name) is not None:
            return False
        there = bool(self._versions())
        model = api.Model(
            display_name=self._id,
            description=f"The churn model of the release line {self.line}.",
            version_aliases=[release.name],
            version_description=f"auc_pr {release.facts['metrics'].get('auc_pr')}, run {release.facts['provenance'].get('run')}",
            labels=self._labels(release),
            artifact_uri=f"{self.uri}/{release.name}/{MODEL}",
            container_spec=api.ModelContainerSpec(
                image_uri=self._image(release),
                predict_route="/predict",
                health_route="/health",
                ports=[api.Port(container_port=8080)],
            ),
            encryption_spec=self._encryption(),
        )
        request = api.UploadModelRequest(
            parent=self._parent, model=model, **({"parent_model": self._model} if there else {"model_id": self._id})
        )
        self._done(f"register {release.name}", self._models().upload_model(request, retry=None, timeout=timeout()))
        return True

    def _image(self, release: Release) -> str:
        image = self._serving.image or str(release.facts.get("serving", {}).get("image", ""))
        if not image:
            raise ConfigError(f"serving.image: {release.name} was made without one; set CHURN_SERVING__IMAGE to the server's reference")
        return image

    def _labels(self, release: Release) -> dict[str, str]:
        provenance = release.facts["provenance"]
        told = {
            _LABEL: release.name,
            "line": self.line,
            "commit": str(provenance.get("git_commit", ""))[:12],
            "run": str(provenance.get("run", "")),
            "model_sha256": release.facts["model_sha256"][:63],
        }
        return {name: label(value) for name, value in told.items() if value}

    def _route(self, new: Traffic, seen: Traffic) -> None:
        self._free(f"create the endpoint {self._id}", self._ensure_endpoint)
        for name in (new.live, new.canary):
            if name:
                self._install(self.get(name))
                self._free(f"deploy {name}", lambda name=name: self._deploy(name))  # type: ignore[misc]
        self._call(f"route {self._id}", lambda: self._split(new, seen))

    def _split(self, new: Traffic, seen: Traffic) -> None:
        """Write the traffic split under the endpoint's etag; where that was refused though nobody moved what is live, again."""
        from google.api_core.exceptions import Conflict
        from google.cloud import aiplatform_v1 as api

        for _ in range(_TRIES):
            endpoint = self._look()
            now = _traffic(endpoint)
            if now == new:
                return
            if now != seen:
                break
            ids = {name: number for number, name in _deployed(endpoint).items()}
            split = {ids[new.live]: 100 - new.percent} | ({ids[new.canary]: new.percent} if new.canary else {})
            change = api.Endpoint(name=endpoint.name, etag=endpoint.etag, traffic_split=split)
            request = api.UpdateEndpointRequest(endpoint=change, update_mask={"paths": ["traffic_split"]})
            try:
                self._endpoints().update_endpoint(request, retry=None, timeout=timeout())
            except Conflict:
                continue
        if self.traffic() != new:
            raise StateError(f"what answers in {self.line} changed from {seen.words()} since it was looked at, to {now.words()}; run again")

    def _ensure_endpoint(self) -> None:
        from google.cloud import aiplatform_v1 as api

        if self._look() is not None:
            return
        endpoint = api.Endpoint(display_name=self._id, labels={"line": label(self.line)}, encryption_spec=self._encryption())
        request = api.CreateEndpointRequest(parent=self._parent, endpoint=endpoint, endpoint_id=self._id)
        self._done(f"create the endpoint {self._id}", self._endpoints().create_endpoint(request, retry=None, timeout=timeout()))

    def _deploy(self, name: str) -> None:
        """Deploy a release to the endpoint, without traffic."""
        from google.cloud import aiplatform_v1 as api

        if name in _deployed(self._look()).values():
            return
        version = self._version(name)
        assert version is not None  # _install was called just before
        machine = api.DedicatedResources(
            machine_spec=api.MachineSpec(machine_type=self._serving.machine_type),
            min_replica_count=self._serving.min_replicas,
            max_replica_count=max(self._serving.max_replicas, self._serving.min_replicas),
        )
        deployed = api.DeployedModel(
            id=deployed_id(name),
            display_name=name,
            model=f"{self._model}@{version.version_id}",
            dedicated_resources=machine,
            service_account=self._serving.service_account,
        )
        request = api.DeployModelRequest(endpoint=self._endpoint, deployed_model=deployed)
        self._done(f"deploy {name}", self._endpoints().deploy_model(request, retry=None, timeout=timeout()))

    def _tidy(self) -> None:
        """Name what answers, undeploy what does not, and delete the oldest versions beyond the number that is kept."""
        endpoint = self._look()
        answering = {name for name in (_traffic(endpoint).live, _traffic(endpoint).canary) if name}
        for number, name in _deployed(endpoint).items():
            if name not in answering:
                self._free(f"undeploy {name}", lambda number=number: self._undeploy(number))  # type: ignore[misc]
        if answering:
            self._call(f"name what is live in {self.line}", lambda: self._name_live(_traffic(endpoint).live))
            self._call(f"delete old versions of {self._id}", lambda: self._delete_old(answering))

    def _undeploy(self, number: str) -> None:
        if number in _deployed(self._look()):
            request = {"endpoint": self._endpoint, "deployed_model_id": number}
            self._done(f"undeploy {number}", self._endpoints().undeploy_model(request, retry=None, timeout=timeout()))

    def _name_live(self, name: str) -> None:
        versions = self._versions()
        # Taken from the old one first: an alias belongs to one version.
        for version in sorted(versions, key=lambda each: each.labels.get(_LABEL) == name):
            answers = version.labels.get(_LABEL) == name
            if answers != (_LIVE in version.version_aliases):
                aliases = [_LIVE, "default"] if answers else [f"-{_LIVE}"]
                request = {"name": f"{self._model}@{version.version_id}", "version_aliases": aliases}
                self._models().merge_version_aliases(request, retry=None, timeout=timeout())

    def _delete_old(self, answering: set[str]) -> None:
        idle = [each for each in self._versions() if each.labels.get(_LABEL) not in answering]
        newest = sorted(idle, key=lambda each: int(each.version_id), reverse=True)
        for version in newest[self._serving.keep_versions :]:
            name = f"{self._model}@{version.version_id}"
            self._done(f"delete {name}", self._models().delete_model_version({"name": name}, retry=None, timeout=timeout()))

    def _version(self, name: str) -> Any:
        """The version of a release; None where there is none. Of two, which a lost answer can leave, the later one is deleted."""
        found = [each for each in self._versions() if each.labels.get(_LABEL) == name]
        for extra in found[1:]:
            request = {"name": f"{self._model}@{extra.version_id}"}
            self._done(f"delete a second version of {name}", self._models().delete_model_version(request, retry=None, timeout=timeout()))
        return found[0] if found else None

    def _versions(self) -> list[Any]:
        """The versions of the line's model, those with an alias first, then the older ones first."""
        from google.api_core.exceptions import NotFound

        try:
            found = self._call(
                f"list the versions of {self._id}",
                lambda: list(self._models().list_model_versions({"name": self._model}, retry=None, timeout=timeout())),
                NotFound,
            )
        except NotFound:
            return []
        return sorted(found, key=lambda each: (not each.version_aliases, int(each.version_id)))

    def _look(self) -> Any:
        """The endpoint; None where there is none."""
        from google.api_core.exceptions import NotFound

        request = {"name": self._endpoint}
        try:
            return self._call(
                f"look at {self._id}", lambda: self._endpoints().get_endpoint(request, retry=None, timeout=timeout()), NotFound
            )
        except NotFound:
            return None

    def _predict(self, instances: list[dict[str, Any]], names: dict[str, str]) -> Answer:
        from google.api_core.exceptions import GoogleAPICallError
        from google.protobuf import json_format, struct_pb2

        rows = [json_format.ParseDict(instance, struct_pb2.Value()) for instance in instances]
        client = vertex_client("PredictionServiceClient", self._serving.region)
        try:
            # No second try: a customer's program meets each failure too.
            said = client.predict(endpoint=self._endpoint, instances=rows, retry=None, timeout=timeout())
        except (GoogleAPICallError, OSError) as error:  # requests' own errors are OSErrors
            return Answer("", error=" ".join(str(error).split())[:200], status=status(error) or 503)
        return Answer(
            names.get(said.deployed_model_id, said.deployed_model_id), tuple(row["churn_probability"] for row in said.predictions)
        )

    def _batch_job(self, display_name: str, model: str, rows: str, out: str) -> str:
        from google.cloud import aiplatform_v1 as api

        jobs = vertex_client("JobServiceClient", self._serving.region)
        machine = api.BatchDedicatedResources(
            machine_spec=api.MachineSpec(machine_type=self._serving.machine_type), starting_replica_count=1, max_replica_count=1
        )
        job = api.BatchPredictionJob(
            display_name=display_name,
            model=model,
            input_config=api.BatchPredictionJob.InputConfig(instances_format="jsonl", gcs_source=api.GcsSource(uris=[rows])),
            output_config=api.BatchPredictionJob.OutputConfig(
                predictions_format="jsonl", gcs_destination=api.GcsDestination(output_uri_prefix=out)
            ),
            dedicated_resources=machine,
        )

        def start() -> str:
            request = {"parent": self._parent, "filter": f'display_name="{display_name}"'}
            bad = (api.JobState.JOB_STATE_FAILED, api.JobState.JOB_STATE_CANCELLED, api.JobState.JOB_STATE_EXPIRED)
            found = [each for each in jobs.list_batch_prediction_jobs(request, retry=None, timeout=timeout()) if each.state not in bad]
            made = (
                found[0]
                if found
                else jobs.create_batch_prediction_job(parent=self._parent, batch_prediction_job=job, retry=None, timeout=timeout())
            )
            return str(made.name)

        name = self._call(f"start {display_name}", start)

        def ended() -> Any:
            now = self._call(f"look at {display_name}", lambda: jobs.get_batch_prediction_job(name=name, retry=None, timeout=timeout()))
            return now if now.end_time else None

        last = waited(ended, what=display_name, seconds=24 * 3600)
        if last.state != api.JobState.JOB_STATE_SUCCEEDED:
            raise StateError(f"{display_name}: {last.state.name}: {last.error.message or 'see the console'}")
        return str(last.output_info.gcs_output_directory)

    def _done(self, what: str, operation: Any) -> None:
        """Wait for a long-running operation.

        Raises:
            StateError: it failed, or did not end in time.
        """
        waited(lambda: retried(lambda: operation.done(retry=None)) or None, what=what, seconds=60 * self._serving.minutes)
        if error := operation.exception(timeout=1):
            raise StateError(f"{what}: the operation failed: {getattr(error, 'message', error)}; run again")

    def _free(self, what: str, call: Callable[[], None]) -> None:
        """A call that another operation on the same resource may hold up: its own, by a caller that was killed or not answered, or somebody's.

        It looks again each time whether its work is done, and tries again where it is not.
        """
        from google.api_core.exceptions import Conflict, FailedPrecondition

        said: list[str] = []

        def attempt() -> bool | None:
            try:
                self._call(what, call, (Conflict, FailedPrecondition))
            except (Conflict, FailedPrecondition) as error:
                if isinstance(error, FailedPrecondition) and "operation" not in error.message.lower():
                    with asked(what):
                        raise
                if not said:
                    said.append(error.message)
                    log.warning("%s: waiting for another operation: %s", what, error.message)
                return None
            return True

        waited(attempt, what=what, seconds=60 * self._serving.minutes)

    def _call(self, what: str, call: Callable[[], T], passing: type[BaseException] | tuple[type[BaseException], ...] = ()) -> T:
        """A call tried again where that may help, its refusal in one line."""
        with asked(what, passing):
            return retried(call)

    def _models(self) -> Any:
        return vertex_client("ModelServiceClient", self._serving.region)

    def _endpoints(self) -> Any:
        return vertex_client("EndpointServiceClient", self._serving.region)

    def _encryption(self) -> Any:
        return {"kms_key_name": self._serving.kms_key} if self._serving.kms_key else None


def _deployed(endpoint: Any) -> dict[str, str]:
    """The release of each deployed model's id."""
    return {each.id: each.display_name for each in endpoint.deployed_models} if endpoint else {}


def _traffic(endpoint: Any) -> Traffic:
    """Who answers at an endpoint: the largest share is live, another that has one is the canary."""
    names = _deployed(endpoint)
    shares = (
        sorted(((percent, names[number]) for number, percent in endpoint.traffic_split.items() if percent), reverse=True)
        if endpoint
        else []
    )
    if not shares:
        return Traffic()
    (_, live), *others = shares
    return Traffic(live, others[0][1], int(others[0][0])) if others else Traffic(live)


def deployed_id(release: str) -> str:
    """The id of a deployed model, from the release's hash: up to ten digits, as the service takes it. Deployed twice, the second is refused."""
    return str(int(release.removeprefix("r-")[:8], 16))


def label(value: str) -> str:
    """A text as a label's value: lower-case letters, digits, _ and -, 63 at the most."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "-" for each in value.lower())[:63]
