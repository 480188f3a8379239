"""Cloud Storage: every call with its timeout, its checksum, and our own retries instead of the client's."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from churn.platform.errors import InputError
from churn.platform.google import storage_client, timeout
from churn.platform.retries import Backoff, may_pass, retried, status
from churn.platform.storage import ABSENT

T = TypeVar("T")
_CHUNK = 8 * 1024 * 1024  # bytes; a larger file is uploaded so, and goes on where it was cut off


def fingerprint(bucket: str, name: str) -> str:
    """Generation and crc32c; nothing is downloaded."""
    blob = _blob(bucket, name)
    _ask(bucket, name, lambda: blob.reload(**_plain()))
    return f"gcs:{blob.generation}:{blob.crc32c}"


def read(bucket: str, name: str) -> tuple[bytes, str] | None:
    """The content and its generation; None where there is nothing."""
    from google.cloud.exceptions import NotFound

    def look() -> tuple[bytes, str]:
        blob = _blob(bucket, name)
        content = blob.download_as_bytes(checksum="crc32c", **_plain())
        return content, str(blob.generation)

    with contextlib.suppress(NotFound):
        return _ask(bucket, name, look, passing=NotFound)
    return None


def write(bucket: str, name: str, content: bytes, version: str | None) -> bool:
    """Write an object in one request; with a version only if it still has it. False where it has another."""
    match = {} if version is None else {"if_generation_match": 0 if version == ABSENT else int(version)}
    blob = _blob(bucket, name)
    kind = "application/json" if name.endswith(".json") else "application/octet-stream"
    return _unless_moved(bucket, name, lambda: blob.upload_from_string(content, content_type=kind, checksum="crc32c", **match, **_plain()))


def upload(path: Path, bucket: str, name: str) -> bool:
    """Upload a file where nothing is; False where something is."""
    blob = _blob(bucket, name)
    large = path.stat().st_size > _CHUNK
    blob.chunk_size = _CHUNK if large else None
    if _exists(blob, bucket, name):
        return False
    # Only the client knows the session of a resumable upload: there it tries again itself, by our rule of what may be, and goes on where it was.
    how = _plain() | ({"retry": _resuming()} if large else {})
    return _unless_moved(bucket, name, lambda: blob.upload_from_filename(str(path), if_generation_match=0, checksum="crc32c", **how))


def download(bucket: str, name: str, path: Path) -> None:
    """The object as a file, its checksum verified."""
    _ask(bucket, name, lambda: _blob(bucket, name).download_to_filename(str(path), checksum="crc32c", **_plain()))


def names(bucket: str, prefix: str) -> list[str]:
    """Every name that begins so."""
    return [blob.name for blob in _ask(bucket, prefix, lambda: list(storage_client().list_blobs(bucket, prefix=prefix, **_plain())))]


def check_bucket(bucket: str) -> None:
    """Look whether it is there."""
    _ask(bucket, "", lambda: storage_client().get_bucket(bucket, **_plain()))


def _blob(bucket: str, name: str) -> Any:
    with _said(bucket, name):
        return storage_client().bucket(bucket).blob(name)


def _exists(blob: Any, bucket: str, name: str) -> bool:
    return bool(_ask(bucket, name, lambda: blob.exists(**_plain())))


def _resuming() -> Any:
    from google.api_core.retry import Retry

    backoff = Backoff()
    return Retry(predicate=may_pass, initial=backoff.first, maximum=backoff.most, timeout=backoff.most * backoff.tries)


def _plain() -> dict[str, Any]:
    return {"timeout": timeout(), "retry": None}


def _unless_moved(bucket: str, name: str, call: Callable[[], object]) -> bool:
    from google.api_core.exceptions import PreconditionFailed

    try:
        _ask(bucket, name, call, passing=PreconditionFailed)
    except PreconditionFailed:
        return False
    return True


def _ask(bucket: str, name: str, call: Callable[[], T], passing: type[BaseException] | tuple[()] = ()) -> T:
    with _said(bucket, name, passing):
        return retried(call)


@contextlib.contextmanager
def _said(bucket: str, name: str, passing: type[BaseException] | tuple[()] = ()) -> Iterator[None]:
    """What Cloud Storage refuses, in one line."""
    from google.api_core.exceptions import RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.cloud.exceptions import GoogleCloudError
    from google.cloud.storage.exceptions import DataCorruption
    from requests import RequestException  # type: ignore[import-untyped]

    uri = f"gs://{bucket}/{name}"
    try:
        yield
    except passing:
        raise
    except (TransportError, RetryError, RequestException, ConnectionError) as error:
        raise InputError(f"{uri}: Cloud Storage does not answer ({error}); check the network, and run again") from None
    except GoogleAuthError as error:
        raise InputError(f"{uri}: no credentials for Cloud Storage ({error}); run gcloud auth application-default login") from None
    except GoogleCloudError as error:
        raise InputError(
            f"{uri}: Cloud Storage says {status(error)}: {error.message}; check the name and the account's permission"
        ) from None
    except DataCorruption as error:
        raise InputError(f"{uri}: what arrived is not what is stored ({error}); run again") from None
