"""Files that are whole or not there, sealed folders, and locks that the kernel frees."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from churn.platform.errors import IntegrityError

SEAL = "MANIFEST.json"


def sha256_file(path: str | Path) -> str:
    """The sha256 of a file's content, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """The sha256 of a JSON value in canonical form: keys sorted, no white space."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file beside its place, sync it, and rename it there: a reader sees the old content or the new, never half."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file whole. NaN and infinity are refused: they are not JSON."""
    write_whole(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file; an IntegrityError where there is none."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise IntegrityError(f"{path} is missing") from None
    except ValueError:
        raise IntegrityError(f"{path} is not JSON: it was cut off or changed after it was written") from None


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def seal(folder: str | Path) -> str:
    """Write the manifest of a folder, the sha256 of every file in it; gives the folder's own hash."""
    folder = Path(folder)
    hashes = {name: sha256_file(folder / name) for name in _names(folder)}
    write_json(folder / SEAL, hashes)
    return sha256_json(hashes)


def check_seal(folder: str | Path) -> str:
    """Check every file of a sealed folder against its manifest; gives the folder's hash.

    Raises:
        IntegrityError: a file is missing, added, emptied or changed since the folder was sealed.
    """
    folder = Path(folder)
    hashes = read_json(folder / SEAL)
    if not isinstance(hashes, dict):
        raise IntegrityError(f"{folder / SEAL} is not a manifest; delete the folder, and run again so that it is made anew")
    names = _names(folder)
    for name in sorted(set(hashes) | set(names)):
        if name not in names or name not in hashes or sha256_file(folder / name) != hashes[name]:
            what = "missing" if name not in names else "not in its manifest" if name not in hashes else "not what was written"
            raise IntegrityError(f"{folder / name} is {what}; delete the folder, and run again so that it is made anew")
    return sha256_json(hashes)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)


@contextlib.contextmanager
def whole_folder(target: str | Path) -> Iterator[Path]:
    """A folder to fill, beside its place; sealed, synced and renamed there when the block ends without an error."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    beside.chmod(0o755)
    try:
        yield beside
        seal(beside)
        for path in (*beside.rglob("*"), beside):
            sync(path)
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync(target.parent)


def replace_link(link: Path, to: str) -> None:
    """Point a symbolic link at another name, atomically: it points at the old or the new, and is never absent."""
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(to)
    beside.replace(link)
    sync(link.parent)


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel frees it when the process ends, however it ends."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: str | Path) -> bool:
    """True where some process holds the lock on this file."""
    try:
        with Path(path).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
