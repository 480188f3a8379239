"""Files and objects by one name: a local path, gs://BUCKET/OBJECT or s3://BUCKET/OBJECT.

Credentials, timeouts, retries and checksums are said, never left to chance.
"""

import importlib
from pathlib import Path
from typing import Any

from churn.platform.errors import InputError, StateError
from churn.platform.files import SEAL, check_seal, read_json, sha256_file, write_whole

_BACKENDS = {"gs": "churn.platform.storage.gcs", "s3": "churn.platform.storage.s3"}
ABSENT = "absent"  # the version of what is not there


def is_remote(uri: str) -> bool:
    """True for a gs:// or s3:// URI."""
    return uri.partition("://")[0] in _BACKENDS and "://" in uri


def fingerprint(uri: str) -> str:
    """What stands at a name, as a string that changes with the content: sha256 of a file, version and checksum of an object."""
    if is_remote(uri):
        return str(_backend(uri).fingerprint(*_parts(uri)))
    return f"sha256:{sha256_file(_local(uri))}"


def fetch(uri: str, folder: str | Path) -> Path:
    """A local file with the content: the file itself, or the object downloaded into `folder` with its checksum verified."""
    if not is_remote(uri):
        return _local(uri)
    target = Path(folder) / uri.rsplit("/", 1)[1]
    target.parent.mkdir(parents=True, exist_ok=True)
    _backend(uri).download(*_parts(uri), target)
    return target


def write_text(uri: str, text: str) -> None:
    """Write a small text whole: a local file, or an object."""
    if is_remote(uri):
        _backend(uri).write(*_parts(uri), text.encode(), None)
    else:
        write_whole(uri, text)


def read_text(uri: str) -> str | None:
    """The text at a name, None where there is nothing."""
    return read_version(uri)[0]


def read_version(uri: str) -> tuple[str | None, str]:
    """The text at a name and its version, for `swap_text`; None and 'absent' where there is nothing. A local file's version is its hash."""
    if is_remote(uri):
        found = _backend(uri).read(*_parts(uri))
        return (found[0].decode(), found[1]) if found else (None, ABSENT)
    return (Path(uri).read_text(), sha256_file(uri)) if Path(uri).exists() else (None, ABSENT)


def swap_text(uri: str, text: str, version: str) -> bool:
    """Write an object only if what is there still has this version ('absent': nothing is); gives whether it was written.

    A write whose answer was lost is found written: the content says so.
    """
    backend, parts = _backend(uri), _parts(uri)
    if backend.write(*parts, text.encode(), version):
        return True
    found = backend.read(*parts)
    return bool(found and found[0] == text.encode())


def upload_once(path: str | Path, uri: str) -> bool:
    """Upload a file to a name that is its own (by its hash); gives False where it was there already. Large ones resume; checksums are verified."""
    return bool(_backend(uri).upload(Path(path), *_parts(uri)))


def upload_sealed(folder: str | Path, uri: str) -> None:
    """Upload a sealed folder, its manifest last: without it, the folder is not there for any reader.

    Raises:
        IntegrityError: it is not what was sealed.
    """
    folder = Path(folder)
    check_seal(folder)
    backend, (bucket, prefix) = _backend(uri), _parts(uri)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    for name in (*names, SEAL):
        backend.write(bucket, f"{prefix}/{name}", (folder / name).read_bytes(), None)


def download_sealed(uri: str, folder: str | Path) -> Path:
    """Download a sealed folder and check it.

    Raises:
        StateError: there is none, or not whole.
        IntegrityError: it is not what was sealed.
    """
    folder, backend, (bucket, prefix) = Path(folder), _backend(uri), _parts(uri)
    manifest = backend.read(bucket, f"{prefix}/{SEAL}")
    if manifest is None:
        raise StateError(f"{uri} is not there, or was not written whole ({SEAL} is missing); run again so that it is made anew")
    write_whole(folder / SEAL, manifest[0])
    for name in read_json(folder / SEAL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        backend.download(bucket, f"{prefix}/{name}", folder / name)
    check_seal(folder)
    return folder


def names(uri: str) -> list[str]:
    """The names of the objects below a URI, without it, sorted."""
    bucket, prefix = _parts(f"{uri.rstrip('/')}/")
    return sorted(name.removeprefix(prefix) for name in _backend(uri).names(bucket, prefix))


def check_bucket(uri: str) -> None:
    """Say in one line where the bucket of a URI is not there or may not be read; nothing is created.

    Raises:
        InputError: it is so.
    """
    _backend(uri).check_bucket(_parts(uri)[0])


def _backend(uri: str) -> Any:
    return importlib.import_module(_BACKENDS[uri.partition("://")[0]])


def _parts(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    if not bucket or not name:
        raise InputError(f"{uri}: not an object's name; it is {scheme}://BUCKET/OBJECT")
    return bucket, name


def _local(uri: str) -> Path:
    path = Path(uri)
    if not path.exists():
        raise InputError(f"{uri}: no such file; give the path of one as the source")
    if not path.is_file():
        raise InputError(f"{uri}: is a folder; give the path of one file")
    return path
