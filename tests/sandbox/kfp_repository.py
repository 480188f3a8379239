"""Artifact Registry's repository of pipeline templates: what kfp.registry.RegistryClient speaks, kept in memory."""

import hashlib
import re
import threading
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import yaml

from tests.sandbox.faults import Gate
from tests.sandbox.refusal import Refusal, invalid
from tests.sandbox.web import Answer, Request, said

_ROOT = r"/kfp/(?P<repository>[^/]+/[^/]+)"
_TAG = re.compile(r"[a-zA-Z0-9][\w.-]{0,127}")


@dataclass
class _Package:
    versions: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class KfpRepository:
    """The packages of each repository: PROJECT/REPOSITORY to package to versions and tags."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._lock = threading.Lock()
        self._repositories: dict[str, dict[str, _Package]] = {}
        package = rf"{_ROOT}/packages/(?P<package>[^/]+)"
        self._routes = [
            (rf"{_ROOT}/?", "POST", "kfp.packages.upload", self._upload),
            (rf"{_ROOT}/packages", "GET", "kfp.packages.list", self._packages),
            (package, "GET", "kfp.packages.get", self._package),
            (package, "DELETE", "kfp.packages.delete", self._delete_package),
            (rf"{package}/versions", "GET", "kfp.versions.list", self._versions),
            (rf"{package}/versions/(?P<version>[^/]+)", "GET", "kfp.versions.get", self._version),
            (rf"{package}/versions/(?P<version>[^/]+)", "DELETE", "kfp.versions.delete", self._delete_version),
            (rf"{package}/tags", "GET", "kfp.tags.list", self._tags),
            (rf"{package}/tags", "POST", "kfp.tags.create", self._set_tag),
            (rf"{package}/tags/(?P<tag>[^/]+)", "GET", "kfp.tags.get", self._tag),
            (rf"{package}/tags/(?P<tag>[^/]+)", "PATCH", "kfp.tags.update", self._set_tag),
            (rf"{package}/tags/(?P<tag>[^/]+)", "DELETE", "kfp.tags.delete", self._delete_tag),
            (rf"{_ROOT}/(?P<package>[^/]+)/(?P<reference>[^/]+)", "GET", "kfp.packages.download", self._download),
        ]

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._repositories = {}

    def respond(self, request: Request) -> Answer:
        """Answer, or refuse."""
        try:
            for pattern, method, call, action in self._routes:
                match = re.fullmatch(pattern, request.path)
                if match and method == request.method:
                    return self._gate.through(call, lambda: self._locked(action, request, match.groupdict()))  # noqa: B023 (called at once)
            raise Refusal("NOT_FOUND", f"the sandbox has no {request.method} {request.path}")
        except Refusal as refusal:
            return said(refusal.body(), refusal.http)

    def template(self, uri: str) -> tuple[dict[str, Any], str]:
        """The spec behind a job's template_uri, and its version."""
        match = re.fullmatch(r"https?://[^/]+/(?:kfp/)?([^/]+/[^/]+)/([^/]+)/([^/]+)", uri)
        if match is None:
            raise invalid(f"template_uri: {uri!r} should be https://LOCATION-kfp.pkg.dev/PROJECT/REPOSITORY/PACKAGE/TAG.")
        with self._lock:
            version, content = self._resolved(match[1], match[2], match[3])
        documents = list(yaml.safe_load_all(content))
        if len(documents) != 1:
            raise invalid(f"template_uri: {uri!r} is {len(documents)} YAML documents; a platform spec is not supported.")
        return documents[0], version

    def _locked(self, action: Any, request: Request, names: dict[str, str]) -> Answer:
        with self._lock:
            return action(request, **names)

    def _upload(self, request: Request, repository: str) -> Answer:
        form = _form(request)
        try:
            spec = next(iter(yaml.safe_load_all(form["content"])))
            name = spec["pipelineInfo"]["name"]
        except (yaml.YAMLError, KeyError, TypeError, StopIteration):
            raise invalid("content: is not a pipeline template: it has no pipelineInfo.name.") from None
        version = f"sha256:{hashlib.sha256(form['content']).hexdigest()}"
        tags = [tag for tag in form.get("tags", b"").decode().split(",") if tag]
        for tag in tags:
            _check_tag(tag)
        package = self._repositories.setdefault(repository, {}).setdefault(name, _Package())
        package.versions[version] = form["content"]
        package.tags.update(dict.fromkeys(tags, version))
        return Answer(f"{name}/{version}".encode(), 200, {"Content-Type": "text/plain"})

    def _download(self, _: Request, repository: str, package: str, reference: str) -> Answer:
        return Answer(self._resolved(repository, package, reference)[1], 200, {"Content-Type": "application/yaml"})

    def _resolved(self, repository: str, package: str, reference: str) -> tuple[str, bytes]:
        found = self._known(repository, package)
        version = found.tags.get(reference, reference)
        if version not in found.versions:
            raise Refusal("NOT_FOUND", f"the package {package!r} has no version or tag {reference!r}.")
        return version, found.versions[version]

    def _known(self, repository: str, package: str) -> _Package:
        found = self._repositories.get(repository, {}).get(package)
        if found is None:
            raise Refusal("NOT_FOUND", f"the package {package!r} is not found.")
        return found

    def _packages(self, _: Request, repository: str) -> Answer:
        return said({"packages": [{"name": _name(repository, name)} for name in sorted(self._repositories.get(repository, {}))]})

    def _package(self, _: Request, repository: str, package: str) -> Answer:
        self._known(repository, package)
        return said({"name": _name(repository, package)})

    def _delete_package(self, _: Request, repository: str, package: str) -> Answer:
        self._known(repository, package)
        del self._repositories[repository][package]
        return said({"done": True})

    def _versions(self, _: Request, repository: str, package: str) -> Answer:
        names = self._known(repository, package).versions
        return said({"versions": [{"name": f"{_name(repository, package)}/versions/{name}"} for name in names]})

    def _version(self, _: Request, repository: str, package: str, version: str) -> Answer:
        self._resolved(repository, package, version)
        return said({"name": f"{_name(repository, package)}/versions/{version}"})

    def _delete_version(self, _: Request, repository: str, package: str, version: str) -> Answer:
        self._resolved(repository, package, version)
        found = self._known(repository, package)
        if tags := sorted(tag for tag, tagged in found.tags.items() if tagged == version):
            raise Refusal("FAILED_PRECONDITION", f"the version {version!r} is tagged {', '.join(tags)}.")
        del found.versions[version]
        return said({"done": True})

    def _tags(self, _: Request, repository: str, package: str) -> Answer:
        tags = self._known(repository, package).tags
        return said({"tags": [_tag(repository, package, tag, version) for tag, version in sorted(tags.items())]})

    def _tag(self, _: Request, repository: str, package: str, tag: str) -> Answer:
        tags = self._known(repository, package).tags
        if tag not in tags:
            raise Refusal("NOT_FOUND", f"the package {package!r} has no tag {tag!r}.")
        return said(_tag(repository, package, tag, tags[tag]))

    def _set_tag(self, request: Request, repository: str, package: str, tag: str = "") -> Answer:
        found, new = self._known(repository, package), not tag
        tag = tag or request.one("tagId") or ""
        _check_tag(tag)
        if new == (tag in found.tags):
            code, text = ("ALREADY_EXISTS", "exists already") if new else ("NOT_FOUND", "is not found")
            raise Refusal(code, f"the tag {tag!r} of {package!r} {text}.")
        version = request.json()["version"].rpartition("/")[2]
        self._resolved(repository, package, version)
        found.tags[tag] = version
        return said(_tag(repository, package, tag, version))

    def _delete_tag(self, request: Request, repository: str, package: str, tag: str) -> Answer:
        self._tag(request, repository, package, tag)
        del self._known(repository, package).tags[tag]
        return said({})


def _check_tag(tag: str) -> None:
    if not _TAG.fullmatch(tag):
        raise invalid(f"tags: {tag!r} should match {_TAG.pattern}.")


def _name(repository: str, package: str) -> str:
    project, _, name = repository.partition("/")
    return f"projects/{project}/locations/us-central1/repositories/{name}/packages/{package}"


def _tag(repository: str, package: str, tag: str, version: str) -> dict[str, str]:
    name = _name(repository, package)
    return {"name": f"{name}/tags/{tag}", "version": f"{name}/versions/{version}"}


def _form(request: Request) -> dict[str, bytes]:
    """The fields of a multipart/form-data body."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    form = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in message.iter_parts()}
    if "content" not in form:
        raise invalid("content: the file is missing.")
    return form
