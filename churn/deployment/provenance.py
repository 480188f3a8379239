"""Where a release comes from, link by link: spec, image, commit, data, model, registered version, endpoint. Each is looked up anew, none believed."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from churn.data.fingerprint import fingerprint_sources
from churn.deployment.outcome import read_outcome
from churn.deployment.releases import Release, Releases, release_name
from churn.platform.errors import ChurnError, InputError
from churn.platform.files import check_seal, read_json, sha256_json
from churn.platform.google import asked, timeout, vertex_client
from churn.platform.retries import retried

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_TOLERANCE = 1e-6
_ASKS = 50  # of the endpoint, until the release answers that has a share of the requests


@dataclass(frozen=True)
class Link:
    """One link: what it is, whether it holds, and what was found."""

    name: str
    holds: bool
    words: str

    @property
    def line(self) -> str:
        """For a person."""
        return f"{'✓' if self.holds else '✗'} {self.name:<9} {self.words}"


@dataclass(frozen=True)
class Recorded:
    """What is left of the run that made a release.

    where: what says so. spec, commit, model, data: as the run had them, '' where it does not say. images: of its steps. sources: transactions and tickets.
    """

    where: str
    spec: str = ""
    commit: str = ""
    model: str = ""
    data: str = ""
    images: tuple[str, ...] = ()
    sources: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Registered:
    """What the model registry says of a release: its version, and release, commit or model by name."""

    version: str
    says: dict[str, str] = field(default_factory=dict)


def trace(store: Releases, name: str, records: list[Recorded], registered: Registered | None, checkout: Path) -> list[Link]:
    """Every link of a release.

    Args:
        store: its line.
        name: the release.
        records: what the run left, each place for itself.
        registered: what the registry says; None where there is no registry.
        checkout: where the git repository would be.
    """
    try:
        release = store.get(name)
    except ChurnError as error:
        return [Link("release", False, str(error))]
    facts = release.facts
    provenance = facts.get("provenance", {})
    links = [Link("release", True, f"{name} in {store.line}, every file as its manifest says")]
    links += [_run(provenance, records), _spec(records), _image(records, store.target)]
    links.append(_commit(str(provenance.get("git_commit", "")), records, checkout))
    links += _data(str(provenance.get("data_fingerprint", "")), records)
    links.append(_model(release, records))
    if registered is not None:
        links.append(_registered(release, registered))
    links.append(_endpoint(store, release))
    return links


def _run(provenance: dict[str, Any], records: list[Recorded]) -> Link:
    run = provenance.get("run", "")
    if not records:
        return Link("run", False, f"{run or 'no run'} has left nothing: neither summary, outcome nor job is there")
    return Link("run", True, f"{run}: {', '.join(each.where for each in records)}")


def _spec(records: list[Recorded]) -> Link:
    said = [each.spec for each in records if each.spec]
    return Link("spec", bool(said), ", ".join(said) or "the run does not say which it ran")


def _image(records: list[Recorded], target: str) -> Link:
    images = sorted({image for each in records for image in each.images})
    if not images:
        return Link("image", False, "the run does not say in which its steps ran")
    by_tag = [image for image in images if not _DIGEST.search(image)]
    if target == "vertex" and by_tag:
        return Link("image", False, f"{by_tag[0]} is named by a tag, which can be moved: compile with --images")
    return Link("image", True, ", ".join(images))


def _commit(commit: str, records: list[Recorded], checkout: Path) -> Link:
    others = sorted({each.commit for each in records if each.commit and not _same(each.commit, commit)})
    if others:
        return Link("commit", False, f"the release says {commit or 'none'}, its run {others[0]}")
    if not commit:
        return Link("commit", False, "the release says none: it was made outside of a git repository")
    if commit.endswith("-dirty"):
        return Link("commit", False, f"{commit}: made from files that no commit has")
    there = _in_repository(commit, checkout)
    if there is None:
        return Link("commit", True, f"{commit} (no repository here to look it up in)")
    return Link("commit", there, commit if there else f"{commit} is not in the repository {checkout}")


def _same(one: str, other: str) -> bool:
    """Two names of a commit, one of which may be cut short, as a label is."""
    return bool(one and other) and (one.startswith(other) or other.startswith(one))


def _in_repository(commit: str, checkout: Path) -> bool | None:
    """Whether a repository has the commit; None where there is no repository, or none that has history enough to say so."""
    if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        return False
    git = ["git", "-C", str(checkout)]
    try:
        shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True, check=False)
        found = subprocess.run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    if found.returncode == 0:
        return True
    return None if shallow.returncode or shallow.stdout.strip() == "true" else False


def _data(data: str, records: list[Recorded]) -> Iterator[Link]:
    others = sorted({each.data for each in records if each.data and each.data != data})
    if others:
        yield Link("data", False, f"the release says {data or 'nothing'}, its run {others[0]}")
        return
    if not data:
        yield Link("data", False, "the release does not say which")
        return
    yield Link("data", True, data)
    sources = next((each.sources for each in records if each.sources[0]), ("", ""))
    if sources[0]:
        yield Link("source", True, _moved_on(data, sources))


def _moved_on(data: str, sources: tuple[str, str]) -> str:
    """What the source holds now. New rows are no fault of a release that was trained before them: it is said, and breaks nothing."""
    try:
        now = fingerprint_sources(*sources)
    except InputError as error:
        return f"is gone since: {error}"
    return f"{sources[0]} still holds them" if now == data else f"{sources[0]} has moved on: it holds {now} now"


def _model(release: Release, records: list[Recorded]) -> Link:
    try:
        real = check_seal(release.model)
    except ChurnError as error:
        return Link("model", False, str(error))
    said = str(release.facts.get("model_sha256", ""))
    if real != said or release.name != release_name(real):
        return Link("model", False, f"is {real}, and the release {release.name} says {said or 'nothing'}")
    others = sorted({each.model for each in records if each.model and each.model != real})
    return Link("model", not others, f"the run trained {others[0]}, and the release has {real}" if others else real)


def _registered(release: Release, registered: Registered) -> Link:
    if not registered.version:
        return Link("registry", False, f"has no version of {release.name}")
    commit = str(release.facts.get("provenance", {}).get("git_commit", ""))
    ours = {"release": release.name, "model_sha256": str(release.facts["model_sha256"])[:63], "commit": commit}
    wrong = [
        f"{name} is {value}, not {ours[name]}"
        for name, value in registered.says.items()
        if name in ours and value[:63] != ours[name][:63] and not (name == "commit" and _same(value, ours[name]))
    ]
    return Link("registry", not wrong, f"version {registered.version}" + (f": {'; '.join(wrong)}" if wrong else " says the same"))


def _endpoint(store: Releases, release: Release) -> Link:
    """Whether what answers is the model of this release: asked for its rows of known score, as a customer's program would."""
    now = store.traffic()
    if release.name not in (now.live, now.canary):
        return Link("endpoint", True, f"{now.live or 'nothing'} is live: this release answers nobody")
    probe = release.probe
    try:
        with store.endpoint() as ask:
            for _ in range(_ASKS):
                answer = ask(probe["instances"])
                if answer.error or answer.release == release.name:
                    break
    except ChurnError as error:
        return Link("endpoint", False, str(error))
    if answer.error:
        return Link("endpoint", False, f"does not answer: {answer.error}")
    if answer.release != release.name:
        return Link("endpoint", False, f"answers as {answer.release}")
    pairs = list(zip(answer.probabilities, probe["probabilities"], strict=False))
    worst = max((abs(said - known) for said, known in pairs), default=0.0)
    if len(pairs) != len(probe["instances"]) or worst > _TOLERANCE:
        return Link("endpoint", False, f"answers otherwise than {release.name} was evaluated: {worst:.2g} apart")
    return Link("endpoint", True, f"{release.name} gives {len(pairs)} rows of known score their score")


