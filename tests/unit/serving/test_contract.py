"""What the endpoint takes and gives, by calling it."""

import math

import numpy as np
import pytest

from churn.platform.errors import InputError
from churn.serving.contract import answer
from churn.training.model import ChurnModel
from tests.unit.training.tables import FEATURES, make_model, rows_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ChurnModel.load(make_model(tmp_path_factory.mktemp("served"))[0])


def instance(**changed):
    return dict.fromkeys(FEATURES, 5.0) | changed


def refused(model, body) -> str:
    with pytest.raises(InputError) as error:
        answer(model, body)
    return str(error.value)


def test_the_predictions_are_the_models_in_order(model):
    rows = rows_of(customers=30)
    instances = [{name: None if math.isnan(value) else value for name, value in row.items()} for row in rows[FEATURES].to_dict("records")]
    assert any(None in each.values() for each in instances)
    given = answer(model, {"instances": instances})["predictions"]
    np.testing.assert_array_equal([each["churn_probability"] for each in given], model.probabilities(rows))
    assert [each["churn"] for each in given] == [each["churn_probability"] >= model.threshold for each in given]
    assert {each["model_version"] for each in given} == {model.sha256[:12]}
    assert {len(each) for each in given} == {3}


def test_churn_begins_at_the_threshold_itself(model):
    from dataclasses import replace

    probability = answer(model, {"instances": [instance()]})["predictions"][0]["churn_probability"]
    for threshold, churn in ((probability, True), (np.nextafter(probability, 1), False)):
        assert answer(replace(model, threshold=threshold), {"instances": [instance()]})["predictions"][0]["churn"] is churn


@pytest.mark.parametrize("given", [0, "", "C1", 12.5, pytest.param(10**400, id="huge"), None])
def test_the_customer_id_comes_back_as_it_was(model, given):
    assert answer(model, {"instances": [instance(customer_id=given)]})["predictions"][0]["customer_id"] == given


def test_nobody_asked_is_nobody_answered(model):
    assert answer(model, {"instances": []}) == {"predictions": []}
    assert answer(model, {"instances": [], "parameters": {"any": 1}}) == {"predictions": []}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "5", [5], {}, 1e39, -1e300, pytest.param(10**400, id="huge")])
def test_what_is_no_number_is_refused_by_name(model, value):
    message = refused(model, {"instances": [instance(), instance(usual_gap=value)]})
    assert message.startswith("instance 1: usual_gap should be a finite number or null, not ")
    assert len(message) < 120


def test_the_largest_number_that_the_model_computes_with_is_taken(model):
    largest = float(np.finfo(np.float32).max)
    assert answer(model, {"instances": [instance(usual_gap=largest), instance(usual_gap=-largest), instance(usual_gap=10**30)]})


@pytest.mark.parametrize("value", [math.nan, math.inf, True, [1], {"id": 1}])
def test_a_customer_id_that_could_not_be_sent_back_is_refused(model, value):
    assert refused(model, {"instances": [instance(customer_id=value)]}).startswith(
        "instance 0: customer_id should be text, a number or null"
    )


def test_unknown_and_missing_features_are_named(model):
    lacking = {name: value for name, value in instance().items() if name == "usual_gap"}
    assert refused(model, {"instances": [lacking]}) == "instance 0 lacks features: days_since_last_transaction, nb_transactions_total"
    assert refused(model, {"instances": [instance(recency=1)]}) == "instance 0 has unknown features: recency"
    many = {f"f{number}": 1 for number in range(8)}
    assert refused(model, {"instances": [instance(**many)]}) == "instance 0 has unknown features: f0, f1, f2, f3, f4 and 3 more"


@pytest.mark.parametrize("body", [None, [], "instances", {}, {"instances": None}, {"instances": {"0": {}}}])
def test_a_body_without_a_list_of_instances(model, body):
    assert refused(model, body) == 'the body should be a JSON object with a list "instances"'


def test_parts_of_the_wrong_kind(model):
    assert refused(model, {"instances": [], "parameters": [1]}) == '"parameters" should be an object'
    assert refused(model, {"instances": [[5.0, 5.0, 5.0]]}) == "instance 0 should be an object of feature name to number or null"


def test_a_canary_answers_for_its_share_of_the_customers_always_the_same_ones(model):
    import dataclasses

    canary = dataclasses.replace(model, sha256="c" * 64)
    instances = [{**dict.fromkeys(model.features, 1.0), "customer_id": f"c-{number}"} for number in range(400)]
    said = answer(model, {"instances": instances}, (canary, 25))["predictions"]
    versions = [each["model_version"] for each in said]
    assert 0.15 < versions.count("c" * 12) / 400 < 0.35
    assert versions == [each["model_version"] for each in answer(model, {"instances": instances}, (canary, 25))["predictions"]]
    assert [each["customer_id"] for each in said] == [each["customer_id"] for each in instances]


@pytest.mark.parametrize(("percent", "share"), [(0, 0), (100, 50)])
def test_nobody_and_everybody(model, percent, share):
    import dataclasses

    canary = dataclasses.replace(model, sha256="c" * 64)
    instances = [{**dict.fromkeys(model.features, 1.0), "customer_id": number} for number in range(50)]
    said = answer(model, {"instances": instances}, (canary, percent))["predictions"]
    assert [each["model_version"] for each in said].count("c" * 12) == share


def test_who_is_nobody_is_answered_by_what_is_live(model):
    import dataclasses

    canary = dataclasses.replace(model, sha256="c" * 64)
    said = answer(model, {"instances": [dict.fromkeys(model.features, 1.0)] * 20}, (canary, 99))["predictions"]
    assert {each["model_version"] for each in said} == {model.sha256[:12]}
