"""Specs in Artifact Registry's KFP repository: put there for the console and for others, and submitted from there."""

from pathlib import Path
from typing import Any

from churn.platform.errors import ConfigError, StateError
from churn.platform.google import credentials, timeout
from churn.platform.retries import may_pass, retried
from churn.platform.settings import VertexEnvironment, is_loopback
from pipelines.submit.spec import Spec


def is_reference(name: str) -> bool:
    """True for the address of a spec in a repository, as upload gives it."""
    return name.startswith(("https://", "http://"))


def upload(spec: Spec, environment: VertexEnvironment, tags: list[str]) -> str:
    """Upload a spec with its tags; gives its address, by its content's hash. The same spec again is the same version."""
    body = {"tags": ",".join(tags), "description": f"{spec.name}, by submit --upload"}
    answer = _ask("post", environment.kfp_repository, data=body, files={"content": (f"{spec.name}.yaml", spec.text.encode())})
    return f"{environment.kfp_repository}/{str(answer.text).strip()}"


def download(address: str) -> Spec:
    """A spec from a repository.

    Raises:
        ConfigError: nothing is there, or it is no spec.
    """
    answer = _ask("get", address)
    name = address.removesuffix("/").rsplit("/", 2)[-2].removeprefix("churn-")
    return Spec.of(name, answer.text, address)


def _ask(verb: str, address: str, **more: Any) -> Any:
    """One request, tried again where that may help.

    Raises:
        ConfigError: an address that is plain http and not this machine's own, or nothing there.
        StateError: it was refused, or nobody answered.
    """
    import requests  # type: ignore[import-untyped]
    from google.auth.transport.requests import AuthorizedSession

    session = requests.Session() if is_loopback(address) else AuthorizedSession(credentials(address))

    def call() -> Any:
        answer = session.request(verb, address, timeout=timeout(), **more)
        answer.raise_for_status()
        return answer

    try:
        return retried(call)
    except requests.RequestException as error:
        status = getattr(error.response, "status_code", None)
        if status == 404:
            raise ConfigError(
                f"{address}: nothing is there; submit --upload puts a spec there, churn cloud setup --print makes the repository"
            ) from None
        how = "check the network" if may_pass(error) else "give the account roles/artifactregistry.writer: churn cloud setup --print"
        raise StateError(f"{address}: the KFP repository says {status or type(error).__name__}; {how}, and run again") from None


def spec_named(name: str, folder: Path) -> Spec:
    """The spec that a command line names: a pipeline in `folder`, a file, or an address in a repository."""
    return download(name) if is_reference(name) else Spec.read(name, folder)