def records_of(release: dict[str, Any], pipeline_root: str, runs: Path) -> list[Recorded]:
    """What the run of a release left in files: its summary on the machine that submitted it, its outcome under the pipeline root."""
    run = str(release.get("provenance", {}).get("run", ""))
    found = []
    if run and (runs / run / "summary.json").is_file():
        found.append(_from_summary(read_json(runs / run / "summary.json")))
    outcome = read_outcome(pipeline_root, run) if run else None
    if outcome:
        said = outcome.provenance
        found.append(
            Recorded(
                "its outcome",
                commit=str(said.get("git_commit") or ""),
                model=str(said.get("model_sha256") or ""),
                data=str(outcome.data.get("fingerprint") or ""),
                sources=(str(outcome.data.get("source") or ""), ""),
            )
        )
    return found


def _from_summary(summary: dict[str, Any]) -> Recorded:
    said, parameters = summary.get("provenance", {}), summary.get("parameters", {})
    return Recorded(
        "its summary",
        spec=f"{summary.get('pipeline')} sha256:{said['spec_sha256']}" if said.get("spec_sha256") else "",
        commit=said.get("git_commit") or "",
        model=said.get("model_sha256") or "",
        data=said.get("data_fingerprint") or "",
        images=tuple(each for each in (said.get("image") or "").split(", ") if each),
        sources=(parameters.get("source") or "", parameters.get("tickets_source") or ""),
    )


