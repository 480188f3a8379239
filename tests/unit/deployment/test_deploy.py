"""The champion, the smoke test against a real server, and the words at the end of a run."""

import json
import shutil

import pytest

from churn.deployment import deploy as deploy_module
from churn.deployment import process
from churn.deployment.champion import Found, find_champion
from churn.deployment.deploy import deploy, hold
from churn.deployment.local import LocalReleases
from churn.deployment.outcome import Outcome, message, notify_outcome, read_outcome, write_outcome
from churn.deployment.releases import Release
from churn.deployment.smoke import smoke_test
from churn.evaluation.evaluate import evaluate
from churn.platform.errors import StateError
from churn.platform.files import check_seal, seal, write_json
from tests.unit.training.tables import make_model, make_tables


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A root with one release that is live, of a real model."""
    root = tmp_path_factory.mktemp("released")
    make_tables(root, customers=60)
    sha256 = make_model(root)[1].model_sha256
    evaluate(root / "model", root / "test", root / "evaluation", rounds=5, seed=7)
    given = (str(root / "releases"), "shop-30d", {}, root / "model", sha256, root / "evaluation", {"auc_pr": 0.8}, {"run": "run-1"})
    name, new = deploy("local", *given)
    assert new is True
    assert deploy("local", *given) == (name, False)
    LocalReleases(root / "releases", "shop-30d").promote(name, expected="", by="run-1")
    return root


@pytest.fixture
def root(released, tmp_path):
    shutil.copytree(released / "releases", tmp_path / "releases", symlinks=True)
    return tmp_path


def live(root) -> Release:
    return LocalReleases(root / "releases", "shop-30d").live()


def champion(root) -> Found:
    return find_champion("local", str(root / "releases"), "shop-30d", root / "champion")


def test_the_champion_is_what_is_live_with_its_model(root):
    release = live(root)
    assert champion(root) == Found("shop-30d", release.name, release.facts["model_sha256"], "")
    assert check_seal(root / "champion") == release.facts["model_sha256"]
    assert champion(root).release == release.name  # a step that is run twice


def test_no_champion_is_an_empty_folder(root):
    assert find_champion("local", str(root / "releases"), "other-30d", root / "champion") == Found("other-30d", "", "", "")
    assert not list((root / "champion").iterdir())


@pytest.mark.parametrize("harm", ["model/model.ubj", "release.json", "probe.json", "MANIFEST.json", ""])
def test_a_damaged_champion_is_not_no_champion(root, harm):
    release = live(root)
    if harm:
        (release.folder / harm).write_bytes(b"")
    else:
        shutil.rmtree(release.folder)
    found = champion(root)
    assert (found.release, found.model_sha256) == (release.name, "")
    assert found.damage.startswith("it is damaged: ")
    assert "\n" not in found.damage


def test_the_smoke_test_asks_a_real_server_for_rows_of_known_score(root):
    release = live(root)
    assert smoke_test(release) == len(json.loads((release.folder / "probe.json").read_text())["instances"]) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": [0.123456] * 20}, r"row 0 should be 0.123456 and is .*: not the model that was evaluated"),
        ({"instances": [], "probabilities": []}, "asked for 0 predictions and got 0"),
        ({"instances": [{}]}, "the server answered with 400: .*lacks features"),
    ],
)
def test_a_release_that_answers_wrong_fails_the_smoke_test(root, monkeypatch, change, message):
    release = live(root)
    path = release.folder / "probe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StateError, match=message):
        smoke_test(release)


def test_a_server_that_cannot_start_fails_the_smoke_test_with_its_last_words(root):
    release = live(root)
    (release.model / "model.ubj").write_bytes(b"")
    with pytest.raises(StateError, match=r"the server did not start: .*model.ubj is not what was written"):
        smoke_test(release)


def test_a_server_that_says_nothing(root, monkeypatch):
    monkeypatch.setattr(process.sys, "executable", "true")
    with pytest.raises(StateError, match="the server did not start: it said nothing"):
        smoke_test(live(root))


def outcome(verdict: str, *, deployed: bool, live: str | None) -> Outcome:
    deployment = {"deployed": deployed, "line": "shop-30d", "live": live}
    return Outcome("run-2", "succeeded", verdict=verdict, deployment=deployment)


PROMOTED = outcome("gate open: auc_pr 0.8 reaches the threshold 0.72", deployed=True, live="r-new")


@pytest.mark.parametrize(
    ("state", "error", "outcome", "words"),
    [
        ("SUCCEEDED", "", PROMOTED, "run run-2: r-new is live in shop-30d; gate open: auc_pr 0.8 reaches the threshold 0.72"),
        (
            "SUCCEEDED",
            "",
            outcome("gate closed: it is worse", deployed=False, live="r-old"),
            "run run-2: held, r-old stays live in shop-30d; gate closed: it is worse",
        ),
        (
            "SUCCEEDED",
            "",
            outcome("gate closed: no", deployed=False, live=None),
            "run run-2: held, nothing stays live in shop-30d; gate closed: no",
        ),
        ("SUCCEEDED", "", None, "run run-2 ended without an outcome"),
        ("FAILED", "train: one class only", PROMOTED, "run run-2 FAILED: train: one class only"),
        ("FAILED", "Traceback\n  line\nError: x", None, "run run-2 FAILED: Traceback line Error: x"),
        ("FAILED", "", None, "run run-2 FAILED: see its log"),
    ],
)
def test_what_people_are_told(state, error, outcome, words):
    assert message("run-2", state, error, outcome) == words


def test_a_run_that_failed_leaves_that_it_did(tmp_path):
    notify_outcome(str(tmp_path), "run-2", "FAILED", "train: one class only", webhook_env="")
    left = read_outcome(str(tmp_path), "run-2")
    assert (left.status, left.error, left.deployment) == ("failed", "run run-2 FAILED: train: one class only", {})
    write_outcome(str(tmp_path), PROMOTED)
    notify_outcome(str(tmp_path), "run-2", "FAILED", "promote: the registry is gone", webhook_env="")
    left = read_outcome(str(tmp_path), "run-2")
    assert (left.status, left.deployment["live"]) == ("failed", "r-new")


@pytest.fixture
def judgement(tmp_path):
    folder = tmp_path / "judgement"
    record = {
        "verdict": "gate closed: it is worse",
        "metrics": {"auc_pr": 0.7},
        "gate": {"passed": False, "threshold": 0.72, "reasons": ["it is worse"]},
        "data": {"rows": 5},
        "provenance": {"git_commit": "abc"},
    }
    write_json(folder / "record.json", record)
    seal(folder)
    return folder


def test_an_outcome_is_read_as_it_was_written_and_said(tmp_path, caplog):
    assert read_outcome(str(tmp_path), "run-2") is None
    write_outcome(f"{tmp_path}/", PROMOTED)
    assert read_outcome(str(tmp_path), "run-2") == PROMOTED
    said = notify_outcome(str(tmp_path), "run-2", "SUCCEEDED", "", webhook_env="")
    assert caplog.messages == [said]


def test_holding_records_why_and_what_stays_live(tmp_path, judgement):
    hold("local", "shop-30d", "r-old", judgement, tracked_run="t-1", pipeline_root=str(tmp_path), run="run-3")
    left = read_outcome(str(tmp_path), "run-3")
    assert (left.status, left.verdict, left.gate["reasons"]) == ("succeeded", "gate closed: it is worse", ["it is worse"])
    assert left.deployment == {
        "deployed": False,
        "target": "local",
        "line": "shop-30d",
        "release": None,
        "live": "r-old",
        "was_live": "r-old",
        "registered_version": None,
        "tracked_run": "t-1",
    }


def test_a_registry_that_does_not_answer_does_not_undo_what_is_live(root, judgement, monkeypatch, caplog):
    def refuse(*_, **__):
        raise ConnectionError("nobody\nthere")

    monkeypatch.setattr(deploy_module, "mark_live", refuse)
    release = live(root)
    where = {"tracking_uri": "http://127.0.0.1:9", "pipeline_root": str(root), "run": "run-2"}
    words = {"judgement": judgement, "version": "1", "tracked_run": "t-1"}
    given = ("local", str(root / "releases"), "shop-30d", {}, release.name, release.facts["model_sha256"])
    assert deploy_module.promote(*given, expected=release.name, **where, **words) is False  # it was live already
    assert read_outcome(str(root), "run-2").deployment["deployed"] is True
    assert "stage in the registry was not moved (nobody there)" in caplog.text
