"""The golden specs: python -m tests.pipelines.golden writes them anew, make spec-diff says what a change does to them, for a reviewer."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import compile as compile_command
from pipelines.policy import leaves

GOLDEN = Path(__file__).parent


def golden_text(name: str) -> str:
    """A pipeline's spec with the images' literal names and without the code's hash, so that it changes only when the pipeline does."""
    text = compile_command.compiled(name, {group: f"churn-{group}" for group in compile_command.GROUPS})
    return yaml.safe_dump(yaml.safe_load(text), sort_keys=True, width=140)


def differences(name: str) -> list[str]:
    """What the pipeline, compiled now, changes of its golden spec: a line for each value by its path, a step's code as a diff."""
    path = GOLDEN / f"{name}.yaml"
    old = dict(leaves(yaml.safe_load(path.read_text()))) if path.exists() else {}
    return list(_differences(old, dict(leaves(yaml.safe_load(golden_text(name))))))


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if path in old and path in new and before == after:
            continue
        if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
            yield f"~ {path}"
            yield from (f"    {line}" for line in _code(before, after))
        elif path in old and path in new:
            yield f"~ {path}: {before!r} -> {after!r}"
        else:
            yield f"- {path}: {before!r}" if path in old else f"+ {path}: {after!r}"


def _code(before: str, after: str) -> Iterator[str]:
    _, _, *lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    yield from lines
