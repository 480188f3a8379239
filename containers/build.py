"""Build the images with whatever docker engine is there: python -m containers.build [--tag T] [--push] [--images FILE] [--cache-from] [--base IMAGE]."""

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from churn.platform.errors import ChurnError, ConfigError, StateError
from churn.platform.files import write_json
from churn.platform.settings import CHECKOUT
from pipelines.code import git_commit, image_hash

IMAGES = ("data", "train", "deploy", "server")
_NEEDS = "install a docker engine, and start it"


def reference(image: str, tag: str) -> str:
    """An image's name: in CHURN_IMAGE_REPOSITORY where that is set, else on this engine alone."""
    repository = os.environ.get("CHURN_IMAGE_REPOSITORY", "").rstrip("/")
    return f"{f'{repository}/' if repository else ''}churn-{image}:{tag}"


def docker(*arguments: str, capture: bool = False, given: str | None = None, allowed: tuple[int, ...] = ()) -> str:
    """Call the docker client (CHURN_DOCKER names another than the first on the path); gives what it said, where that is captured.

    Args:
        arguments: of the client.
        capture: give its output instead of showing it.
        given: its standard input.
        allowed: exit statuses that are an answer too.

    Raises:
        StateError: it is not there, or it failed.
    """
    command = [os.environ.get("CHURN_DOCKER", "docker"), *arguments]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    try:
        done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE if capture else None, input=given, env=environment)
    except FileNotFoundError:
        raise StateError(f"{command[0]} is not there; {_NEEDS}") from None
    if done.returncode not in (0, *allowed):
        raise StateError(f"{' '.join(command[:3])} … failed with {done.returncode}; {_NEEDS}, or read what it said above")
    return (done.stdout or "").strip()


def build(image: str, tag: str, *, base: str = "", cache: bool = False) -> str:
    """Build one image; gives its reference.

    Args:
        image: data, train, deploy or server.
        tag: its tag, never latest.
        base: the base image, where it is not python:3.11-slim; by digest in releases.
        cache: take layers of the last build in the repository.
    """
    name, folder = reference(image, tag), "server" if image == "server" else "pipeline"
    given = labels(tag) | ({"BASE": base} if base else {})
    options = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
    if cache and os.environ.get("CHURN_IMAGE_REPOSITORY"):
        options += ["--cache-from", reference(image, "cache"), "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
    # Without a bridge (an engine in a CI's machine) the build reaches the package index by the host's network.
    options += ["--network", os.environ.get("CHURN_DOCKER_NETWORK", "default")]
    docker(
        "build",
        "--quiet",
        "--file",
        f"{CHECKOUT}/containers/{folder}/Dockerfile",
        "--target",
        image,
        "--tag",
        name,
        *options,
        str(CHECKOUT),
    )
    return name


def labels(tag: str) -> dict[str, str]:
    """What the images say of where they come from."""
    remote = subprocess.run(
        ["git", "-C", str(CHECKOUT), "remote", "get-url", "origin"], capture_output=True, text=True, check=False
    ).stdout.strip()
    source = remote if remote.startswith("https://") else "unknown"
    return {"COMMIT": git_commit() or "unknown", "CREATED": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "SOURCE": source, "VERSION": tag}


def push(name: str, image: str) -> str:
    """Push an image, and its layers as the next build's cache; gives its reference by digest."""
    docker("push", "--quiet", name)
    kept = reference(image, "cache")
    docker("tag", name, kept)
    docker("push", "--quiet", kept)
    repository = name.rpartition(":")[0]
    digests = json.loads(docker("inspect", "--format", "{{json .RepoDigests}}", name, capture=True))
    found = [each for each in digests if each.startswith(f"{repository}@sha256:")]
    if not found:
        raise StateError(f"{name} was pushed, and the engine knows no digest of it")
    return str(found[0])


def megabytes(name: str) -> float:
    """The size of an image, MB."""
    return int(docker("inspect", "--format", "{{.Size}}", name, capture=True)) / 1e6


def main(arguments: list[str] | None = None) -> int:
    """The command; gives 0, 1 where it failed, 2 where the call was wrong."""
    parser = argparse.ArgumentParser(prog="python -m containers.build", description="Build the images.")
    parser.add_argument("--tag", default=f"src-{image_hash()}", help="(default: the hash of the code that they hold)")
    parser.add_argument("--base", default=os.environ.get("CHURN_BASE_IMAGE", ""), help="the base image (default: python:3.11-slim)")
    parser.add_argument("--cache-from", action="store_true", help="take layers of the last build in the repository")
    parser.add_argument("--push", action="store_true", help="push what was built with this tag, instead of building")
    parser.add_argument("--images", type=Path, metavar="FILE", help="with --push: write the references by digest, for compile.py --images")
    options = parser.parse_args(arguments)
    try:
        if options.tag == "latest":
            raise ConfigError("--tag latest says nothing of what is in it; give a commit")
        if options.push and not os.environ.get("CHURN_IMAGE_REPOSITORY"):
            raise ConfigError("--push: set CHURN_IMAGE_REPOSITORY, for example us-central1-docker.pkg.dev/my-project/churn")
        if options.push:
            pushed = {image: push(reference(image, options.tag), image) for image in IMAGES}
            if options.images:
                write_json(options.images, pushed)
            return 0
        for image in IMAGES:
            name = build(image, options.tag, base=options.base, cache=options.cache_from)
            print(f"{name}: {megabytes(name):.0f} MB", flush=True)
    except ConfigError as error:
        print(f"containers.build: {error}", file=sys.stderr)
        return 2
    except ChurnError as error:
        print(f"containers.build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
