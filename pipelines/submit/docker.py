"""Steps in containers: kfp's DockerRunner with the project's images, a read-only root, a fixed user, and nothing mounted that a step does not need.

kfp 2.17.0 has containers removed by themselves, and takes one that is gone for one that succeeded: failing steps are reported as successes. Here a container is
kept until its exit status is read.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from churn.platform.errors import ConfigError, StateError

_USER = 10001  # of the images
MOUNTS = "mounts"  # among the arguments: kfp takes the rest, and mounts no more than its own folders


def arguments(places: list[Path], read_only: list[Path]) -> dict[str, Any]:
    """What a step's container gets: mounts, a read-only root with a /tmp of its own, a user, and no network but its own loopback.

    Args:
        places: folders that a step writes to, mounted under their own names; made where they are missing.
        read_only: files that it reads.
    """
    mounts = [f"{path}:{path}:rw" for path in places] + [f"{path}:{path}:ro" for path in read_only if path.exists()]
    for path in places:
        path.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        user = _USER
        for path in places:
            _give(path, user)
    else:
        user = os.getuid()
    return {
        "user": f"{user}:{user if os.getuid() == 0 else os.getgid()}",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,exec,size=2g,mode=1777"},  # noqa: S108 (the container's own)
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        MOUNTS: mounts,
    }


def with_lock(given: dict[str, Any], variable: str, lock: Path) -> dict[str, Any]:
    """The same with the run's lock where a step looks at it: a step whose run was killed promotes nothing."""
    return given | {MOUNTS: [*given[MOUNTS], f"{lock}:{lock}:ro"], "environment": {variable: str(lock)}}


def _give(path: Path, user: int) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, user, user, follow_symlinks=False)


def runner(given: dict[str, Any]) -> Any:
    """kfp's DockerRunner with these arguments for each container.

    Raises:
        ConfigError: the docker SDK or an engine is not there.
    """
    from kfp import local

    try:
        import docker  # type: ignore[import-untyped]

        docker.from_env().close()
    except Exception as error:
        raise ConfigError(f"--runner docker: no docker engine answers ({type(error).__name__}); start one, or set DOCKER_HOST") from None
    return local.DockerRunner(**{name: value for name, value in given.items() if name != MOUNTS})


def check_images(images: list[str]) -> None:
    """Say which images are missing before the first step asks for one.

    Raises:
        ConfigError: some are.
    """
    import docker

    client = docker.from_env()
    there = {tag for image in client.images.list() for tag in image.tags}
    client.close()
    missing = [image for image in images if image not in there]
    if missing:
        raise ConfigError(f"--runner docker: no image {', '.join(missing)}; python -m containers.build makes them")


def kept(mounts: list[str]) -> Callable[..., int]:
    """kfp.local.docker_task_handler.run_docker_container, whose containers stay until their exit status is read, with these mounts besides kfp's."""

    def run_docker_container(client: Any, image: str, command: list[str], volumes: dict[str, Any], **given: Any) -> int:
        own = [
            f"{path}:{each['bind']}:{each['mode']}" for path, each in volumes.items() if not any(m.startswith(f"{path}:") for m in mounts)
        ]
        container = client.containers.run(image=image, command=command, detach=True, volumes=[*own, *mounts], auto_remove=False, **given)
        try:
            for line in container.logs(stream=True):
                print(line.decode(errors="replace"), end="")
            status = container.wait().get("StatusCode")
            if status is None:
                raise StateError(f"the engine does not say how the container of {image} ended")
            return int(status)
        finally:
            container.remove(force=True)

    return run_docker_container
