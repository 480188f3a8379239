"""The golden specs: python -m tests.pipelines.golden writes them anew; git diff shows a reviewer what a change does to the spec."""

from pathlib import Path

import yaml

import compile as compile_command

GOLDEN = Path(__file__).parent


def golden_text(name: str) -> str:
    """A pipeline's spec with the images' literal names and without the code's hash, so that it changes only when the pipeline does."""
    text = compile_command.compiled(name, {group: f"churn-{group}" for group in compile_command.GROUPS})
    return yaml.safe_dump(yaml.safe_load(text), sort_keys=True, width=140)
