"""What a person and a machine see of runs: caching, new data, errors, rollbacks."""

import contextlib
import json
import sys

from churn.cli.main import main as churn
from pipelines.submit import local

CACHED = {"prepare", "features", "train", "evaluate"}


def test_a_second_run_takes_the_cached_steps_from_the_cache_and_finds_its_model_live(shop):
    first = shop.run("min_auc_pr=0.1")
    second = shop.run("min_auc_pr=0.1")
    states = shop.states(second)
    assert {name for name, state in states.items() if state == "cached"} == CACHED
    assert states["promote"] == "succeeded"
    assert second["deployment"]["live"] == first["deployment"]["live"] == second["deployment"]["was_live"]
    assert second["metrics"] == first["metrics"]
    assert second["provenance"]["model_sha256"] == first["provenance"]["model_sha256"]


def test_everything_again_gives_the_same_model_to_the_bit(shop):
    sha256 = shop.latest["provenance"]["model_sha256"]
    assert shop.submit("min_auc_pr=0.1", flags=("--no-cache",)) == 0
    assert "cached" not in shop.states(shop.latest).values()
    assert shop.latest["provenance"]["model_sha256"] == sha256


def test_a_step_that_was_not_forked_gives_the_same_model_to_the_bit(shop, monkeypatch):
    sha256 = shop.latest["provenance"]["model_sha256"]
    monkeypatch.setattr(local, "warm_steps", lambda _: contextlib.nullcontext())
    assert shop.submit("min_auc_pr=0.1", flags=("--no-cache",)) == 0
    assert shop.latest["provenance"]["model_sha256"] == sha256


def test_one_row_changed_under_the_same_path_runs_again(shop):
    before = shop.latest
    text = shop.log.read_text().splitlines()
    who, at, paid = text[100].split(",")
    shop.log.write_text("\n".join([*text[:100], f"{who},{at},{float(paid) + 1}", *text[101:]]) + "\n")
    after = shop.run("min_auc_pr=0.1", "min_gain=-1")
    assert shop.states(after)["prepare"] == "succeeded"
    assert after["data"]["fingerprint"] != before["data"]["fingerprint"]
    assert after["deployment"]["live"] != before["deployment"]["live"]


def test_a_release_rolled_back_is_promoted_again_by_the_next_run(shop, capsys):
    live = shop.latest["deployment"]["live"]
    assert churn(["release", "rollback"]) == 0
    link = shop.root / "releases" / "shop-30d" / "live"
    assert link.readlink().name != live
    again = shop.run("min_auc_pr=0.1", "min_gain=-1")
    assert shop.states(again)["train"] == "cached"
    assert again["deployment"]["deployed"] is True
    assert link.readlink().name == live


def test_a_cached_folder_whose_file_was_emptied_is_made_anew(shop):
    history = sorted((shop.root / ".cache" / "pipeline").glob("*/prepare/history/transactions.parquet"))
    assert history
    for file in history:
        file.write_bytes(b"")
    states = shop.states(shop.run("min_auc_pr=0.1", "min_gain=-1"))
    assert states["prepare"] == "succeeded"


def test_a_file_without_a_mapped_column_is_one_line_and_changes_nothing_live(shop, capsys):
    live = (shop.root / "releases" / "shop-30d" / "live").readlink()
    other = shop.root / "other.csv"
    other.write_text("customer,when\n1,2023-01-01\n")
    assert shop.submit(f"source={other}") == 1
    summary = shop.latest
    assert summary["status"] == "failed"
    assert summary["error"].startswith("prepare: ")
    assert "'who' (mapped to customer_id)" in summary["error"]
    assert "Traceback" not in capsys.readouterr().out
    states = shop.states(summary)
    assert (states["prepare"], states["train"], states["notify"]) == ("failed", "skipped", "succeeded")
    assert (shop.root / "releases" / "shop-30d" / "live").readlink() == live


def test_a_log_that_is_too_short_says_how_much_more_it_needs(shop):
    assert shop.submit("as_of=2023-04-01") == 1
    assert "too short" in shop.latest["error"]
    assert "days more" in shop.latest["error"]


def test_every_run_is_tracked_held_or_not(shop):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{shop.root / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("shop-30d")
    runs = client.search_runs([experiment.experiment_id], max_results=200)
    summaries = [json.loads(path.read_text()) for path in (shop.root / "runs").glob("*/summary.json")]
    tracked = {summary["run_id"] for summary in summaries if summary["deployment"]["tracked_run"]}
    assert {run.data.tags["churn.run"] for run in runs} == tracked
    one = runs[0]
    assert one.data.params["horizon_days"] == "30"
    assert one.data.tags["model_sha256"]
    assert {item.path for item in client.list_artifacts(one.info.run_id)} >= {"plots", "verdict.json", "evaluation.json"}


def test_versions_move_through_the_stages(shop):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{shop.root / 'mlruns' / 'mlflow.db'}")
    versions = client.search_model_versions("name = 'shop-30d'")
    stages = sorted(version.tags["stage"] for version in versions)
    assert stages.count("production") == 1
    assert set(stages) <= {"production", "archived", "staging"}
    live = (shop.root / "releases" / "shop-30d" / "live").readlink().name
    production = client.get_model_version_by_alias("shop-30d", "production")
    assert production.tags["model_sha256"].startswith(live.removeprefix("r-"))
    history = [each["stage"] for each in json.loads(production.tags["stage_history"])]
    assert history[0] == "staging"
    assert history[-1] == "production"


def test_the_interpreter_may_stand_in_a_folder_with_a_space(shop, monkeypatch):
    spaced = shop.root / "with space"
    spaced.symlink_to(sys.prefix)
    monkeypatch.setattr(sys, "executable", str(spaced / "bin" / "python"))
    assert shop.submit("min_auc_pr=0.1", "min_gain=-1") == 0
