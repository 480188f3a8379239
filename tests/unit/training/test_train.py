"""Training: the same to the bit, honest probabilities, a threshold from validation."""

import numpy as np
import pandas as pd
import pytest

from churn.evaluation.metrics import f1_at
from churn.features.tables import FeatureTable
from churn.platform.errors import ConfigError, InputError
from churn.platform.ranking import Ranking
from churn.training.model import BOOSTER, ChurnModel, probability, read_facts
from churn.training.policy import TrainingPolicy
from churn.training.train import _class_weight, _fit, _matrix, train
from tests.unit.training.tables import FEATURES, POLICY, make_model, make_tables, policy, rows_of, write_table


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    make_model(root)
    return root


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_model(root):
    first = ChurnModel.load(root / "model").sha256
    assert make_model(root, name="again")[1].model_sha256 == first
    assert make_model(root, name="other", seed=8)[1].model_sha256 != first
    assert (root / "other" / BOOSTER).read_bytes() != (root / "model" / BOOSTER).read_bytes()


def test_what_is_deployed_has_the_rounds_that_validation_found_and_has_seen_both_windows(root):
    folder, trained = make_model(root, name="found")
    model = ChurnModel.load(folder)
    assert model.booster.num_boosted_rounds() == trained.rounds == model.facts["rounds"]
    assert 1 <= trained.rounds < POLICY["max_rounds"]
    assert (trained.train_rows, trained.validation_rows) == (600, 300)
    rows = pd.concat([FeatureTable.read(root / name).rows for name in ("train", "validation")])
    both, _ = _fit(FeatureTable(rows, FEATURES), FEATURES, policy(), 7, rounds=trained.rounds)
    matrix = rows[FEATURES].to_numpy(dtype="float32")
    np.testing.assert_array_equal(model.booster.inplace_predict(matrix), both.inplace_predict(matrix))
    assert model.class_weight == (1 - rows["churned"]).sum() / rows["churned"].sum()
    assert model.facts["labels_known_until"] == "2023-03-31T00:00:00"


def test_what_is_written_ranks_as_what_was_trained(root):
    """The columns in their order, by name: on rows that it has seen it is better than on those that it had not."""
    rows = FeatureTable.read(root / "train").rows
    in_sample = Ranking.of(rows["churned"], ChurnModel.load(root / "model").probabilities(rows)).average_precision()
    assert in_sample > read_facts(root / "model")["validation_auc_pr"] > 0.6


def test_the_threshold_has_the_best_f1_on_validation_for_the_model_that_has_not_seen_it(root):
    first, second = (FeatureTable.read(root / name) for name in ("train", "validation"))
    booster, rounds = _fit(first, first.features, policy(), 7, validation=second)
    margin = booster.inplace_predict(_matrix(second, first.features), iteration_range=(0, rounds), predict_type="margin")
    scores = probability(margin.astype(np.float64), _class_weight(first))
    f1 = {threshold: f1_at(second.rows["churned"], scores, threshold) for threshold in np.unique(scores)}
    threshold = ChurnModel.load(root / "model").threshold
    assert f1_at(second.rows["churned"], scores, threshold) == max(f1.values())
    assert min(f1.values()) < max(f1.values())


def test_probabilities_are_set_back_from_the_class_weight(tmp_path):
    _, _, test = make_tables(tmp_path, customers=2000, shift=-4.5)
    folder, _ = make_model(tmp_path)
    rows = FeatureTable.read(test).rows
    model = ChurnModel.load(folder)
    base_rate = rows["churned"].mean()
    assert model.class_weight > 10
    assert base_rate < 0.07
    assert model.probabilities(rows).mean() == pytest.approx(base_rate, rel=0.25)


@pytest.mark.parametrize("name", ["training", "validation"])
@pytest.mark.parametrize(("churned", "rows", "words"), [(1, 40, "churned: 40"), (0, 40, "churned: 0"), (0, 0, "has 0 rows")])
def test_a_window_without_both_classes_is_one_line_with_what_to_do(tmp_path, name, churned, rows, words):
    good = write_table(tmp_path / "good", rows_of(customers=40))
    bad = write_table(tmp_path / "bad", rows_of(customers=40).head(rows).assign(churned=churned))
    folders = (bad, good) if name == "training" else (good, bad)
    with pytest.raises(InputError, match=rf"the {name} window .*{words}.*change horizon_days"):
        train(*folders, policy(), 7, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_small_log_has_small_leaves(root):
    """min_child_weight fits a large log; alone it would leave nothing to split in this one."""
    large = make_model(root, name="large", min_child_weight=1000.0, min_child_share=1.0)[0]
    small = make_model(root, name="small", min_child_weight=1000.0, min_child_share=0.002)[0]
    assert ChurnModel.load(large).importance() == {}
    assert ChurnModel.load(small).importance() != {}


def test_the_model_says_how_it_was_made(root):
    facts = read_facts(root / "model")
    assert facts["windows"] == {"train": ["2023-01-01T00:00:00", "2023-02-01T00:00:00"], "validation": ["2023-03-01T00:00:00"]}
    assert (facts["seed"], facts["policy"]) == (7, POLICY)
    assert 0.5 < facts["validation_auc_pr"] < 1


@pytest.mark.parametrize(
    ("name", "value"), [("max_depth", 0), ("learning_rate", 0), ("subsample", 1.1), ("min_child_share", 0), ("rounds", 5)]
)
def test_a_policy_out_of_range_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"parameter training: {name}"):
        TrainingPolicy.of(POLICY | {name: value}, "parameter training")
