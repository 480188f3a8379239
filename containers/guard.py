"""What each image may hold: what its steps import must be there, and what they do not must not."""

import re
from pathlib import Path

from containers.imports import SERVER, entries, packages, reachable

# What an image has no use for, by the name that is imported; and the package that brings it.
FORBIDDEN = {
    "data": {"mlflow": "mlflow", "xgboost": "xgboost-cpu", "google.cloud.aiplatform": "google-cloud-aiplatform", "boto3": "boto3"},
    "train": {
        "mlflow": "mlflow",
        "sklearn": "scikit-learn",
        "evidently": "evidently",
        "google.cloud.aiplatform": "google-cloud-aiplatform",
        "boto3": "boto3",
    },
    "deploy": {"evidently": "evidently"},
    "server": {"kfp": "kfp", "mlflow": "mlflow", "pandas": "pandas", "sklearn": "scikit-learn", "duckdb": "duckdb", "boto3": "boto3"},
}


FINE = "as it should be"
_TOOLS = ("gcc", "cc", "make", "pip", "pip3", "curl", "wget")
USER = 10001
# Imported by name at run time, where no reader of the code sees it.
_DYNAMIC = {
    "data": ("churn.platform.storage.gcs",),
    "train": ("xgboost",),
    "deploy": ("churn.platform.storage.gcs", "churn.platform.storage.s3", "google.cloud.aiplatform_v1", "xgboost"),
    "server": ("churn.platform.storage.gcs", "xgboost"),
}
# Reachable by imports, and never by calls: features read the facts of prepare.py, whose page on quality is made in the data image.
_NEVER = {"train": {"evidently"}}


def needed(group: str) -> list[str]:
    """The modules that an image must be able to import: what its components, or the server, can reach through churn/, in functions too."""
    reached = reachable([*entries(group), *_DYNAMIC[group]])
    others = {name for name in packages(reached) if name.partition(".")[0] not in _NEVER.get(group, set())}
    steps = set() if group == SERVER else {"kfp.dsl.executor_main"}
    return sorted(others | steps | set(entries(group)) | set(_DYNAMIC[group]))


def locked(lock: Path) -> set[str]:
    """The packages of a lock."""
    return {match[1] for match in re.finditer(r"^([a-z0-9._-]+)==", lock.read_text(), re.MULTILINE)}


def too_many(group: str, packages: set[str]) -> list[str]:
    """The packages that an image of this group has no use for."""
    return sorted(package for package in FORBIDDEN[group].values() if package in packages)


def program(group: str) -> str:
    """A program that says, inside an image, what is missing and what is too many, and ends with 1 where anything is."""
    return (
        "import importlib, importlib.util, os, shutil, sys\n"
        "wrong = []\n"
        f"for name in {needed(group)!r}:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n        wrong.append(f'{name} cannot be imported: {error}')\n"
        "def there(name):\n"
        "    try:\n        return importlib.util.find_spec(name) is not None\n"
        "    except ImportError:\n        return False\n"
        f"wrong += [f'{{name}} is there' for name in {list(FORBIDDEN[group])!r} if there(name)]\n"
        f"wrong += [f'{{name}} is there' for name in {list(_TOOLS)!r} if shutil.which(name)]\n"
        f"wrong += [f'it runs as user {{os.getuid()}}'] if os.getuid() != {USER} else []\n"
        "wrong += ['pip is there'] if there('pip') else []\n"
        "wrong += ['its root can be written to'] if os.access('/', os.W_OK) or os.access('/app', os.W_OK) else []\n"
        f"print('; '.join(wrong) or {FINE!r})\n"
        "sys.exit(bool(wrong))\n"
    )
