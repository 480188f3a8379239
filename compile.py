"""Compile every pipeline to specs/NAME.yaml: python compile.py [--image-tag T | --images FILE] [--out DIR]. The same input gives the same bytes."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from churn.platform.checked import read_yaml
from churn.platform.errors import ChurnError, ConfigError
from churn.platform.files import write_whole
from churn.platform.settings import CONFIGS
from pipelines.code import image_hash, spec_hash
from pipelines.configuration import training_defaults
from pipelines.policy import pinned, violations

GROUPS = ("data", "train", "deploy")
SERVER = "server"


def pipelines() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Every pipeline by name, with its parameters' defaults."""
    from pipelines.training import training_pipeline

    return {"training": (training_pipeline, training_defaults())}


def images_for(tag: str) -> dict[str, str]:
    """The image of each group of dependencies, by one tag.

    Raises:
        ConfigError: it is latest, or none.
    """
    if not pinned(f"image:{tag}"):
        raise ConfigError(f"--image-tag {tag}: is no tag that stays what it is; give one of this build, for example the commit")
    return {group: f"churn-{group}:{tag}" for group in GROUPS}


def read_images(path: Path) -> dict[str, str]:
    """The image of each group as a build wrote them: {"data": "HOST/…/data@sha256:…", …}; that of the server, where it is there, goes along.

    Raises:
        ConfigError: no such file, an image missing, or one that does not stay what it is.
    """
    try:
        images = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--images {path}: {error}; it should be a JSON object with {', '.join(GROUPS)}") from None
    missing = [group for group in GROUPS if not isinstance(images, dict) or not isinstance(images.get(group), str)]
    if missing:
        raise ConfigError(f"--images {path}: has no reference for {', '.join(missing)}")
    named = {group: images[group] for group in (*GROUPS, SERVER) if group in images}
    moving = [f"{group} is {image!r}" for group, image in named.items() if not pinned(str(image))]
    if moving:
        raise ConfigError(f"--images {path}: {'; '.join(moving)}: give the digest that was pushed (NAME@sha256:…), never latest")
    return named


def limits(machine: dict[str, float]) -> dict[str, Any]:
    """A machine as kfp writes set_cpu_limit and set_memory_limit into a spec: Vertex AI reads the numbers, newer backends the texts."""
    cpu, memory = machine["cpu"], machine["memory"]
    return {"cpuLimit": float(cpu), "memoryLimit": float(memory), "resourceCpuLimit": f"{cpu}", "resourceMemoryLimit": f"{memory}G"}


def compiled(name: str, images: dict[str, str]) -> str:
    """The spec of a pipeline as YAML, one document, its keys sorted, so that the same input gives the same bytes."""
    from kfp import compiler

    function, defaults = pipelines()[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        compiler.Compiler().compile(function, str(path), pipeline_parameters=defaults)
        spec = yaml.safe_load(path.read_text())
    machines = read_yaml(CONFIGS / "machines.yaml")
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        group = container["image"].removeprefix("churn-")
        container["image"] = images[group]
        container["resources"] = limits(machines[group])
    serving = spec["root"]["inputDefinitions"]["parameters"].get("serving")
    if serving and SERVER in images:
        serving["defaultValue"] = {**serving["defaultValue"], "image": images[SERVER]}
    return f"# {name}, compiled by compile.py from code {spec_hash()}\n" + yaml.safe_dump(spec, sort_keys=True, width=140)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Compile every pipeline to a spec.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--image-tag", metavar="T", help="the tag of the pipeline's images (default: the hash of the code that they hold)")
    which.add_argument("--images", metavar="FILE", type=Path, help="JSON with the reference of each image, as a build wrote it")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path(__file__).parent / "specs", help="where the specs go (default: specs/)"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 where a spec breaks a rule of pipelines/policy.py")
    options = parser.parse_args(arguments)
    broken = 0
    try:
        images = read_images(options.images) if options.images else images_for(options.image_tag or f"src-{image_hash()}")
        for name in pipelines():
            text = compiled(name, images)
            write_whole(options.out / f"{name}.yaml", text)
            print(f"compiled {name}: {options.out / f'{name}.yaml'}")
            for words in violations(text) if options.check else ():
                print(f"compile.py: {name}: {words}", file=sys.stderr)
                broken = 1
    except ChurnError as error:
        print(f"compile.py: {error}", file=sys.stderr)
        return 2
    return broken


if __name__ == "__main__":
    sys.exit(main())
