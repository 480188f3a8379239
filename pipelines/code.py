"""What code a spec was compiled from."""

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

from churn.platform.settings import CHECKOUT

_LOCKS = tuple(f"requirements/{name}.txt" for name in ("local", "data", "train", "deploy", "server"))
_IN_THE_IMAGE = ("churn", "components", *_LOCKS, "containers/pipeline/Dockerfile", "containers/server/Dockerfile")
_IN_THE_SPEC = (*_IN_THE_IMAGE, "pipelines", "compile.py")


def image_hash(root: Path = CHECKOUT) -> str:
    """The hash of what an image holds and how it is built. It names the image of a local run, and so stands in every cache key."""
    return _hash(root, _IN_THE_IMAGE)


def spec_hash(root: Path = CHECKOUT) -> str:
    """The hash of what a spec is compiled from."""
    return _hash(root, _IN_THE_SPEC)


def _hash(root: Path, places: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for place in places:
        for path in sorted((root / place).rglob("*.py")) if (root / place).is_dir() else [root / place]:
            if not path.exists():
                continue
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def git_commit(root: Path = CHECKOUT) -> str:
    """The commit of the checkout, with -dirty where files differ from it; '' outside a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