def record_of_job(project: str, region: str, run: str) -> Recorded | None:
    """What Vertex AI keeps of a run: the job with its spec, and what its steps gave; None where there is none."""
    from google.api_core.exceptions import NotFound
    from google.protobuf import json_format

    name = f"projects/{project}/locations/{region}/pipelineJobs/{run}"
    with asked(f"look at {run}", NotFound):
        try:
            client = vertex_client("PipelineServiceClient", region)
            job = retried(lambda: client.get_pipeline_job({"name": name}, retry=None, timeout=timeout()))
        except NotFound:
            return None
    said = json_format.MessageToDict(type(job).pb(job))
    values, spec = said.get("runtimeConfig", {}).get("parameterValues", {}), said.get("pipelineSpec", {})
    executors = spec.get("deploymentSpec", {}).get("executors", {}).values()
    given = {each["taskName"]: each.get("execution", {}).get("metadata", {}) for each in said.get("jobDetail", {}).get("taskDetails", [])}
    return Recorded(
        f"its job ({job.state.name.removeprefix('PIPELINE_STATE_').lower()})",
        spec=f"{spec.get('pipelineInfo', {}).get('name', '')} of the job, sha256:{sha256_json(spec)}" if spec else "",
        commit=str(values.get("git_commit") or said.get("labels", {}).get("commit", "")),
        model=str(given.get("train", {}).get("output:Output", "")),
        data=str(given.get("fingerprint", {}).get("output:content", "")),
        images=tuple(sorted({each["container"]["image"] for each in executors})),
        sources=(values.get("source", ""), values.get("tickets_source", "")),
    )


def registered_on_vertex(project: str, region: str, line: str, release: str) -> Registered:
    """What the registered model of a line says of a release."""
    from google.api_core.exceptions import NotFound

    name = f"projects/{project}/locations/{region}/models/churn-{line}"
    with asked(f"list the versions of churn-{line}", NotFound):
        try:
            client = vertex_client("ModelServiceClient", region)
            versions = retried(lambda: list(client.list_model_versions({"name": name}, retry=None, timeout=timeout())))
        except NotFound:
            return Registered("")
    found = next((each for each in versions if each.labels.get("release") == release or release in each.version_aliases), None)
    return Registered(str(found.version_id), dict(found.labels)) if found else Registered("")


def registered_in_mlflow(tracking_uri: str, line: str, model_sha256: str) -> Registered:
    """What the registry of MLflow says of a model."""
    from churn.registry.versions import registered

    version, tags = registered(tracking_uri, line=line, model_sha256=model_sha256)
    return Registered(version, {"model_sha256": tags.get("model_sha256", ""), "commit": tags.get("git_commit", "")} if version else {})
