"""Files and objects by one name: a local path or gs://bucket/object."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from churn.platform.errors import InputError
from churn.platform.files import sha256_file, write_whole

_TIMEOUT = 60  # seconds, for each request to Cloud Storage


def is_remote(uri: str) -> bool:
    """True for a gs:// URI."""
    return uri.startswith("gs://")


def fingerprint(uri: str) -> str:
    """What stands at a name, as a string that changes with the content: sha256 of a file, generation and crc32c of an object."""
    if is_remote(uri):
        blob = _blob(uri)
        return f"gcs:{blob.generation}:{blob.crc32c}"
    return f"sha256:{sha256_file(_local(uri))}"


def fetch(uri: str, folder: str | Path) -> Path:
    """A local file with the content: the file itself, or the object downloaded into `folder` with its checksum verified."""
    if not is_remote(uri):
        return _local(uri)
    blob = _blob(uri)
    target = Path(folder) / uri.rsplit("/", 1)[1]
    target.parent.mkdir(parents=True, exist_ok=True)
    with _asked(uri):
        blob.download_to_filename(str(target), checksum="crc32c", timeout=_TIMEOUT)
    return target


def write_text(uri: str, text: str) -> None:
    """Write a small text whole: a local file, or an object."""
    if is_remote(uri):
        with _asked(uri):
            _bucket_object(uri).upload_from_string(text, content_type="application/json", timeout=_TIMEOUT)
    else:
        write_whole(uri, text)


def read_text(uri: str) -> str | None:
    """The text at a name, None where there is nothing."""
    if is_remote(uri):
        from google.cloud.exceptions import NotFound

        with _asked(uri), contextlib.suppress(NotFound):
            return str(_bucket_object(uri).download_as_text(timeout=_TIMEOUT))
        return None
    return Path(uri).read_text() if Path(uri).exists() else None


def _local(uri: str) -> Path:
    path = Path(uri)
    if not path.exists():
        raise InputError(f"{uri}: no such file; give the path of one as the source")
    if not path.is_file():
        raise InputError(f"{uri}: is a folder; give the path of one file")
    return path


def _bucket_object(uri: str) -> Any:
    from google.cloud import storage

    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not bucket or not name:
        raise InputError(f"{uri}: not an object's name; it is gs://BUCKET/OBJECT")
    # Objects need no project; without this the client looks for one in the environment, and fails where there is none.
    return storage.Client(project=None).bucket(bucket).blob(name)


def _blob(uri: str) -> Any:
    with _asked(uri):
        blob = _bucket_object(uri)
        blob.reload(timeout=_TIMEOUT)
    return blob


@contextlib.contextmanager
def _asked(uri: str) -> Iterator[None]:
    """What Cloud Storage refuses, in one line."""
    from google.api_core.exceptions import RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.cloud.exceptions import GoogleCloudError
    from google.cloud.storage.exceptions import DataCorruption
    from requests import RequestException  # type: ignore[import-untyped]

    try:
        yield
    except (TransportError, RetryError, RequestException) as error:
        raise InputError(f"{uri}: Cloud Storage does not answer ({error}); check the network, and run again") from None
    except GoogleAuthError as error:
        raise InputError(f"{uri}: no credentials for Cloud Storage ({error}); run gcloud auth application-default login") from None
    except GoogleCloudError as error:
        raise InputError(f"{uri}: Cloud Storage says {error.code}: {error.message}; check the name and the reader's permission") from None
    except DataCorruption as error:
        raise InputError(f"{uri}: what arrived is not what is stored ({error}); run again") from None
