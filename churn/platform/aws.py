"""Clients of Amazon's services: made here, with timeouts said and without the SDK's own retries; ours are in retries.py."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from churn.platform.errors import ConfigError, StateError
from churn.platform.settings import CloudApi, is_loopback

T = TypeVar("T")


def aws_client(service: str, region: str = "") -> Any:
    """A boto3 client: credentials and address from where the SDK looks for them (AWS_PROFILE, a role, AWS_ENDPOINT_URL).

    Raises:
        ConfigError: the SDK is not installed, or an address that is plain http and not this machine's own.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint.startswith("http://") and not is_loopback(endpoint):
        raise ConfigError(f"AWS_ENDPOINT_URL: {endpoint} is not encrypted; only an address of this machine may be plain http")
    return _client(service, region, CloudApi.read().api_timeout, endpoint)


@cache
def _client(service: str, region: str, seconds: float, endpoint: str) -> Any:
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError("target sagemaker needs boto3, which is not installed here; run: make install-cloud") from None
    config = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
    return boto3.client(service, region_name=region or None, endpoint_url=endpoint or None, config=config)


@contextmanager
def asked_aws(what: str) -> Iterator[None]:
    """What a service refuses, in one line that says what to do.

    Raises:
        StateError: it refused, failed, or did not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        raise StateError(
            f"{what}: AWS says {said.get('Code')}: {said.get('Message')}; check the role's permissions and quotas, then run again: "
            "what is done is found done"
        ) from None
    except BotoCoreError as error:
        raise StateError(f"{what}: AWS does not answer ({error}); check credentials and network, and run again") from None


def unless_missing(call: Callable[[], T]) -> T | None:
    """What a call gives; None where the service says that what it names is not there."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        said = error.response.get("Error", {})
        # SageMaker has no code of its own for it: it is a ValidationException like any other.
        if str(said.get("Message", "")).lower().startswith("could not find"):
            return None
        raise
