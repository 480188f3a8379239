"""A compiled spec, read as data."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from churn.platform.errors import ConfigError

_TAG = re.compile(r"(:[^/:@]+)?(@.*)?$")  # of an image: its name may have a port
_CODE = re.compile(r"^# \S+, compiled by compile\.py from code (\w+)$")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pipeline: kfp's type (STRING, NUMBER_INTEGER, …)."""

    type: str


@dataclass(frozen=True)
class Spec:
    """A compiled pipeline."""

    name: str
    text: str

    @classmethod
    def read(cls, name: str, folder: Path) -> "Spec":
        """Read specs/NAME.yaml, or the file that `name` is.

        Raises:
            ConfigError: there is none, or it is not a spec.
        """
        path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
            raise ConfigError(f"no compiled pipeline {path}; run: python compile.py{f' (there are: {known})' if known else ''}")
        return cls.of(path.stem, path.read_text(), str(path))

    @classmethod
    def of(cls, name: str, text: str, where: str) -> "Spec":
        """A spec from its text, and `where` it stands.

        Raises:
            ConfigError: it is not one.
        """
        spec = cls(name, text)
        try:
            _ = spec.parameters, spec.executors
        except (yaml.YAMLError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{where} is not a compiled pipeline; run: python compile.py") from None
        return spec

    @cached_property
    def values(self) -> dict[str, Any]:
        """The spec itself."""
        values = yaml.safe_load(self.text)
        if not isinstance(values, dict):
            raise TypeError("a spec is a mapping")
        return values

    @property
    def sha256(self) -> str:
        """The hash of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def code(self) -> str:
        """The hash of the code that it was compiled from, '' where it does not say."""
        match = _CODE.match(self.text.partition("\n")[0])
        return match[1] if match else ""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The pipeline's parameters by name."""
        found = self.values["root"].get("inputDefinitions", {}).get("parameters", {})
        return {name: Parameter(each["parameterType"]) for name, each in found.items()}

    def default(self, name: str) -> Any:
        """A parameter's default; an empty structure where it has none."""
        return self.values["root"]["inputDefinitions"]["parameters"].get(name, {}).get("defaultValue", {})

    @property
    def executors(self) -> dict[str, Any]:
        """The executors by label."""
        found = self.values["deploymentSpec"]["executors"]
        assert isinstance(found, dict)
        return found

    @property
    def tag(self) -> str:
        """The one tag of every image, '' where they have none in common (they may be named by digest)."""
        tags = {image.rpartition(":")[2] for image in self.images}
        return tags.pop() if len(tags) == 1 and not any("@" in image for image in self.images) else ""

    @property
    def images(self) -> list[str]:
        """Every image, once."""
        return sorted({each["container"]["image"] for each in self.executors.values()})

    @property
    def tasks(self) -> list[str]:
        """Every task that runs something, in the order of their dependencies, the exit handler last."""
        names = self._tasks(self.values["root"]["dag"])
        exits = [name for name, task in self.values["root"]["dag"]["tasks"].items() if "strategy" in task.get("triggerPolicy", {})]
        return [name for name in names if name not in exits] + exits

    def _tasks(self, dag: dict[str, Any]) -> list[str]:
        ordered: list[str] = []
        waiting = dict(sorted(dag["tasks"].items()))
        done: set[str] = set()
        while waiting:
            ready = [name for name, task in waiting.items() if set(task.get("dependentTasks", [])) <= done] or list(waiting)
            for name in ready:
                component = self.values["components"][waiting.pop(name)["componentRef"]["name"]]
                ordered += self._tasks(component["dag"]) if "dag" in component else [name]
                done.add(name)
        return ordered

    def with_images(self, tag: str) -> str:
        """The spec as a run on this machine takes it: every image under another tag, and no step tried again.

        kfp.local obeys retryPolicy, and a person who waits has nothing of a step that fails for good failing three times, a minute and a half apart.
        """
        changed = self._changed_images(lambda image: f"{_TAG.sub('', image)}:{tag}")
        for dag in changed._dags():
            for task in dag["tasks"].values():
                task.pop("retryPolicy", None)
        return yaml.safe_dump(changed.values, sort_keys=True)

    def with_repository(self, repository: str) -> "Spec":
        """The spec with its images in a repository; one that names its registry already stays."""
        return self._changed_images(lambda image: image if "/" in image else f"{repository}/{image}")

    def _changed_images(self, change: Callable[[str], str]) -> "Spec":
        values: dict[str, Any] = yaml.safe_load(self.text)
        for executor in values["deploymentSpec"]["executors"].values():
            executor["container"]["image"] = change(executor["container"]["image"])
        return Spec(self.name, yaml.safe_dump(values, sort_keys=True))

    def with_defaults(self, defaults: dict[str, Any]) -> "Spec":
        """The spec with other defaults: what a person who starts it from the console is offered."""
        values: dict[str, Any] = yaml.safe_load(self.text)
        for name, parameter in values["root"]["inputDefinitions"]["parameters"].items():
            parameter["defaultValue"] = defaults.get(name, parameter.get("defaultValue"))
        return Spec(self.name, yaml.safe_dump(values, sort_keys=True))

    def machine(self, task: str) -> tuple[float, float]:
        """The vCPUs and GB of memory that a task gets; what Vertex AI gives where the spec does not say."""
        resources = self._executor(task)["container"].get("resources", {})
        return float(resources.get("cpuLimit", 4)), float(resources.get("memoryLimit", 16))

    def _executor(self, task: str) -> dict[str, Any]:
        for dag in self._dags():
            if task in dag["tasks"]:
                component = self.values["components"][dag["tasks"][task]["componentRef"]["name"]]
                if "executorLabel" in component:
                    return dict(self.executors[component["executorLabel"]])
        raise KeyError(task)

    def _dags(self) -> Iterator[dict[str, Any]]:
        yield self.values["root"]["dag"]
        yield from (each["dag"] for each in self.values["components"].values() if "dag" in each)
