"""A run's final values: precedence, casting, and what is refused."""

import json
import shutil

import pytest
import yaml

from churn.platform.errors import ConfigError
from churn.platform.settings import CHECKOUT, CONFIGS, Environment
from pipelines.configuration import training_defaults
from pipelines.submit.parameters import resolve
from pipelines.submit.spec import Spec
from tests.pipelines.golden import GOLDEN

SPEC = Spec.read(str(GOLDEN / "training.yaml"), CHECKOUT)


@pytest.fixture
def shop(tmp_path):
    """A dataset's file beside its data."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "log.csv").touch()
    columns = {"customer_id": "who", "event_timestamp": "at", "amount": "paid"}
    values = {"name": "shop", "source": "log.csv", "columns": columns, "churn": {"active_days": 45, "test_snapshots": 2}}
    path = tmp_path / "shop" / "shop.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def final(*given: str, file=None, commit: str = "c0"):
    return resolve(SPEC, Environment.read("local"), list(given), file, commit)


def refused(*given: str, file=None) -> str:
    with pytest.raises(ConfigError) as error:
        final(*given, file=file)
    assert "\n" not in str(error.value)
    return str(error.value)


def written(path, values):
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_every_parameter_of_the_spec_has_a_value_as_the_checkout_configures_it():
    values = final()
    assert set(values) == set(SPEC.parameters)
    churn = yaml.safe_load((CONFIGS / "churn.yaml").read_text())
    assert {name: values[name] for name in churn["gate"]} == churn["gate"]
    assert values["git_commit"] == "c0"
    assert values["source"].endswith("/data/cdnow/CDNOW_master.txt")


def test_param_over_params_over_the_datasets_file_over_churn_yaml(shop, tmp_path):
    file = written(tmp_path / "values.json", {"test_snapshots": 4, "min_gain": 0.01, "seed": 5})
    values = final(f"dataset={shop}", "seed=6", file=file)
    assert (values["seed"], values["test_snapshots"], values["active_days"], values["min_gain"]) == (6, 4, 45, 0.01)
    assert values["min_history_days"] == training_defaults()["min_history_days"]


def test_what_the_default_dataset_says_is_its_own(shop, tmp_path, monkeypatch):
    """churn.yaml, not the default dataset's file, stands behind another dataset's."""
    shutil.copytree(CONFIGS, tmp_path / "configs")
    default = tmp_path / "configs" / "datasets" / "cdnow.yaml"
    default.write_text(default.read_text().replace("horizon_days: 90", "horizon_days: 33"))
    for module in ("churn.data.datasets", "pipelines.configuration", "pipelines.submit.parameters"):
        monkeypatch.setattr(f"{module}.CONFIGS", tmp_path / "configs", raising=False)
    churn = yaml.safe_load((tmp_path / "configs" / "churn.yaml").read_text())["churn"]
    assert final()["horizon_days"] == 33
    assert final(f"dataset={shop}")["horizon_days"] == churn["horizon_days"]


def test_param_wins_however_the_file_reaches_into_a_structure(tmp_path):
    file = written(tmp_path / "values.yaml", {"training.max_depth": 5, "training": training_defaults()["training"]})
    assert final("training.max_depth=2", file=file)["training"]["max_depth"] == 2


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("seed=12", 12),
        ("seed=12.0", 12),
        ("horizon_days= 30 ", 30),
        ("min_auc_pr=1", 1.0),
        ("min_gain=-0.5", -0.5),
        ("min_gain=1e-3", 0.001),
        ("replace_champion=true", True),
        ("replace_champion=False", False),
        ("snapshots=4 weeks on monday", "4 weeks on monday"),
        ("as_of=1998-03-01", "1998-03-01"),
        ("webhook_env=", ""),
        ("tracking_uri=a=b", "a=b"),
        ("training.max_depth=3", 3),
        ("training.reg_lambda=1e-2", "a finite number"),
        ("dataset.timezone=Europe/Berlin", "Europe/Berlin"),
        ("dataset.timestamps.format=%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M"),
        ("dataset.first_day=1997-02-01", "1997-02-01"),
        ('dataset.columns.is_cancel={"column": "kind", "starts_with": "C"}', {"column": "kind", "starts_with": "C"}),
    ],
)
def test_each_value_gets_its_parameters_type(given, value):
    name = given.partition("=")[0]
    values = final(given)
    for part in name.split("."):
        values = values[part]
    if value == "a finite number":
        assert float(values) == 0.01
    else:
        assert (values, type(values)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("seed=1.5", "parameter seed: should be a whole number (given: '1.5')"),
        ("seed=inf", "parameter seed: should be a whole number (given: 'inf')"),
        ("seed=nan", "parameter seed: should be a whole number (given: 'nan')"),
        ("seed=", "parameter seed: should be a whole number (given: '')"),
        ("min_gain=nan", "parameter min_gain: should be a finite number (given: 'nan')"),
        ("min_gain=1e999", "parameter min_gain: should be a finite number (given: '1e999')"),
        ("replace_champion=1", "parameter replace_champion: should be true or false (given: '1')"),
        ("replace_champion=yes", "parameter replace_champion: should be true or false (given: 'yes')"),
        ("training={", "parameter training: should be a JSON object (given: '{')"),
        ("training=[1]", "parameter training: should be a JSON object (given: '[1]')"),
        ("min_auc_pr=0", "parameters: min_auc_pr: Input should be greater than 0 (given: 0.0)"),
        ("min_auc_pr=1.01", "parameters: min_auc_pr: Input should be less than or equal to 1 (given: 1.01)"),
        ("horizon_days=0", "parameters: horizon_days: Input should be greater than or equal to 1 (given: 0)"),
        ("snapshots=weekly", "parameters: snapshots: should be month, or a rule like \"4 weeks on monday\" (given: 'weekly')"),
        ("bootstrap_rounds=99", "bootstrap_rounds: at least 100 make an interval (given: 99)"),
        ("training.max_depth=0", "parameter training: max_depth: Input should be greater than or equal to 1 (given: 0)"),
        ("training.max_depth=[1", "parameter training: max_depth: Input should be a valid integer"),
        ("training.depth=3", "parameter training: depth is not a setting here"),
        ("dataset.timezone=Mars", "parameter dataset: timezone: is no time zone"),
        ("seed.x=1", "parameter 'seed.x': seed has no fields"),
        ("min_aucpr=0.5", "parameter 'min_aucpr' is not one of the pipeline training; did you mean min_auc_pr?"),
        ("qqq=1", "parameter 'qqq' is not one of the pipeline training; there are: active_days, as_of,"),
        ("seed", "--param seed: should be NAME=VALUE"),
        ("=5", "--param =5: should be NAME=VALUE"),
        (
            "dataset=unknown",
            "dataset 'unknown': neither a file ending in .yaml nor a name in configs/datasets/ (there are: cdnow, online-retail-ii)",
        ),
        ("dataset=unknown.yaml", "dataset unknown.yaml: no such file"),
        ("source=", "source is empty: name the transactions' file with --param source=PATH"),
    ],
)
def test_a_wrong_value_is_one_line(given, message):
    assert refused(given).startswith(message)


def test_values_in_a_file_have_types_already(tmp_path):
    values = final(
        file=written(tmp_path / "values.yaml", "seed: 9\nreplace_champion: true\nmin_auc_pr: 1\nas_of: 1998-03-01\nrelease_line: null\n")
    )
    assert (values["seed"], values["replace_champion"], values["min_auc_pr"], values["as_of"], values["release_line"]) == (
        9,
        True,
        1.0,
        "1998-03-01",
        "",
    )
    for wrong in ({"seed": True}, {"seed": [1]}, {"min_gain": False}, {"as_of": {"day": 1}}, {"training": "x"}):
        assert refused(file=written(tmp_path / "wrong.json", wrong)).startswith(f"parameter {next(iter(wrong))}: should be ")
    assert refused(file=tmp_path / "none.yaml").endswith("no such file")


@pytest.mark.parametrize("how", ["name", "path", "mapping"])
def test_a_dataset_by_name_by_path_or_as_the_mapping_of_a_runs_record(shop, tmp_path, how):
    if how == "name":
        values = final("dataset=online-retail-ii")
        assert (values["dataset"]["name"], values["horizon_days"], values["test_snapshots"]) == ("online-retail-ii", 60, 5)
    elif how == "path":
        values = final(f"dataset={shop}")
        assert (values["dataset"]["name"], values["source"]) == ("shop", str(shop.parent / "log.csv"))
        assert "churn" not in values["dataset"]
    else:
        record = final(f"dataset={shop}", "seed=11")
        assert final(file=written(tmp_path / "record.json", record)) == record


def test_a_mapping_alone_brings_no_other_datasets_source(shop, tmp_path):
    mapping = final(f"dataset={shop}")["dataset"]
    assert refused(file=written(tmp_path / "mapping.json", {"dataset": mapping})).startswith("source is empty")


def test_a_source_is_found_from_here_then_beside_the_datasets_file_and_gs_is_left_alone(shop, tmp_path, monkeypatch, workspace):
    assert final(f"dataset={shop}")["source"] == str(shop.parent / "log.csv")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").touch()
    assert final(f"dataset={shop}")["source"] == str(tmp_path / "log.csv")
    assert final(f"dataset={shop}", "source=none.csv")["source"] == str(workspace / "none.csv")
    assert final("source=gs://bucket/log.csv")["source"] == "gs://bucket/log.csv"


def test_null_in_a_structure_is_not_given(tmp_path):
    mapping = final()["dataset"]
    file = written(
        tmp_path / "null.json", {"dataset": mapping | {"support_tickets": None, "timestamps": {"format": None}}, "source": "x.csv"}
    )
    values = final(file=file)["dataset"]
    assert "support_tickets" not in values
    assert values["timestamps"] == {}


def test_places_are_absolute_and_below_the_workspace(workspace):
    values = final()
    assert values["target"] == "local"
    assert values["releases"] == str(workspace / "releases")
    assert values["tracking_uri"].startswith(f"sqlite:///{workspace}/")


def test_a_dataset_may_override_fields_of_churn_and_nothing_else(shop):
    shop.write_text(shop.read_text() + "gate: {min_auc_pr: 0.1}\n")
    assert "gate" in refused(f"dataset={shop}")
    shop.write_text(shop.read_text().replace("gate: {min_auc_pr: 0.1}\n", "").replace("active_days", "min_auc_pr"))
    assert "churn: has no field min_auc_pr; a dataset may override horizon_days" in refused(f"dataset={shop}")
