"""A model directory: what is in it, what is refused, what it gives."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from churn.features.tables import TABLE
from churn.platform.errors import IntegrityError
from churn.platform.files import check_seal, read_json, seal, write_json
from churn.training.model import BOOSTER, FACTS, ChurnModel, probability, read_facts
from tests.unit.training.tables import FEATURES, make_model, rows_of


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    make_model(root)
    return root


@pytest.fixture
def copy(root, tmp_path):
    for path in (root / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_it_holds_the_booster_the_facts_and_the_manifest_and_no_pickle(root):
    assert sorted(path.name for path in (root / "model").iterdir()) == sorted([BOOSTER, FACTS, "MANIFEST.json"])
    assert (root / "model" / BOOSTER).read_bytes()[:1] == b"{"  # UBJSON, XGBoost's own
    assert read_facts(root / "model")["features"] == FEATURES


@pytest.mark.parametrize("name", [BOOSTER, FACTS])
def test_a_changed_byte_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    for read in (ChurnModel.load, read_facts):
        with pytest.raises(IntegrityError, match=f"{name} is not what was written"):
            read(copy)


def test_another_format_is_refused(copy):
    write_json(copy / FACTS, read_json(copy / FACTS) | {"format": 2})
    seal(copy)
    with pytest.raises(IntegrityError, match="is not of format 1; train it again"):
        ChurnModel.load(copy)


def test_a_feature_that_is_not_there_is_named(root):
    model = ChurnModel.load(root / "model")
    with pytest.raises(IntegrityError, match="the rows lack features of the model: nb_transactions_total, usual_gap"):
        model.probabilities(rows_of(customers=3).drop(columns=["usual_gap", "nb_transactions_total"]))


def test_columns_are_taken_by_name_and_each_row_for_itself(root):
    model, rows = ChurnModel.load(root / "model"), rows_of(customers=50, seed=5)
    given = model.probabilities(rows)
    assert given.dtype == np.float64
    np.testing.assert_array_equal(model.probabilities(rows[rows.columns[::-1]]), given)
    np.testing.assert_array_equal(model.probabilities(rows[::-1]), given[::-1])
    assert ((given > 0) & (given < 1)).all()


def test_its_hash_is_the_directorys(root):
    assert ChurnModel.load(root / "model").sha256 == check_seal(root / "model")


def test_importance_is_each_features_share_of_the_gain(root):
    importance = ChurnModel.load(root / "model").importance()
    assert set(importance) <= set(FEATURES)
    assert sum(importance.values()) == pytest.approx(1)
    assert importance["days_since_last_transaction"] > importance["nb_transactions_total"]  # of which churn does not depend


def test_the_weight_of_a_class_shifts_the_log_odds():
    margin = np.array([-2.0, 0.0, 2.0])
    odds = 1 / probability(margin, 4.0) - 1
    np.testing.assert_allclose(odds, 4 * (1 / probability(margin, 1.0) - 1))
    assert probability(0.0, 1.0) == 0.5


def test_xgboost_comes_without_scikit_learn_which_can_be_imported_still(root):
    code = (
        "import sys\nfrom churn.training.model import ChurnModel\nChurnModel.load(sys.argv[1])\n"
        "assert not [name for name in sys.modules if name.startswith(('sklearn', 'pandas'))]\nimport sklearn.metrics"
    )
    subprocess.run([sys.executable, "-c", code, str(root / "model")], check=True)


def test_a_table_whose_file_was_emptied_is_refused(root):
    from churn.features.tables import FeatureTable

    (root / "test" / TABLE).write_bytes(b"")
    with pytest.raises(IntegrityError, match=TABLE):
        FeatureTable.read(root / "test")
    assert isinstance(FeatureTable.read(root / "train").rows, pd.DataFrame)
