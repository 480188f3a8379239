"""Every component alone: its Python function called with artifacts of its own, in a debugger's way, without a runner."""

import importlib
import json
from pathlib import Path

import pytest
from kfp import dsl

from churn.platform.errors import ConfigError
from churn.platform.files import check_seal
from pipelines.configuration import training_defaults
from tests.pipelines.conftest import shop_log

STEPS = sorted(path.stem for path in Path("components").glob("*.py") if path.stem not in {"__init__", "base", "artifacts"})


class Bench:
    """Artifacts by name in one folder, and the training pipeline's parameters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        columns = {"customer_id": "who", "event_timestamp": "at", "amount": "paid"}
        self.values = training_defaults() | {
            "dataset": {"name": "shop", "columns": columns},
            "source": str(shop_log(root / "log.csv", customers=300)),
            "horizon_days": 30,
            "active_days": 90,
            "test_snapshots": 2,
            "bootstrap_rounds": 100,
            "releases": str(root / "releases"),
            "tracking_uri": f"sqlite:///{root / 'mlflow' / 'mlflow.db'}",
        }
        self.values["training"] = self.values["training"] | {"max_rounds": 40, "learning_rate": 0.1}
        self.artifacts: dict[str, dsl.Artifact] = {}
        self.outputs: dict[str, object] = {}

    def artifact(self, name: str, kind: type[dsl.Artifact] = dsl.Artifact) -> dsl.Artifact:
        return self.artifacts.setdefault(name, kind(name=name, uri=str(self.root / name)))

    def call(self, step: str, **inputs):
        component = getattr(importlib.import_module(f"components.{step}"), step)
        self.outputs[step] = component.python_func(**inputs)
        return self.outputs[step]

    def of(self, *names: str) -> dict[str, object]:
        return {name: self.values[name] for name in names}


DEFINITION = ("horizon_days", "active_days", "snapshots", "min_history_days", "validation_snapshots", "test_snapshots")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    a = bench.artifact
    content, _ = bench.call("fingerprint", **bench.of("source", "tickets_source", "as_of"), scheduled="", created="")
    outputs = {"history": a("history"), "rejects": a("rejects"), "quality": a("quality", dsl.HTML), "metrics": a("prepared", dsl.Metrics)}
    bench.call("prepare", **bench.of("dataset", "source", "tickets_source"), content=content, **outputs)
    tables = {name: a(name, dsl.Dataset) for name in ("train_table", "validation_table", "test_table")}
    bench.call("features", history=a("history"), **bench.of("as_of", *DEFINITION), **tables, metrics=a("built", dsl.Metrics))
    trained = {
        "train_table": a("train_table"),
        "validation_table": a("validation_table"),
        "model": a("model"),
        "metrics": a("trained", dsl.Metrics),
    }
    sha256 = bench.call("train", **trained, **bench.of("training", "seed"))
    evaluated = {"evaluation": a("evaluation"), "metrics": a("evaluated", dsl.Metrics), "roc": a("roc", dsl.ClassificationMetrics)}
    bench.call("evaluate", model=a("model"), test_table=a("test_table"), **bench.of("bootstrap_rounds", "seed"), **evaluated)
    line, release, champion = bench.call(
        "find_champion", **bench.of("target", "releases", "release_line", "serving", "dataset", "horizon_days"), champion=a("champion")
    )
    bench.call(
        "judge",
        **{name: a(name) for name in ("model", "evaluation", "test_table", "champion", "judgement", "report")},
        **bench.of("min_auc_pr", "min_gain", "replace_champion", "bootstrap_rounds"),
        model_sha256=sha256,
        champion_release=release,
        champion_sha256=champion,
        line=line,
        run="run-1",
        **bench.of("git_commit", "source"),
        content=content,
        history=a("history"),
        counts=a("prepared"),
    )
    decided = bench.of(
        "tracking_uri", "git_commit", "dataset", "source", "as_of", *DEFINITION, "min_auc_pr", "min_gain", "training", "seed"
    )
    kept = {"train_metrics": a("trained"), "evaluation": a("evaluation"), "judgement": a("judgement"), "report": a("report")}
    tracked = bench.call("track", run="run-1", line=line, content=content, model_sha256=sha256, **decided, **kept)
    common = {"line": line, "model_sha256": sha256}
    version = bench.call(
        "register", **bench.of("tracking_uri", "git_commit"), **common, model=a("model"), tracked_run=tracked, content=content
    )
    place = bench.of("target", "releases", "serving") | {"line": line}
    provenance = {"version": version, "run": "run-1", "git_commit": "", "content": content}
    name = bench.call(
        "deploy", **place, model=a("model"), model_sha256=sha256, evaluation=a("evaluation"), metrics=a("evaluated"), **provenance
    )
    smoked = bench.call("smoke_test", **place, release=name)
    outcome = {"pipeline_root": str(bench.root), "run": "run-1"}
    watched = {"release": name, "champion_release": release, "policy": bench.values["canary"], "smoke_tested": smoked, "run": "run-1"}
    said = bench.call("canary", **place, **watched)
    moving = {"release": name, "model_sha256": sha256, "champion_release": release, "canary": said, "judgement": a("judgement")}
    kept = {"version": version, "tracked_run": tracked}
    bench.call("promote", **place, **bench.of("tracking_uri"), **moving, **outcome, **kept)
    held = {"champion_release": name, "judgement": a("judgement"), "tracked_run": tracked}
    bench.call("hold", **bench.of("target"), line=line, **held, pipeline_root=str(bench.root), run="run-2")
    status = dsl.PipelineTaskFinalStatus("SUCCEEDED", "churn-training", "always-notify", None, None)
    bench.call("notify", pipeline_root=str(bench.root), run="run-1", job="", webhook_env="", status=status)
    return bench


def test_every_component_was_called(bench):
    assert sorted(bench.outputs) == STEPS


def test_what_they_gave(bench):
    given = bench.outputs
    assert given["fingerprint"][0].startswith("sha256:")
    assert given["canary"] == "nothing is live in shop-30d: no canary"
    assert given["train"] == check_seal(bench.root / "model")
    assert 0.5 < given["evaluate"] <= 1
    assert given["find_champion"] == ("shop-30d", "", "")
    assert given["judge"] is True
    assert given["register"] == "1"
    assert given["deploy"] == f"r-{given['train'][:12]}"
    assert given["smoke_test"] == 20
    assert given["promote"] is True
    assert (bench.root / "releases" / "shop-30d" / "live").readlink().name == given["deploy"]


def test_what_they_wrote(bench):
    assert bench.artifacts["champion"].metadata == {"release": "", "model_sha256": "", "empty": True, "damage": ""}
    assert bench.artifacts["evaluated"].metadata["auc_pr"] == bench.outputs["evaluate"]
    assert json.loads((bench.root / "evaluated").read_text())["auc_pr"] == bench.outputs["evaluate"]
    assert "The gate is open." in (bench.root / "report").read_text()
    outcomes = {name: json.loads((bench.root / "outcomes" / f"{name}.json").read_text()) for name in ("run-1", "run-2")}
    assert outcomes["run-1"]["deployment"]["deployed"] is True
    assert outcomes["run-1"]["deployment"]["live"] == outcomes["run-2"]["deployment"]["live"] == bench.outputs["deploy"]
    assert outcomes["run-2"]["deployment"]["deployed"] is False
    assert outcomes["run-1"]["metrics"]["auc_pr"] == bench.outputs["evaluate"]
    assert outcomes["run-1"]["data"]["rows"] > 0


@pytest.mark.parametrize(("name", "value"), [("min_auc_pr", 0.0), ("min_auc_pr", 1.2)])
def test_the_steps_check_again(bench, name, value):
    """A clone from the console passes no submit."""
    a = bench.artifact
    wrong = bench.of("min_auc_pr", "min_gain", "replace_champion", "bootstrap_rounds") | {name: value}
    artifacts = {key: a(key) for key in ("model", "evaluation", "test_table", "champion", "judgement", "report")}
    words = dict.fromkeys(("model_sha256", "champion_release", "champion_sha256", "line", "run", "content", "git_commit", "source"), "")
    words |= {"history": a("history"), "counts": a("prepared")}
    with pytest.raises(ConfigError, match=name):
        bench.call("judge", **artifacts, **wrong, **words)


def test_a_component_names_the_image_of_its_group_and_installs_nothing():
    for step in STEPS:
        component = getattr(importlib.import_module(f"components.{step}"), step)
        assert component.component_spec.implementation.container.image in {"churn-data", "churn-train", "churn-deploy"}
