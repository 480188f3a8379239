"""Releases on SageMaker over HTTP, against the services on loopback: canary, promotion, rollback, and every way to be cut off."""

import json
import logging

import botocore.client
import numpy as np
import pytest

from churn.deployment.canary import CanaryPolicy
from churn.deployment.releases import Traffic
from churn.deployment.sagemaker import SageMakerReleases, SageMakerServing, pack
from churn.platform.errors import ConfigError, StateError
from churn.platform.files import read_json, write_json
from churn.platform.retries import Backoff
from churn.training.model import ChurnModel, import_xgboost, save_model
from tests.sandbox.aws import Aws
from tests.sandbox.aws.aws import BUCKET, ROLE

LINE = "shop-30d"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn-serve:1.4.0"
POLICY = CanaryPolicy(percent=10, min_answers=3, timeout_seconds=30, max_error_share=0.0, max_p95_ms=5000, max_score_distance=1.0)
FEATURES = ["recency", "frequency"]
ROWS = np.random.default_rng(7).normal(size=(12, 2)).astype("float32")
MUTATING = ("Create", "Update", "Delete", "Put")


class Killed(BaseException):
    """As kill -9 would."""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Aws(tmp_path_factory.mktemp("aws"), servers="inline") as aws:
        yield aws


@pytest.fixture
def aws(running, monkeypatch):
    running.reset()
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Backoff, "wait", lambda self, number: 0.0)
    return running


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Makers of releases: a model directory, rows of known score, facts."""
    xgboost, root, made = import_xgboost(), tmp_path_factory.mktemp("models"), {}

    def make(number, features=FEATURES):
        if (number, *features) not in made:
            rows = np.random.default_rng(number).normal(size=(200, len(features))).astype("float32")
            matrix = xgboost.DMatrix(rows, label=(rows[:, 0] > 0.1 * number).astype(int))
            booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, matrix, 5)
            folder = root / f"{number}-{len(features)}"
            sha256 = save_model(folder, booster, features, 0.5, 1.0, {"rounds": 5})
            known = ChurnModel.load(folder).score(ROWS[:, : len(features)]) if len(features) == 2 else [0.5]
            instances = [dict(zip(features, map(float, row), strict=True)) for row in ROWS] if len(features) == 2 else [{}]
            write_json(folder.with_suffix(".json"), {"instances": instances, "probabilities": [float(each) for each in known]})
            provenance = {"run": f"run-{number}", "git_commit": "c0ffee", "data_fingerprint": "sha256:abc=", "registered_version": "1"}
            facts = {"model_sha256": sha256, "created": f"2026-01-{number:02}T00:00:00+00:00", "metrics": {"auc_pr": 0.8}}
            made[number, *features] = folder, facts | {"provenance": provenance, "model": read_json(folder / "model.json")}
        return made[number, *features]

    return make


def store_of(line=LINE, **serving):
    settings = {"region": "us-east-1", "role": ROLE, "image": IMAGE, "instances": 2, "minutes": 1} | serving
    return SageMakerReleases(f"s3://{BUCKET}/releases", line, SageMakerServing(**settings))


def put(store, made):
    folder, facts = made
    return store.put(folder, folder.with_suffix(".json"), facts)[0].name


def live(aws, trained, *numbers, **serving):
    """A store in which these went live in turn; gives it and their names."""
    store = store_of(**serving)
    names = [put(store, trained(number)) for number in numbers]
    for name in names:
        store.promote(name, expected=store.live_name(), by="test")
    return store, names


def state(aws, store):
    """All that there is, for comparison: who answers, and what of it stands where."""
    # A canary that has its share already is not written down again: one that was killed before it was is not in the history.
    moves = [(entry["action"], entry["release"]) for entry in store.history() if entry["action"] != "canary"]
    sagemaker = store._sagemaker()
    return {
        "traffic": store.traffic(),
        "history": moves,
        "configs": [each["EndpointConfigName"] for each in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
        "models": sorted(each["ModelName"] for each in sagemaker.list_models()["Models"]),
        "endpoint": sagemaker.describe_endpoint(EndpointName=f"churn-{store.line}")["EndpointConfigName"],
        "releases": store.names(),
    }


def ask(store, times=1):
    with store.endpoint() as asked:
        return [asked([dict(zip(FEATURES, map(float, ROWS[0]), strict=True))]) for _ in range(times)]


def test_the_first_release_goes_live_and_answers(aws, trained):
    store = store_of()
    assert store.traffic() == Traffic()
    assert store.live() is None
    folder, facts = trained(1)
    release, new = store.put(folder, folder.with_suffix(".json"), facts)
    assert new
    assert store.put(folder, folder.with_suffix(".json"), facts)[1] is False
    assert "no canary" in store.canary(release.name, policy=POLICY, expected="", by="run-1")
    assert store.promote(release.name, expected="", by="run-1")
    assert not store.promote(release.name, expected="", by="run-1")
    assert store.traffic() == Traffic(release.name)
    known = read_json(folder.with_suffix(".json"))["probabilities"][0]
    (answer,) = ask(store)
    assert (answer.release, answer.error) == (release.name, "")
    assert answer.probabilities[0] == pytest.approx(known)
    assert store.names() == [release.name]


def test_a_model_carries_its_provenance_and_one_archive(aws, trained):
    store = store_of()
    name = put(store, trained(1))
    model = store._sagemaker().describe_model(ModelName=f"churn-{LINE}-{name.removeprefix('r-')}")
    assert model["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/releases/{LINE}/{name}.tar.gz"}
    tags = {each["Key"]: each["Value"] for each in store._sagemaker().list_tags(ResourceArn=model["ModelArn"])["Tags"]}
    told = {"line": LINE, "release": name, "commit": "c0ffee", "data_fingerprint": "sha256:abc=", "run": "run-1"}
    assert tags == {f"churn:{key}": value for key, value in told.items()}
    puts = aws.calls.count("s3.PutObject")
    put(store_of(), trained(1))
    assert aws.calls.count("s3.PutObject") == puts


def test_the_archive_is_the_same_bytes_each_time(trained, tmp_path):
    folder, _ = trained(1)
    assert pack(folder, tmp_path / "a.tar.gz").read_bytes() == pack(folder, tmp_path / "b.tar.gz").read_bytes()


def test_a_healthy_canary_is_promoted(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two = put(store, trained(2))
    assert "is healthy" in store.canary(two, policy=POLICY, expected=one, by="run-2")
    assert store.traffic() == Traffic(one, two, 10)
    answered = [answer.release for answer in ask(store, 20)]
    assert answered.count(two) == 2
    variants = store._look()["ProductionVariants"]
    assert [each["CurrentInstanceCount"] for each in variants] == [2, 1]
    assert store.promote(two, expected=one, by="run-2")
    assert {answer.release for answer in ask(store, 20)} == {two}
    assert [entry["action"] for entry in store.history()] == ["promote", "canary", "promote"]


def test_a_canary_that_is_another_model_is_rolled_back(aws, trained):
    store, (one,) = live(aws, trained, 1)
    folder, facts = trained(2)
    known = read_json(folder.with_suffix(".json"))
    write_json(folder.with_suffix(".wrong"), known | {"probabilities": [0.9 - each / 2 for each in known["probabilities"]]})
    two = store.put(folder, folder.with_suffix(".wrong"), facts)[0].name
    with pytest.raises(StateError, match=rf"rolled back: .*not the model that was evaluated; {one} answers alone"):
        store.canary(two, policy=POLICY, expected=one, by="run-2")
    assert store.traffic() == Traffic(one)
    assert [each["VariantName"] for each in store._look()["ProductionVariants"]] == [one]
    assert [entry["action"] for entry in store.history()] == ["promote", "canary", "withdraw"]


def test_a_canary_whose_server_fails_is_rolled_back(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two = put(store, trained(2))
    aws.endpoints.broken[two] = 500
    with pytest.raises(StateError, match=r"errors .*ModelError: it is broken"):
        store.canary(two, policy=POLICY, expected=one, by="run-2")
    assert {answer.release for answer in ask(store, 20)} == {one}


def test_a_canary_whose_container_never_starts_leaves_what_was(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two = put(store, trained(2))
    aws.faults.add("sagemaker.UpdateEndpoint", "lro-fails")
    with pytest.raises(StateError, match=f"did not take the configuration .*ping health check.*{one} answers"):
        store.canary(two, policy=POLICY, expected=one, by="run-2")
    assert store.traffic() == Traffic(one)
    assert "is healthy" in store.canary(two, policy=POLICY, expected=one, by="run-2")


def test_a_first_release_whose_container_never_starts_is_mended_by_another_image(aws, trained):
    store = store_of()
    name = put(store, trained(1))
    aws.endpoints.sick_images.add(IMAGE)
    with pytest.raises(StateError, match="nothing answers; see the container's log"):
        store.promote(name, expected="", by="run-1")
    assert store.traffic() == Traffic()
    store = store_of(image=IMAGE.replace("1.4.0", "1.4.1"))
    put(store, trained(1))
    assert store.promote(name, expected="", by="run-1")
    assert {answer.release for answer in ask(store)} == {name}


def test_a_failed_endpoint_that_answers_is_left_to_a_person(aws, trained):
    store, (_, two) = live(aws, trained, 1, 2)
    aws.endpoints._all[f"churn-{LINE}"].status = "Failed"
    with pytest.raises(StateError, match=rf"is Failed; .*aws sagemaker delete-endpoint --endpoint-name churn-{LINE}"):
        store.rollback(by="someone")
    assert store.traffic() == Traffic(two)


def test_rollback_goes_to_the_one_before_and_ends_a_canary(aws, trained):
    store, (one, two) = live(aws, trained, 1, 2)
    three = put(store, trained(3))
    store.canary(three, policy=POLICY, expected=two, by="run-3")
    assert store.rollback(by="someone") == (three, two)
    assert store.traffic() == Traffic(two)
    assert store.rollback(by="someone") == (two, one)
    assert {answer.release for answer in ask(store, 5)} == {one}


def test_rollback_to_a_release_whose_model_was_tidied_away(aws, trained):
    store, names = live(aws, trained, 1, 2, 3, 4, keep_versions=1)
    models = {each.rpartition("-")[2] for each in store._named("models", "ModelName")}
    assert models == {name.removeprefix("r-") for name in names[2:]}
    assert store.rollback(to=names[0], by="someone") == (names[3], names[0])
    assert {answer.release for answer in ask(store)} == {names[0]}


def test_rollback_keeps_the_image_that_a_release_had(aws, trained):
    _, (one, _) = live(aws, trained, 1, 2)
    store = store_of(image=IMAGE.replace("1.4.0", "2.0.0"))
    store.rollback(to=one, by="someone")
    assert store._model(one)["PrimaryContainer"]["Image"] == IMAGE


def test_tidying_leaves_other_lines_and_what_answers(aws, trained):
    other, (theirs,) = live(aws, trained, 9, line=f"{LINE}-uk")
    store, names = live(aws, trained, 1, 2, 3, 4, 5, keep_versions=2)
    assert len(store._named("models", "ModelName")) == 3
    assert store._named("endpoint_configs", "EndpointConfigName") == [store._configuration(Traffic(names[-1]))]
    assert other.traffic() == Traffic(theirs)
    assert {answer.release for answer in ask(other)} == {theirs}


def test_what_cannot_be_tidied_undoes_nothing(aws, trained, caplog):
    store, (one,) = live(aws, trained, 1)
    two = put(store, trained(2))
    aws.faults.add("sagemaker.DeleteEndpointConfig", "quota")
    with caplog.at_level(logging.WARNING):
        assert store.promote(two, expected=one, by="run-2")
    assert "the next change tidies again" in caplog.text


def test_of_two_that_change_it_one_is_refused(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two, three = put(store, trained(2)), put(store, trained(3))
    seen = store.traffic()
    store_of().promote(two, expected=one, by="run-2")
    with pytest.raises(StateError, match=f"changed from {one} to {two} since it was looked at; run again"):
        store._route(Traffic(three), seen)
    with pytest.raises(StateError, match="run again"):
        store.promote(three, expected=one, by="run-3")


def test_one_that_comes_while_another_changes_it_is_refused(aws, trained, monkeypatch):
    """Between its look and its call: the service takes no change while one is under way, and what came of that is found out."""
    store, (one,) = live(aws, trained, 1)
    two, three = put(store, trained(2)), put(store, trained(3))
    other = store_of()
    monkeypatch.setattr(other, "_arrived", lambda config: None)
    create, hit = store._configure, []

    def between(config, new):
        create(config, new)
        if not hit:
            hit.append(1)
            other._configure(other._configuration(Traffic(three)), Traffic(three))
            other._update(other._configuration(Traffic(three)))

    monkeypatch.setattr(store, "_configure", between)
    with pytest.raises(StateError, match=f"did not take the configuration .*{three} answers"):
        store.promote(two, expected=one, by="run-2")
    assert store.traffic() == Traffic(three)


def test_a_customers_error_names_the_variant_or_nobody(aws, trained):
    store, (one,) = live(aws, trained, 1)
    with store.endpoint() as asked:
        wrong = asked([{"recency": 1.0}])
        assert (wrong.status, wrong.release) == (400, "")
        assert "lacks features: frequency" in wrong.error
        aws.faults.add("sagemaker-runtime.InvokeEndpoint", "503")
        assert asked([]).status == 503
        aws.faults.add("sagemaker-runtime.InvokeEndpoint", "cut-before")
        assert asked([]).error
        assert asked([]).release == one


def test_batch_prediction_is_elsewhere():
    with pytest.raises(ConfigError, match="local and vertex"):
        store_of().batch("r-1", "in.jsonl", "out")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"image": "churn-serve:1"}, r"image: should be a full reference in ECR, .*, for example 123456789012\.dkr\.ecr"),
        ({"image": IMAGE.removesuffix(":1.4.0")}, "with a tag or digest"),
        ({"image": IMAGE.replace("us-east-1", "eu-west-1")}, "push it to us-east-1"),
        ({"role": "churn"}, r"role: should be the ARN of a role, for example arn:aws:iam"),
        ({"instance_type": "m5.large"}, r"for example ml\.m5\.large"),
        ({"instances": 0}, "instances"),
        ({"machine_type": "n1"}, "machine_type is not a setting here"),
    ],
)
def test_wrong_settings_are_said_in_one_line(wrong, says):
    right = {"region": "us-east-1", "role": ROLE, "image": IMAGE}
    with pytest.raises(ConfigError, match=says):
        SageMakerServing.of(right | wrong, "parameter serving")


@pytest.mark.parametrize("line", ["a" * 45, "shop-"])
def test_a_line_that_fits_no_name_is_refused(line):
    with pytest.raises(ConfigError, match="give another release_line"):
        store_of(line)


def deploy(store, trained):
    """What a run does with its model."""
    one = "" if not store.history() else store.history()[0]["release"]
    two = put(store, trained(2))
    store.canary(two, policy=POLICY, expected=one, by="run-2")
    store.promote(two, expected=one, by="run-2")


def killed_after(monkeypatch, nth, verb):
    """Run a verb that is killed right after its nth call that changes something; gives False where it makes fewer."""
    call, seen = botocore.client.BaseClient._make_api_call, []

    def counted(self, operation, parameters):
        result = call(self, operation, parameters)
        if operation.startswith(MUTATING):
            seen.append(operation)
            if len(seen) == nth:
                raise Killed(operation)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
        try:
            verb()
        except Killed:
            return True
    return False


def settle(aws):
    """Let what is under way end: time went by."""
    for endpoint in list(aws.endpoints._all.values()):
        while endpoint.status != "InService":
            aws.endpoints._move(endpoint)


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("verb", ["first", "deploy", "rollback", "withdraw"])
def test_killed_anywhere_and_called_again_it_ends_the_same(aws, trained, monkeypatch, verb, later):
    def prepare():
        aws.reset()
        return live(aws, trained, *{"first": (), "deploy": (1,), "rollback": (1, 3, 2), "withdraw": (1,)}[verb], keep_versions=1)[0]

    def act(store):
        if verb == "first":
            name = put(store, trained(1))
            store.promote(name, expected="", by="run-1")
        elif verb == "deploy":
            deploy(store, trained)
        elif verb == "rollback":
            store.rollback(to=store.names()[0], by="someone")
        else:
            aws.endpoints.broken[f"r-{trained(2)[1]['model_sha256'][:12]}"] = 500
            with pytest.raises(StateError, match="rolled back"):
                deploy(store, trained)

    store = prepare()
    act(store)
    whole, nth = state(aws, store), 0
    while True:
        nth += 1
        store = prepare()
        if not killed_after(monkeypatch, nth, lambda store=store: act(store)):
            break
        if later:
            settle(aws)
        again = store_of(keep_versions=1)
        act(again)
        assert state(aws, again) == whole, nth
    assert nth > 3


CALLS = [
    "s3.PutObject",
    "sagemaker.CreateModel",
    "sagemaker.CreateEndpointConfig",
    "sagemaker.CreateEndpoint",
    "sagemaker.UpdateEndpoint",
    "sagemaker.UpdateEndpointWeightsAndCapacities",
    "sagemaker.DescribeEndpoint",
    "sagemaker.DeleteEndpointConfig",
]


@pytest.mark.parametrize("fault", ["cut-before", "cut-after", "503", "429"])
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_at_any_call_is_tried_again(aws, trained, call, fault):
    store, _ = live(aws, trained, 1) if call != "sagemaker.CreateEndpoint" else (store_of(), [])
    aws.faults.add(call, fault)
    if call == "sagemaker.CreateEndpoint":
        store.promote(put(store, trained(2)), expected="", by="run-2")
    else:
        deploy(store, trained)
    assert aws.faults.struck == [(call, fault)]
    two = store.live_name()
    assert store.traffic() == Traffic(two)
    assert two == f"r-{trained(2)[1]['model_sha256'][:12]}"
    assert len(state(aws, store)["configs"]) == 1


def test_a_limit_of_the_account_is_said_in_one_line(aws, trained):
    store = store_of()
    name = put(store, trained(1))
    aws.faults.add("sagemaker.CreateEndpoint", "quota")
    with pytest.raises(StateError, match=r"ResourceLimitExceeded: .*Service Quotas.*run again"):
        store.promote(name, expected="", by="run-1")
    assert store.promote(name, expected="", by="run-1")


def test_the_real_server_answers_behind_the_endpoint(tmp_path, trained, monkeypatch):
    with Aws(tmp_path, servers="process", looks=0) as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        store, (one,) = live(aws, trained, 1)
        two = put(store, trained(2))
        assert "is healthy" in store.canary(two, policy=POLICY, expected=one, by="run-2")
        with store.endpoint() as asked:
            refused = asked([{"recency": 1.0}])
        assert "lacks features: frequency" in json.loads(refused.error.partition(": ")[2])["error"]
        assert store.promote(two, expected=one, by="run-2")
        assert {answer.release for answer in ask(store, 5)} == {two}
