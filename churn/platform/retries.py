"""Retries in one place: backoff with jitter, and only on what may be tried again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from churn.platform.errors import StateError

T = TypeVar("T")
_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# By name, so that nothing of a cloud's SDK is imported to find out: connections that were refused, cut off or too slow, in every client's words.
_PASSING = frozenset(
    {
        "ConnectionError",
        "ConnectionResetError",
        "ConnectionClosedError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ReadTimeout",
        "ConnectTimeout",
        "ChunkedEncodingError",
        "ProtocolError",
        "RemoteDisconnected",
        "TransportError",
        "RetryError",
        "Timeout",
        "TimeoutError",
        "DeadlineExceeded",
    }
)


@dataclass(frozen=True)
class Backoff:
    """How long to wait between tries, in seconds: `first`, doubled each time up to `most`, each with full jitter; given up after `tries`."""

    first: float = 0.5
    most: float = 20.0
    tries: int = 6

    def wait(self, number: int) -> float:
        """The wait after the try with this number, from 0."""
        return random.uniform(0, min(self.most, self.first * 2**number))  # noqa: S311 (spread, not secrecy)


def may_pass(error: BaseException) -> bool:
    """True for an error that the same call may not meet again: too many requests, a server's fault, a connection cut off or too slow."""
    return status(error) in _STATUSES or any(kind.__name__ in _PASSING for kind in type(error).__mro__)


def status(error: BaseException) -> int | None:
    """The HTTP status that an error of google-api-core, google-cloud-storage, requests or botocore carries; None where there is none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        throttled = str(response.get("Error", {}).get("Code", "")) in {"ThrottlingException", "Throttling", "TooManyRequestsException"}
        return 429 if throttled else found
    code = getattr(error, "code", None) or getattr(response, "status_code", None)
    return int(code) if isinstance(code, int) else None


def retried(call: Callable[[], T], *, backoff: Backoff | None = None) -> T:
    """What a call gives, tried again while it fails with what may pass.

    Args:
        call: without arguments, and safe to make twice: it looks before it acts, or names what it makes.
        backoff: how often, how long.

    Raises:
        Exception: the call's own, where it may not be tried again or was tried often enough.
    """
    backoff = backoff or Backoff()
    for number in range(backoff.tries - 1):
        try:
            return call()
        except Exception as error:
            if not may_pass(error):
                raise
            time.sleep(backoff.wait(number))
    return call()


def waited(look: Callable[[], T | None], *, what: str, seconds: float, backoff: Backoff | None = None) -> T:
    """What `look` gives when it first gives something, asked again and again.

    Raises:
        StateError: nothing within the time.
    """
    backoff = backoff or Backoff(first=0.05)
    until = time.monotonic() + seconds
    for number in range(10_000_000):
        found = look()
        if found is not None:
            return found
        if time.monotonic() > until:
            break
        time.sleep(min(backoff.most, backoff.first * 1.5 ** min(number, 40)))
    raise StateError(f"{what}: not done within {seconds:.0f} s; look at it in the console, then run again: what is done is found done")
