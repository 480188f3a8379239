"""Cloud Build's files: checked as the service would, and run as it runs them: by waitFor, with substitutions, over one workspace, until something fails."""

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.cloud.devtools import cloudbuild_v1 as cb
from google.protobuf import json_format

from churn.platform.settings import CHECKOUT

BUILTIN = {
    *("PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "LOCATION", "TRIGGER_NAME", "COMMIT_SHA", "SHORT_SHA", "REVISION_ID"),
    *("REPO_NAME", "REPO_FULL_NAME", "BRANCH_NAME", "TAG_NAME", "REF_NAME"),
}
BUILDS = [Path("cloudbuild.yaml"), *sorted(path.relative_to(CHECKOUT) for path in (CHECKOUT / "cloudbuild").glob("*.yaml"))]
TRIGGERS = sorted(path.relative_to(CHECKOUT) for path in (CHECKOUT / "cloudbuild" / "triggers").glob("*.yaml"))
_USED = re.compile(r"(?<!\$)\$(?:\{(\w+)\}|(\w+))")


def read(path: Path) -> dict[str, Any]:
    """A file's values."""
    return yaml.safe_load((CHECKOUT / path).read_text())


def targets() -> set[str]:
    """Every target of the Makefile."""
    return set(re.findall(r"^([a-z][\w-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


def wrong(document: dict[str, Any], kind: type = cb.Build) -> list[str]:
    """Everything that is wrong in a build or a trigger, in words."""
    try:
        json_format.ParseDict(document, kind.pb(kind()))
    except json_format.ParseError as error:
        return [f"not a {kind.__name__}: {' '.join(str(error).split())}"]
    said = [f"{key} is written with an underscore" for key in _keys(document) if "_" in key]
    return said + (list(_build(document)) if kind is cb.Build else list(_trigger(document)))


def _build(build: dict[str, Any]) -> Iterator[str]:
    yield from _substitutions(build)
    yield from _order(build["steps"])
    for step in build["steps"]:
        if not step.get("timeout"):
            yield f"{step.get('id')} has no timeout"
        if step.get("script") or step.get("entrypoint") != "make":
            yield f"{step.get('id')} is not a target of the Makefile"
        yield from (f"make has no {target}" for target in goals(step) if target not in targets())
    yield from _account(build.get("serviceAccount", ""))
    if build.get("options", {}).get("logging") != "CLOUD_LOGGING_ONLY":
        yield "options.logging is not CLOUD_LOGGING_ONLY, which an account of its own needs"
    if build.get("options", {}).get("substitutionOption") != "MUST_MATCH":
        yield "options.substitutionOption is not MUST_MATCH"
    if not build.get("timeout"):
        yield "the build has no timeout"


def _substitutions(build: dict[str, Any]) -> Iterator[str]:
    defined = build.get("substitutions", {})
    used = set(names({name: value for name, value in build.items() if name != "substitutions"}))
    inner = set(names(defined))
    yield from (f"${name} is not defined" for name in sorted((used | inner) - set(defined) - BUILTIN))
    yield from (f"{name} is defined and not used" for name in sorted(set(defined) - used - inner))
    yield from (f"{name} is no text" for name, value in defined.items() if not isinstance(value, str))


def _order(steps: list[dict[str, Any]]) -> Iterator[str]:
    before: set[str] = set()
    for step in steps:
        yield from (
            f"{step['id']} waits for {name}, which is not before it" for name in step.get("waitFor", []) if name not in {*before, "-"}
        )
        if step["id"] in before:
            yield f"there are two {step['id']}"
        before.add(step["id"])


def _account(account: str) -> Iterator[str]:
    found = re.fullmatch(r"projects/[^/]+/serviceAccounts/(churn-ci|churn-checks)@[^/]+\.iam\.gserviceaccount\.com", account)
    if not found:
        yield f"serviceAccount {account!r} is not one of configs/iam.yaml for CI"


def _trigger(trigger: dict[str, Any]) -> Iterator[str]:
    yield from _account(trigger.get("serviceAccount", ""))
    path = trigger.get("filename") or trigger.get("gitFileSource", {}).get("path", "")
    if Path(path) not in BUILDS:
        yield f"there is no build {path!r}"
        return
    build = read(Path(path))
    yield from (
        f"{name} is not a substitution of {path}" for name in trigger.get("substitutions", {}) if name not in build.get("substitutions", {})
    )
    if trigger["serviceAccount"].split("/")[3].split("@")[0] != build["serviceAccount"].split("/")[3].split("@")[0]:
        yield f"the account is not that of {path}"


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name != "substitutions":
                yield name
                yield from _keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each)


def names(value: Any) -> list[str]:
    """The substitutions that texts name."""
    return [match[1] or match[2] for match in _USED.finditer(yaml.safe_dump(value))]


def goals(step: dict[str, Any]) -> list[str]:
    """The targets that a step makes."""
    return [word for word in step.get("args", []) if "=" not in word and not word.startswith("-")]


def filled(value: Any, given: dict[str, str]) -> Any:
    """A structure with its substitutions put in, those in substitutions too.

    Raises:
        KeyError: one is not defined.
    """
    if isinstance(value, dict):
        return {name: filled(each, given) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, given) for each in value]
    return _USED.sub(lambda match: filled(given[match[1] or match[2]], given), value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Ran:
    """A step that ran: its exit status and what it printed."""

    id: str
    status: int
    output: str


def run(build: dict[str, Any], given: dict[str, str], workspace: Path, environment: dict[str, str]) -> list[Ran]:
    """Run a build: each step when those that it waits for are done, in the order of their ends; after a failure none is begun.

    Args:
        build: its values.
        given: substitutions of the trigger, and the service's own.
        workspace: the folder that every step shares.
        environment: what every step has besides its own.
    """
    build = filled({name: each for name, each in build.items() if name != "substitutions"}, build.get("substitutions", {}) | given)
    waiting, running, ran = list(build["steps"]), dict[Future[Ran], str](), list[Ran]()
    with ThreadPoolExecutor() as pool:
        while waiting or running:
            done = {each.id for each in ran}
            failed = any(each.status for each in ran)
            for step in [] if failed else [step for step in waiting if set(step["waitFor"]) - {"-"} <= done]:
                waiting.remove(step)
                running[pool.submit(_step, step, build, workspace, environment)] = step["id"]
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                running.pop(future)
                ran.append(future.result())
    return ran


def _step(step: dict[str, Any], build: dict[str, Any], workspace: Path, environment: dict[str, str]) -> Ran:
    own = dict(each.split("=", 1) for each in [*build.get("options", {}).get("env", []), *step.get("env", [])])
    done = subprocess.run(
        [step["entrypoint"], *step["args"]],
        cwd=workspace / step.get("dir", "."),
        env={"PATH": os.environ["PATH"], "HOME": str(workspace)} | environment | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=float(step["timeout"].removesuffix("s")),
        check=False,
    )
    return Ran(step["id"], done.returncode, done.stdout)
