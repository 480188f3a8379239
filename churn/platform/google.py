"""Clients of Google Cloud: made here, with credentials, address, transport and timeout said, never taken from where they happen to be."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from churn.platform.errors import ConfigError, StateError
from churn.platform.settings import CloudApi, is_loopback

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_HOW = {
    400: "this is a fault of the project: the call is not what the service takes",
    401: "run gcloud auth application-default login",
    403: "give the account its roles: churn cloud setup --print",
    404: "check the project, the region and the name",
    409: "something changed it in between: run again",
    412: "something changed it in between: run again",
    429: "a quota is used up: wait, or raise it, and run again",
}


def vertex_client(kind: str, region: str) -> Any:
    """A gapic client of Vertex AI.

    Args:
        kind: its class in google.cloud.aiplatform_v1, for example EndpointServiceClient.
        region: where.

    Raises:
        ConfigError: the SDK is not installed, or an address that is none.
    """
    api = CloudApi.read()
    return _client(kind, api.vertex_api_endpoint or f"{region}-aiplatform.googleapis.com", api.vertex_transport)


def sdk(name: str) -> Any:
    """A module of google-cloud-aiplatform: aiplatform, or aiplatform_v1 for the generated clients.

    Raises:
        ConfigError: it is not installed: a local run does without it.
    """
    try:
        return importlib.import_module(f"google.cloud.{name}")
    except ImportError:
        raise ConfigError("target vertex needs google-cloud-aiplatform, which is not installed here; run: make install-cloud") from None


@cache
def _client(kind: str, endpoint: str, transport: str) -> Any:
    return getattr(sdk("aiplatform_v1"), kind)(
        credentials=credentials(endpoint), transport=transport, client_options={"api_endpoint": endpoint}
    )


def credentials(endpoint: str) -> Any:
    """Application default credentials; anonymous ones only where the endpoint is this machine itself.

    Raises:
        GoogleAuthError: there are none (`asked` says so in words).
        ConfigError: an endpoint elsewhere that is not encrypted.
    """
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    if is_loopback(endpoint):
        return AnonymousCredentials()
    if endpoint.startswith("http://"):
        raise ConfigError(f"CHURN_VERTEX_API_ENDPOINT: {endpoint} is not encrypted; only an address of this machine may be plain http")
    return google.auth.default(scopes=[_SCOPE])[0]


def storage_client() -> Any:
    """The client of Cloud Storage.

    Raises:
        ConfigError: an emulator's address that is not this machine's own.
    """
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if emulator and not is_loopback(emulator):
        raise ConfigError(f"STORAGE_EMULATOR_HOST: {emulator} is not an address of this machine; unset it to use Cloud Storage itself")
    return _storage_client(emulator)


@cache
def _storage_client(emulator: str) -> Any:
    from google.cloud import storage

    # Objects need no project; without this the client looks for one in the environment, and fails where there is none.
    return storage.Client(project=None, credentials=credentials(emulator or "storage.googleapis.com"))


def timeout() -> float:
    """Seconds for one call."""
    return CloudApi.read().api_timeout


@contextmanager
def asked(what: str, passing: type[BaseException] | tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """What a service refuses, in one line that says what to do; `passing` goes on to the caller, who knows what it means.

    Raises:
        StateError: it refused, failed, or did not answer.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from requests import RequestException  # type: ignore[import-untyped]

    try:
        yield
    except passing:
        raise
    except GoogleAuthError as error:
        raise StateError(f"{what}: no credentials for Google Cloud ({error}); run gcloud auth application-default login") from None
    except GoogleAPICallError as error:
        how = _HOW.get(int(error.code or 0), "run again: what is done is found done")
        raise StateError(f"{what}: Google Cloud says {int(error.code or 0)}: {error.message}; {how}") from None
    except (RetryError, RequestException, ConnectionError) as error:
        raise StateError(f"{what}: Google Cloud does not answer ({error}); check the network, and run again") from None
