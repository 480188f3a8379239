"""Policies and mappings as checked objects: built from plain values, or refused in one line."""

from pathlib import Path
from typing import Any, Self

import pydantic
import yaml

from churn.platform.errors import ConfigError


class Checked(pydantic.BaseModel):
    """The base of every policy: frozen, every field known, checked when it is built."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @classmethod
    def of(cls, values: Any, where: str) -> Self:
        """Build from plain values (as YAML or a pipeline parameter brings them).

        Raises:
            ConfigError: one line with every wrong field, what was given, and `where` it stands.
        """
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise ConfigError(f"{where}: {'; '.join(words(cls, each) for each in error.errors())}") from None


def words(cls: type[pydantic.BaseModel], error: Any) -> str:
    """One of pydantic's errors in words: which field, what is wrong, what was given."""
    field = ".".join(str(part) for part in error["loc"]) or "the whole"
    if error["type"] == "extra_forbidden":
        return (
            f"{field} is not a setting here (there are: {', '.join(cls.model_fields)})"
            if len(error["loc"]) == 1
            else f"{field} is not a setting"
        )
    if error["type"] == "missing":
        return f"{field} is missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if isinstance(error["input"], dict) else f"{field}: {message} (given: {error['input']!r})"


class _Loader(yaml.SafeLoader):
    """YAML as everything here needs it: a day stays the text that was written, as in JSON and in a pipeline's parameter."""


_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: str(node.value))


def parse_yaml(text: str) -> Any:
    """The value that a YAML text says; days and moments stay text.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: no such file, not YAML, or not a mapping.
    """
    try:
        values = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: should be a mapping of names to values")
    return values
