"""A dataset's file: configs/datasets/NAME.yaml, or one like it anywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.data.mapping import DatasetMapping
from churn.platform.checked import read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import CHECKOUT, CONFIGS, workspace
from churn.platform.storage import is_remote


@dataclass(frozen=True)
class DatasetFile:
    """What a dataset's file says, apart by what it is.

    mapping: which column is which. source, tickets_source: as written, '' where not said. churn: the fields of the churn definition that it overrides.
    """

    path: Path
    mapping: dict[str, Any]
    source: str
    tickets_source: str
    churn: dict[str, Any]


def find_dataset(name: str) -> Path:
    """The file of a dataset: a name in configs/datasets/, or a path to such a file.

    Raises:
        ConfigError: there is neither.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise ConfigError(f"dataset {name}: no such file")
        return Path(name)
    path = CONFIGS / "datasets" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in path.parent.glob("*.yaml")))
        raise ConfigError(f"dataset {name!r}: neither a file ending in .yaml nor a name in configs/datasets/ (there are: {known})")
    return path


def read_dataset(name: str) -> DatasetFile:
    """Read and check a dataset's file; its churn: is checked with the rest of the definition, by who knows it.

    Raises:
        ConfigError: a field that is not known, or a wrong value, with the file's name.
    """
    path = find_dataset(name)
    values = read_yaml(path)
    mapping = {key: value for key, value in values.items() if key not in {"source", "churn"}}
    tickets = dict(mapping.get("support_tickets") or {})
    tickets_source = tickets.pop("source", "")
    if tickets:
        mapping["support_tickets"] = tickets
    DatasetMapping.of(mapping, str(path))
    churn = values.get("churn") or {}
    if not isinstance(churn, dict):
        raise ConfigError(f"{path}: churn: should be fields with values")
    return DatasetFile(path, mapping, str(values.get("source") or ""), str(tickets_source or ""), churn)


def located(source: str, beside: Path | None) -> str:
    """A source as an absolute path: as given from here, else beside the dataset's file, else in the workspace or the checkout; gs:// as it is."""
    if not source or is_remote(source) or Path(source).is_absolute():
        return source
    places = [Path.cwd(), *([beside.parent] if beside else []), workspace(), CHECKOUT]
    found = next((place / source for place in places if (place / source).is_file()), None)
    return str((found or workspace() / source).resolve())
