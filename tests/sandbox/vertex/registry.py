"""ModelService: models, their versions and aliases."""

import itertools
import re
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2

from tests.sandbox.names import MANAGED, canonical, parent_of
from tests.sandbox.refusal import Refusal, invalid, precondition
from tests.sandbox.vertex.checks import apply_mask, check_display_name, check_etag, check_labels, copied, fresh_etag, put
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.listing import page

_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_KEYS = ("display_name", "model", "name", "labels", "create_time", "update_time")
_VERSION_KEYS = ("display_name", "labels", "create_time", "update_time", "version_id", "version_create_time")
_UPDATABLE = ("display_name", "description", "version_description", "labels")


class ModelService:
    """The models: name to version id to Model; version ids are never used again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._models: dict[str, dict[str, v1.Model]] = {}
        self._versions: dict[str, Any] = {}
        self._ids = itertools.count(4000)
        # Asked before something is deleted: the endpoints that have it deployed.
        self.deployed: Callable[[str, str | None], list[str]] = lambda _, __: []

    def calls(self) -> dict[str, Callable[[Any], Any]]:
        """What is answered."""
        return {
            "ModelService.UploadModel": self._upload,
            "ModelService.GetModel": lambda request: copied(self.find(request.name)),
            "ModelService.ListModels": self._list,
            "ModelService.ListModelVersions": self._list_versions,
            "ModelService.UpdateModel": self._update,
            "ModelService.MergeVersionAliases": self._merge,
            "ModelService.DeleteModelVersion": self._delete_version,
            "ModelService.DeleteModel": self._delete,
        }

    def models(self) -> list[v1.Model]:
        """Every version of every model."""
        return [model for versions in self._models.values() for model in versions.values()]

    def find(self, name: str) -> v1.Model:
        """A version: by its id or alias after an @, else the default one."""
        base, _, wanted = canonical(name).partition("@")
        versions = self._known(base)
        wanted = wanted or "default"
        for version in versions.values():
            if wanted == version.version_id or wanted in version.version_aliases:
                return version
        raise Refusal("NOT_FOUND", f"name: the Model {base!r} has no version with id or alias {wanted!r}.")

    def _known(self, base: str) -> dict[str, v1.Model]:
        if base not in self._models:
            raise Refusal("NOT_FOUND", f"name: the Model {base!r} is not found.")
        return self._models[base]

    def _upload(self, request: Any) -> Any:
        parent, model = parent_of(request.parent), copied(request.model)
        self._check(model)
        base = self._target(parent, request)
        now = self._context.now()
        first = next(iter(self._models.get(base, {}).values()), None)
        model.name, model.version_id = base, str(next(self._versions.setdefault(base, itertools.count(1))))
        put(model, create_time=first.create_time if first else now, update_time=now, version_create_time=now, version_update_time=now)
        put(model, etag=fresh_etag(), supported_deployment_resources_types=[v1.Model.DeploymentResourcesType.DEDICATED_RESOURCES])
        aliases = set(model.version_aliases) | (set() if first else {"default"})
        model.version_aliases = []
        self._models.setdefault(base, {})[model.version_id] = model
        self._give(base, model, aliases)
        self._context.buckets.copy(model.artifact_uri, managed(model))
        response = v1.UploadModelResponse(model=base, model_version_id=model.version_id)
        return self._context.operations.done(base, response, v1.UploadModelOperationMetadata())

    def _target(self, parent: str, request: Any) -> str:
        """The model that a version is uploaded to."""
        if request.parent_model:
            base = canonical(request.parent_model).partition("@")[0]
            if request.model_id and not base.endswith(f"/models/{request.model_id}"):
                raise invalid("model_id: a version of parent_model takes no other model_id.")
            if not base.startswith(f"{parent}/models/"):
                raise invalid(f"parent_model: {request.parent_model!r} is not a model of {parent!r}.")
            self._known(base)
            return base
        identity = request.model_id or str(next(self._ids))
        if request.model_id and not _ID.fullmatch(identity):
            raise invalid(f"model_id: {identity!r} should match {_ID.pattern}.")
        base = f"{parent}/models/{identity}"
        if base in self._models:
            raise Refusal(
                "ALREADY_EXISTS", f"model_id: the Model {base!r} already exists; name it as parent_model to upload a version of it."
            )
        return base

    def _check(self, model: v1.Model) -> None:
        check_display_name(model.display_name, "model.display_name")
        check_labels(model.labels, "model.labels")
        for alias in model.version_aliases:
            _check_alias(alias, "model.version_aliases")
        if not model.container_spec.image_uri:
            raise invalid("model.container_spec.image_uri: is required.")
        for route in ("predict_route", "health_route"):
            value = getattr(model.container_spec, route)
            if value and not value.startswith("/"):
                raise invalid(f"model.container_spec.{route}: {value!r} should begin with a slash.")
        if not re.fullmatch(r"gs://[^/]+(/.*)?", model.artifact_uri):
            raise invalid(f"model.artifact_uri: should be gs://BUCKET/FOLDER, not {model.artifact_uri!r}.")
        if not any(relative for relative, _ in self._context.buckets.under(model.artifact_uri)):
            raise precondition(f"model.artifact_uri: there is no object below {model.artifact_uri!r}.")

    def _give(self, base: str, model: v1.Model, aliases: set[str]) -> None:
        """Set aliases on a version: an alias stands for one version, so it leaves the one that had it."""
        for other in self._models[base].values():
            other.version_aliases = [alias for alias in other.version_aliases if alias not in aliases]
        model.version_aliases = sorted({*model.version_aliases, *aliases}, key=lambda alias: (alias != "default", alias))

    def _list(self, request: Any) -> v1.ListModelsResponse:
        parent = parent_of(request.parent)
        mine = [self.find(base) for base in self._models if base.startswith(f"{parent}/")]
        models, token = page(mine, request, _KEYS)
        return v1.ListModelsResponse(models=models, next_page_token=token)

    def _list_versions(self, request: Any) -> v1.ListModelVersionsResponse:
        versions = self._known(canonical(request.name).partition("@")[0]).values()
        models, token = page(versions, request, _VERSION_KEYS, "version_create_time desc")
        return v1.ListModelVersionsResponse(models=models, next_page_token=token)

    def _update(self, request: Any) -> v1.Model:
        there = self.find(request.model.name)
        check_etag(request.model.etag, there.etag, f"the Model {there.name!r}")
        changed = copied(there)
        apply_mask(changed, request.model, v1.UpdateModelRequest.pb(request).update_mask, _UPDATABLE)
        check_display_name(changed.display_name, "model.display_name")
        check_labels(changed.labels, "model.labels")
        now = self._context.now()
        put(changed, update_time=now, version_update_time=now, etag=fresh_etag())
        self._models[there.name][there.version_id] = changed
        return copied(changed)

    def _merge(self, request: Any) -> v1.Model:
        model = self.find(request.name)
        if not request.version_aliases:
            raise invalid("version_aliases: is required.")
        removed = {alias[1:] for alias in request.version_aliases if alias.startswith("-")}
        added = {alias for alias in request.version_aliases if not alias.startswith("-")}
        for alias in removed | added:
            _check_alias(alias, "version_aliases")
        if both := sorted(removed & added):
            raise invalid(f"version_aliases: {', '.join(both)} is both added and removed.")
        if "default" in removed:
            raise invalid("version_aliases: default cannot be removed; give it to another version.")
        if unknown := sorted(removed - set(model.version_aliases)):
            raise invalid(f"version_aliases: version {model.version_id} has no alias {', '.join(unknown)}.")
        model.version_aliases = [alias for alias in model.version_aliases if alias not in removed]
        self._give(model.name, model, added)
        put(model, version_update_time=self._context.now(), etag=fresh_etag())
        return copied(model)

    def _delete_version(self, request: Any) -> Any:
        if "@" not in request.name:
            raise invalid(f"name: {request.name!r} should name a version, as MODEL@VERSION.")
        model = self.find(request.name)
        if len(self._models[model.name]) == 1:
            raise precondition(f"name: version {model.version_id} is the only one of {model.name!r}; delete the model instead.")
        if "default" in model.version_aliases:
            raise precondition(f"name: version {model.version_id} of {model.name!r} is the default one; make another the default first.")
        self._check_unused(model.name, model.version_id)
        del self._models[model.name][model.version_id]
        return self._context.operations.done(model.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _delete(self, request: Any) -> Any:
        base = canonical(request.name)
        self._known(base)
        self._check_unused(base, None)
        del self._models[base]
        return self._context.operations.done(base, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _check_unused(self, base: str, version: str | None) -> None:
        if used := self.deployed(base, version):
            raise precondition(f"name: the Model {base!r} is deployed on {', '.join(used)}; undeploy it first.")


def managed(model: v1.Model) -> str:
    """Where the service keeps its own copy of a version's artifact, as Vertex does: what becomes of the original does not matter."""
    return f"gs://{MANAGED}/{model.name.rpartition('/')[2]}-{model.version_id}"


def _check_alias(alias: str, field: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise invalid(f"{field}: {alias!r} should match {_ALIAS.pattern}.")
