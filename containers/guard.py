"""What each image may hold: what its steps import must be there, and what they do not must not."""

import ast
import re
from pathlib import Path

from churn.platform.settings import CHECKOUT

# What an image has no use for, by the name that is imported; and the package that brings it.
FORBIDDEN = {
    "data": {"mlflow": "mlflow", "xgboost": "xgboost-cpu", "google.cloud.aiplatform": "google-cloud-aiplatform", "boto3": "boto3"},
    "train": {"mlflow": "mlflow", "evidently": "evidently", "google.cloud.aiplatform": "google-cloud-aiplatform", "boto3": "boto3"},
    "deploy": {"evidently": "evidently"},
    "server": {"kfp": "kfp", "mlflow": "mlflow", "pandas": "pandas", "sklearn": "scikit-learn", "duckdb": "duckdb", "boto3": "boto3"},
}


def needed(group: str) -> list[str]:
    """The modules that an image must be able to import: those that the components of its group name, or the server."""
    if group == "server":
        return [
            "churn.serving.server",
            "churn.serving.contract",
            "churn.training.model",
            "churn.platform.storage.gcs",
            "uvicorn",
            "starlette",
        ]
    found: set[str] = {"kfp.dsl.executor_main"}
    for path in sorted((CHECKOUT / "components").glob("*.py")):
        text = path.read_text()
        if f'@pipeline_component("{group}")' in text:
            found |= _imported(text)
    return sorted(found)


def _imported(text: str) -> set[str]:
    """The modules of this project that a component's body imports."""
    names = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module}
    return {name for name in names if name.partition(".")[0] in {"churn", "components"} and name != "components.base"}


def locked(lock: Path) -> set[str]:
    """The packages of a lock."""
    return {match[1] for match in re.finditer(r"^([a-z0-9._-]+)==", lock.read_text(), re.MULTILINE)}


def too_many(group: str, packages: set[str]) -> list[str]:
    """The packages that an image of this group has no use for."""
    return sorted(package for package in FORBIDDEN[group].values() if package in packages)


def program(group: str) -> str:
    """A program that says, inside an image, what is missing and what is too many, and ends with 1 where anything is."""
    return (
        "import importlib, importlib.util, sys\n"
        "wrong = []\n"
        f"for name in {needed(group)!r}:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n        wrong.append(f'{name} cannot be imported: {error}')\n"
        "def there(name):\n"
        "    try:\n        return importlib.util.find_spec(name) is not None\n"
        "    except ImportError:\n        return False\n"
        f"wrong += [f'{{name}} is there' for name in {list(FORBIDDEN[group])!r} if there(name)]\n"
        "print('; '.join(wrong) or 'as it should be')\n"
        "sys.exit(bool(wrong))\n"
    )
