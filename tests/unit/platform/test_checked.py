"""Policies that are built from plain values, or refused in one line."""

import pytest
from pydantic import Field

from churn.platform.checked import Checked, read_yaml
from churn.platform.errors import ConfigError


class Inner(Checked):
    depth: int = Field(3, ge=1)


class Policy(Checked):
    threshold: float = Field(gt=0, le=1)
    name: str = "x"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "parameters: threshold is missing"),
        ({"threshold": 1.5}, "parameters: threshold: Input should be less than or equal to 1 (given: 1.5)"),
        ({"threshold": float("nan")}, "parameters: threshold: Input should be a finite number (given: nan)"),
        ({"threshold": 1, "treshold": 2}, "parameters: treshold is not a setting here (there are: threshold, name, inner)"),
        ({"threshold": 1, "inner": {"dept": 2}}, "parameters: inner.dept is not a setting"),
        (
            {"threshold": 1, "inner": {"depth": "two\nlines"}},
            "parameters: inner.depth: Input should be a valid integer, unable to parse string as an integer (given: 'two\\nlines')",
        ),
        ({"threshold": 0, "name": None}, "parameters: threshold: Input should be greater than 0 (given: 0); name: Input should be a valid"),
        (None, "parameters: the whole: Input should be a valid dictionary or instance of Policy (given: None)"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_given_and_where(values, message):
    with pytest.raises(ConfigError) as refused:
        Policy.of(values, "parameters")
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_policy_does_not_change():
    policy = Policy.of({"threshold": 0.5}, "here")
    assert policy.inner.depth == 3
    with pytest.raises(ValueError, match="frozen"):
        policy.threshold = 0.6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"a: [1", "not YAML"),
        (b"- a\n- b", "should be a mapping of names to values"),
        (b"", "should be a mapping of names to values"),
        (b"a: \xff", "cannot be read"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path, content, message):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as refused:
        read_yaml(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_a_day_in_a_file_is_text(tmp_path):
    """As a person writes it (first_day: 2023-01-01), and as JSON and a parameter can carry it."""
    (tmp_path / "x.yaml").write_text('first_day: 2023-01-01\nquoted: "2023-01-01"\nat: 2023-01-01 10:00:00\nnumber: 3\non: true\n')
    assert read_yaml(tmp_path / "x.yaml") == {
        "first_day": "2023-01-01",
        "quoted": "2023-01-01",
        "at": "2023-01-01 10:00:00",
        "number": 3,
        True: True,
    }
