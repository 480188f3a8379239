"""What a run will cost, before it is submitted."""

import json
import os

import pytest

import compile as compile_command
from churn.platform.checked import read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import CONFIGS
from pipelines.submit.cost import Prices, check_ceiling, estimate, last_times
from pipelines.submit.spec import Spec

PRICES = Prices(dated="2026-01-01", pipeline_run=1.0, vcpu_hour=0.6, memory_gb_hour=0.0, start_minutes=0, unknown_minutes=60)


@pytest.fixture(scope="module")
def spec():
    return Spec("training", compile_command.compiled("training", compile_command.images_for("test")))


def test_machines_times_and_prices_make_it(spec):
    times = dict.fromkeys(spec.tasks, 600.0)  # ten minutes: a sixth of 0.6 for each vCPU
    vcpus = sum(spec.machine(task)[0] for task in spec.tasks)
    known = estimate(spec, PRICES, times)
    assert known.usd == pytest.approx(1.0 + 0.1 * vcpus)
    assert (known.tasks, known.known) == (len(spec.tasks), len(spec.tasks))
    unknown = estimate(spec, PRICES, {})
    assert unknown.usd == pytest.approx(1.0 + 0.6 * vcpus)
    assert "no run's times are known yet" in unknown.words()
    assert "prices of 2026-01-01, configs/prices.yaml" in unknown.words()


def test_memory_and_start_are_paid_too(spec):
    dear = PRICES.model_copy(update={"memory_gb_hour": 1.0, "start_minutes": 60})
    memory = sum(spec.machine(task)[1] + 0.6 * spec.machine(task)[0] for task in spec.tasks)
    assert estimate(spec, dear, dict.fromkeys(spec.tasks, 0.0)).usd == pytest.approx(1.0 + memory)


def test_above_the_ceiling_it_is_refused_and_at_it_not(spec):
    price = estimate(spec, PRICES, {})
    check_ceiling(price, price.usd)
    with pytest.raises(ConfigError, match=r"estimated at about .* above max_cost_usd 3; raise CHURN_MAX_COST_USD"):
        check_ceiling(price, 3.0)


def test_the_machines_are_those_of_the_spec(spec):
    machines = read_yaml(CONFIGS / "machines.yaml")
    assert spec.machine("train") == (machines["train"]["cpu"], machines["train"]["memory"])
    assert spec.machine("notify") == (machines["deploy"]["cpu"], machines["deploy"]["memory"])


def test_the_last_time_of_each_task_counts_and_cached_ones_do_not(tmp_path):
    def run(number, *tasks):
        folder = tmp_path / f"training-{number}"
        folder.mkdir()
        (folder / "summary.json").write_text(
            json.dumps({"tasks": [dict(zip(("name", "state", "seconds"), task, strict=True)) for task in tasks]})
        )
        os.utime(folder / "summary.json", (number, number))

    run(1, ("prepare", "succeeded", 10), ("train", "succeeded", 20))
    run(2, ("prepare", "cached", 0), ("train", "succeeded", 30), ("judge", "failed", 5))
    (tmp_path / "training-3").mkdir()
    (tmp_path / "training-3" / "summary.json").write_text("half")
    assert last_times(tmp_path, "training") == {"prepare": 10.0, "train": 30.0}
    assert last_times(tmp_path, "scoring") == {}


def test_the_price_table_of_the_project_is_one():
    assert Prices.of(read_yaml(CONFIGS / "prices.yaml"), "configs/prices.yaml").vcpu_hour > 0
