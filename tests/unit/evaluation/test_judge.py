"""The verdict: every condition on both sides, and the comparison with a champion."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from churn.evaluation.evaluate import SCORES, Evaluation, evaluate
from churn.evaluation.judge import Champion, Compared, compare, judge, verdict_record
from churn.evaluation.metrics import Interval
from churn.evaluation.policy import GatePolicy
from churn.features.tables import FeatureTable
from churn.platform.errors import ConfigError
from churn.platform.files import read_json, seal, write_json
from churn.training.model import ChurnModel
from tests.unit.training.tables import make_model, make_tables, write_table

POLICY = {"min_auc_pr": 0.72, "min_gain": 0.0, "replace_champion": False}
CHAMPION = Champion("folder", "r-old", "0ld")


def evaluation(
    auc_pr: float | None = 0.8, *, over_recency: tuple | None = (0.05, 0.01, 0.09), base_rate: float | None = 0.5, undefined=""
) -> Evaluation:
    gain = Interval(*over_recency) if over_recency else Interval(None, None, None)
    interval = Interval(auc_pr, None if auc_pr is None else auc_pr - 0.02, None if auc_pr is None else auc_pr + 0.02)
    return Evaluation({"base_rate": base_rate}, interval, gain, undefined, [], {}, [], [], {}, "2023-06-01")


def compared(gain: float | None, **more) -> Compared:
    return Compared(auc_pr=0.75, gain=Interval(gain, None, None), **more)


def decide(
    given: Evaluation | None = None, champion: Champion | None = None, against: Compared | None = None, sha256: str = "new", **changed
):
    return judge(given or evaluation(), sha256, champion or Champion(), against, GatePolicy(**POLICY | changed))


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"min_auc_pr": 0.0}, "min_auc_pr"),
        ({"min_auc_pr": -1.0}, "min_auc_pr"),
        ({"min_auc_pr": 1.0000001}, "min_auc_pr"),
        ({"min_auc_pr": float("nan")}, "min_auc_pr"),
        ({"min_gain": -1.1}, "min_gain"),
        ({"min_gain": float("inf")}, "min_gain"),
        ({"replace_champion": "perhaps"}, "replace_champion"),
    ],
)
def test_a_policy_out_of_range_is_refused(changed, wrong):
    with pytest.raises(ConfigError, match=f"parameters: {wrong}"):
        GatePolicy.of(POLICY | changed, "parameters")


def test_the_whole_range_of_the_threshold_is_allowed():
    assert [GatePolicy.of(POLICY | {"min_auc_pr": value}, "parameters").min_auc_pr for value in (1e-9, 1)] == [1e-9, 1.0]


def test_without_a_champion_the_baseline_decides():
    verdict = decide()
    assert (verdict.approved, verdict.passed, verdict.already_live) == (True, True, False)
    assert verdict.reasons == [
        "auc_pr 0.8000 reaches the threshold 0.72",
        "it beats the recency baseline: +0.0500 [+0.0100, +0.0900] over recency alone",
        "no champion is live in this release line",
    ]
    assert verdict.line == f"gate open: {'; '.join(verdict.reasons)}"


@pytest.mark.parametrize(("auc_pr", "passed"), [(0.72, True), (np.nextafter(0.72, 0), False), (0.0, False), (1.0, True)])
def test_the_threshold_is_not_the_judges_condition_but_part_of_what_passes(auc_pr, passed):
    verdict = decide(evaluation(auc_pr))
    assert (verdict.approved, verdict.passed) == (True, passed)
    assert ("is below the threshold 0.72" in verdict.reasons[0]) is not passed


@pytest.mark.parametrize(
    ("over_recency", "approved"),
    [((0.05, 1e-9, 0.1), True), ((0.05, 0.0, 0.1), False), ((0.05, -0.01, 0.1), False), ((-0.05, -0.1, -0.01), False), (None, False)],
)
def test_the_lower_bound_over_recency_is_above_zero(over_recency, approved):
    assert decide(evaluation(over_recency=over_recency)).approved is approved


@pytest.mark.parametrize(
    ("gain", "min_gain", "approved"),
    [
        (0.0, 0.0, True),
        (1e-9, 0.0, True),
        (-1e-9, 0.0, False),
        (0.01, 0.01, True),
        (0.0099, 0.01, False),
        (-0.01, -0.01, True),
        (None, -1.0, False),
    ],
)
def test_the_gain_over_the_champion_is_at_least_min_gain(gain, min_gain, approved):
    verdict = decide(champion=CHAMPION, against=compared(gain), min_gain=min_gain)
    assert (verdict.approved, verdict.passed) == (approved, approved)
    assert verdict.champion == "r-old"


def test_the_failing_reasons_come_first_and_each_is_there():
    verdict = decide(evaluation(0.5, over_recency=(0.01, -0.01, 0.03)), CHAMPION, compared(-0.02))
    assert [reason.split(":")[0] for reason in verdict.reasons] == [
        "auc_pr 0.5000 is below the threshold 0.72",
        "it does not clearly beat the recency baseline",
        "it is worse than the champion r-old",
    ]
    only_champion = decide(champion=CHAMPION, against=compared(-0.02)).reasons
    assert only_champion[0].startswith("it is worse than the champion r-old: -0.0200, at least +0 is asked")
    assert decide(champion=CHAMPION, against=compared(0.01), min_gain=0.02).reasons[0].startswith("it does not gain enough on the champion")


def test_a_model_that_is_live_is_approved_before_any_comparison():
    worse = evaluation(over_recency=(-0.1, -0.2, -0.05))
    verdict = decide(worse, replace(CHAMPION, model_sha256="new"), None, min_gain=1.0)
    assert (verdict.approved, verdict.passed, verdict.already_live) == (True, True, True)
    assert "this very model is live already as r-old" in verdict.reasons
    below = decide(evaluation(0.5), replace(CHAMPION, model_sha256="new"), None)
    assert (below.approved, below.passed) == (True, False)


def test_a_champion_that_cannot_be_scored_closes_the_gate_unless_told_otherwise():
    failed = Compared(failed="it is damaged: model.ubj is not what was written")
    closed = decide(champion=CHAMPION, against=failed)
    assert closed.approved is False
    assert "cannot be scored (it is damaged: model.ubj is not what was written); replace_champion=true goes" in closed.reasons[0]
    assert decide(champion=CHAMPION, against=failed, replace_champion=True).approved is True
    assert decide(evaluation(over_recency=None), CHAMPION, failed, replace_champion=True).approved is False


def test_what_is_undefined_is_closed_with_its_reason():
    verdict = decide(evaluation(None, over_recency=None, base_rate=None, undefined="the test window is empty"))
    assert (verdict.approved, verdict.passed) == (False, False)
    assert verdict.reasons[:2] == [
        "auc_pr is undefined: the test window is empty",
        "the gain over the recency baseline is undefined: the test window is empty",
    ]


@pytest.mark.parametrize(("base_rate", "said"), [(0.72, True), (0.9, True), (0.7199, False)])
def test_a_base_rate_that_reaches_the_threshold_alone_is_said(base_rate, said):
    reasons = decide(evaluation(0.95, base_rate=base_rate)).reasons
    assert ("so the threshold decides nothing here: the baseline does" in reasons[0]) is said


def test_a_champion_that_saw_the_test_window_is_said():
    note = "the champion was trained on labels until 2023-05-01, so it has seen part of this test window"
    assert note in decide(champion=CHAMPION, against=compared(0.01, note=note)).line


def test_the_record_is_json():
    record = json.loads(json.dumps(verdict_record(decide(champion=CHAMPION, against=compared(0.01))), allow_nan=False))
    assert (record["approved"], record["champion"], record["gain_over_champion"]["value"]) == (True, "r-old", 0.01)
    assert record["line"].startswith("gate open: ")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("judged")
    make_tables(root)
    make_model(root)
    make_model(root, name="champion", seed=8)
    evaluate(root / "model", root / "test", root / "evaluation", rounds=20, seed=7)
    return root


def against(root, folder, **more) -> Compared:
    result = compare(Champion(str(folder), "r-old", "0ld", **more), root / "evaluation", root / "test", rounds=30)
    assert result is not None
    return result


def test_the_comparison_is_on_the_same_rows(root):
    result = against(root, root / "champion")
    scored = pd.read_parquet(root / "evaluation" / SCORES)
    theirs = ChurnModel.load(root / "champion").probabilities(FeatureTable.read(root / "test").rows)
    assert (scored["probability"] != theirs).any()
    assert result.gain.value == pytest.approx(Evaluation.read(root / "evaluation").metrics["auc_pr"] - result.auc_pr)
    assert result.gain.low <= result.gain.value <= result.gain.high
    assert (result.failed, result.note) == ("", "")


def test_a_model_against_itself_gains_exactly_nothing(root):
    assert against(root, root / "model").gain == Interval(0.0, 0.0, 0.0)


def test_no_champion_is_no_comparison(root):
    assert compare(Champion(), root / "evaluation", root / "test", rounds=10) is None


def test_a_champion_trained_on_the_test_window_is_noted(root):
    second = make_tables(root / "later", customers=100)[2]
    (root / "later" / "validation").rename(root / "later" / "unused")
    second.rename(root / "later" / "validation")
    result = against(root, make_model(root / "later")[0])
    assert result.note == "the champion was trained on labels until 2023-05-31, so it has seen part of this test window"


@pytest.mark.parametrize(("until", "seen"), [("2023-04-01T00:00:00", False), ("2023-04-02T00:00:00", True), ("2023-06-01T00:00:00", True)])
def test_a_champion_has_seen_the_test_window_where_its_labels_reach_beyond_the_first_snapshot(root, tmp_path, until, seen):
    for path in (root / "champion").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_json(tmp_path / "model.json", read_json(tmp_path / "model.json") | {"labels_known_until": until})
    seal(tmp_path)
    assert bool(against(root, tmp_path).note) is seen


@pytest.mark.parametrize("what", ["features", "byte", "gone", "booster"])
def test_a_champion_that_cannot_be_scored_says_why(root, tmp_path, what):
    if what == "features":
        rows = FeatureTable.read(root / "train").rows.assign(old_feature=1.0)
        features = ["days_since_last_transaction", "old_feature"]
        write_table(tmp_path / "train", rows, features=features)
        write_table(tmp_path / "validation", rows, features=features)
        assert against(root, make_model(tmp_path)[0]).failed == "the rows lack features of the model: old_feature"
        return
    for path in (root / "champion").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if what == "gone":
        assert "is missing" in against(root, tmp_path / "nothing").failed
        assert against(root, tmp_path, damage="it is damaged").failed == "it is damaged"
        return
    (tmp_path / "model.ubj").write_bytes(b"{}" if what == "booster" else (tmp_path / "model.ubj").read_bytes()[:-1])
    if what == "booster":
        seal(tmp_path)
    failed = against(root, tmp_path).failed
    assert failed
    assert "\n" not in failed
    assert ("is not what was written" in failed) is (what == "byte")
