"""What every component has in common."""

from collections.abc import Callable
from typing import Any, Literal

from kfp import dsl


def pipeline_component(group: Literal["data", "train", "deploy"]) -> Callable[[Callable[..., Any]], Any]:
    """A lightweight component in the image of its group of dependencies: nothing is installed when it starts.

    The image is a name only; compile.py puts the real reference into the spec.
    """
    return lambda function: dsl.component(function, base_image=f"churn-{group}", packages_to_install=[], install_kfp_package=False)
