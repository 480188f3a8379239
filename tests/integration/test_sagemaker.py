"""Releases on SageMaker over HTTP, against the services on loopback: canary, promotion, rollback, and every way to be cut off."""

import json
import logging
from functools import cache

import botocore.client
import pytest

from churn.deployment.canary import CanaryPolicy
from churn.deployment.releases import Traffic, release_name
from churn.deployment.sagemaker import SageMakerReleases, SageMakerServing, pack
from churn.platform.errors import ConfigError, StateError
from churn.platform.files import read_json
from tests.clouds import BUCKET, point_at
from tests.models import INSTANCES, make
from tests.sandbox.aws import Aws
from tests.sandbox.aws.aws import ROLE

LINE = "shop-30d"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn-serve:1.4.0"
POLICY = CanaryPolicy(percent=10, min_answers=3, timeout_seconds=30, max_error_share=0.0, max_p95_ms=5000, max_score_distance=1.0)
QUICK = POLICY.model_copy(update={"percent": 40, "min_answers": 2})
MUTATING = ("Create", "Update", "Delete", "Put")


class Killed(BaseException):
    """As kill -9 would."""


@pytest.fixture
def aws(inline_aws, monkeypatch, impatient):
    inline_aws.reset()
    point_at(monkeypatch, inline_aws.environment())
    return inline_aws


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A maker of models: the same one for the same number."""
    root = tmp_path_factory.mktemp("models")
    return cache(lambda number, lies=False: make(root, number, lies=lies))


def store_of(line=LINE, **serving):
    settings = {"region": "us-east-1", "role": ROLE, "image": IMAGE, "instances": 2, "minutes": 1} | serving
    return SageMakerReleases(f"s3://{BUCKET}/releases", line, SageMakerServing(**settings))


def live(aws, trained, *numbers, **serving):
    """A store in which these went live in turn; gives it and their names."""
    store = store_of(**serving)
    names = [trained(number).put(store) for number in numbers]
    for name in names:
        store.promote(name, expected=store.live_name(), by="test")
    return store, names


def state(aws, store):
    """All that there is, for comparison: who answers, and what of it stands where."""
    # Not canaries and their ends: one that is called again, once it has ended, is another one.
    moves = [(entry["action"], entry["release"]) for entry in store.history() if entry["action"] in ("promote", "rollback")]
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
        return [asked([INSTANCES[0]]) for _ in range(times)]


def test_the_first_release_goes_live_and_answers(aws, trained):
    store = store_of()
    assert store.traffic() == Traffic()
    assert store.live() is None
    made = trained(1)
    release, new = store.put(made.folder, made.probe, made.facts)
    assert new
    assert store.put(made.folder, made.probe, made.facts)[1] is False
    assert "no canary" in store.canary(release.name, policy=POLICY, expected="", by="run-1")
    assert store.promote(release.name, expected="", by="run-1")
    assert not store.promote(release.name, expected="", by="run-1")
    assert store.traffic() == Traffic(release.name)
    known = read_json(made.probe)["probabilities"][0]
    (answer,) = ask(store)
    assert (answer.release, answer.error) == (release.name, "")
    assert answer.probabilities[0] == pytest.approx(known)
    assert store.names() == [release.name]


def test_a_model_carries_its_provenance_and_one_archive(aws, trained):
    store = store_of()
    name = trained(1).put(store)
    model = store._sagemaker().describe_model(ModelName=f"churn-{LINE}-{name.removeprefix('r-')}")
    assert model["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/releases/{LINE}/{name}.tar.gz"}
    tags = {each["Key"]: each["Value"] for each in store._sagemaker().list_tags(ResourceArn=model["ModelArn"])["Tags"]}
    told = {"line": LINE, "release": name, "commit": "c0ffee", "data_fingerprint": "sha256:abc=", "run": "run-1"}
    assert tags == {f"churn:{key}": value for key, value in told.items()}
    puts = aws.calls.count("s3.PutObject")
    trained(1).put(store_of())
    assert aws.calls.count("s3.PutObject") == puts


def test_the_archive_is_the_same_bytes_each_time(trained, tmp_path):
    folder = trained(1).folder
    assert pack(folder, tmp_path / "a.tar.gz").read_bytes() == pack(folder, tmp_path / "b.tar.gz").read_bytes()


def test_a_healthy_canary_is_promoted(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two = trained(2).put(store)
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
    two = trained(2, lies=True).put(store)
    with pytest.raises(StateError, match=rf"rolled back: .*not the model that was evaluated; {one} answers alone"):
        store.canary(two, policy=POLICY, expected=one, by="run-2")
    assert store.traffic() == Traffic(one)
    assert [each["VariantName"] for each in store._look()["ProductionVariants"]] == [one]
    assert [entry["action"] for entry in store.history()] == ["promote", "canary", "withdraw"]


def test_a_canary_whose_server_fails_is_rolled_back(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two = trained(2).put(store)
    aws.endpoints.broken[two] = 500
    with pytest.raises(StateError, match=r"errors .*ModelError: it is broken"):
        store.canary(two, policy=POLICY, expected=one, by="run-2")
    assert {answer.release for answer in ask(store, 20)} == {one}


def test_a_canary_whose_container_never_starts_leaves_what_was(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two = trained(2).put(store)
    aws.faults.add("sagemaker.UpdateEndpoint", "lro-fails")
    with pytest.raises(StateError, match=f"did not take the configuration .*ping health check.*{one} answers"):
        store.canary(two, policy=POLICY, expected=one, by="run-2")
    assert store.traffic() == Traffic(one)
    assert "is healthy" in store.canary(two, policy=POLICY, expected=one, by="run-2")


def test_a_first_release_whose_container_never_starts_is_mended_by_another_image(aws, trained):
    store = store_of()
    name = trained(1).put(store)
    aws.endpoints.sick_images.add(IMAGE)
    with pytest.raises(StateError, match="nothing answers; see the container's log"):
        store.promote(name, expected="", by="run-1")
    assert store.traffic() == Traffic()
    store = store_of(image=IMAGE.replace("1.4.0", "1.4.1"))
    trained(1).put(store)
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
    three = trained(3).put(store)
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


def test_a_release_brings_its_image_where_none_is_set(aws, trained):
    made = trained(1)
    with pytest.raises(ConfigError, match=r"made without one; set CHURN_SERVING__IMAGE, for example to 1234"):
        made.put(store_of(image=""))
    store_of(line="other").put(made.folder, made.probe, made.facts | {"serving": {"image": IMAGE}})
    store = store_of(image="", line="other")
    name = store.names()[0]
    store._sagemaker().delete_model(ModelName=store._model_name(name))
    assert store.promote(name, expected="", by="run-1")
    assert store._model(name)["PrimaryContainer"]["Image"] == IMAGE


def test_tidying_leaves_other_lines_and_what_answers(aws, trained):
    other, (theirs,) = live(aws, trained, 9, line=f"{LINE}-uk")
    store, names = live(aws, trained, 1, 2, 3, 4, 5, keep_versions=2)
    assert len(store._named("models", "ModelName")) == 3
    assert store._named("endpoint_configs", "EndpointConfigName") == [store._configuration(Traffic(names[-1]))]
    assert other.traffic() == Traffic(theirs)
    assert {answer.release for answer in ask(other)} == {theirs}


def test_what_cannot_be_tidied_undoes_nothing(aws, trained, caplog):
    store, (one,) = live(aws, trained, 1)
    two = trained(2).put(store)
    aws.faults.add("sagemaker.DeleteEndpointConfig", "quota")
    with caplog.at_level(logging.WARNING):
        assert store.promote(two, expected=one, by="run-2")
    assert "the next change does it" in caplog.text


def test_of_two_that_change_it_one_is_refused(aws, trained):
    store, (one,) = live(aws, trained, 1)
    two, three = trained(2).put(store), trained(3).put(store)
    seen = store.traffic()
    store_of().promote(two, expected=one, by="run-2")
    with pytest.raises(StateError, match=f"changed from {one} to {two} since it was looked at; run again"):
        store._route(Traffic(three), seen)
    with pytest.raises(StateError, match="run again"):
        store.promote(three, expected=one, by="run-3")


def test_one_that_comes_while_another_changes_it_is_refused(aws, trained, monkeypatch):
    """Between its look and its call: the service takes no change while one is under way, and what came of that is found out."""
    store, (one,) = live(aws, trained, 1)
    two, three = trained(2).put(store), trained(3).put(store)
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
    two = trained(2).put(store)
    store.canary(two, policy=QUICK, expected=one, by="run-2")
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


@pytest.mark.parametrize(
    ("verb", "later"), [("first", False), ("deploy", False), ("deploy", True), ("rollback", True), ("withdraw", False)]
)
def test_killed_anywhere_and_called_again_it_ends_the_same(aws, trained, monkeypatch, verb, later):
    def prepare():
        aws.reset()
        return live(aws, trained, *{"first": (), "deploy": (1,), "rollback": (1, 3, 2), "withdraw": (1,)}[verb], keep_versions=1)[0]

    def act(store):
        if verb == "first":
            name = trained(1).put(store)
            store.promote(name, expected="", by="run-1")
        elif verb == "deploy":
            deploy(store, trained)
        elif verb == "rollback":
            store.rollback(to=store.names()[0], by="someone")
        else:
            aws.endpoints.broken[release_name(trained(2).facts["model_sha256"])] = 500
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
        assert state(aws, again) == whole, f"killed after change {nth}"
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
        store.promote(trained(2).put(store), expected="", by="run-2")
    else:
        deploy(store, trained)
    assert aws.faults.struck == [(call, fault)]
    two = store.live_name()
    assert store.traffic() == Traffic(two)
    assert two == release_name(trained(2).facts["model_sha256"])
    assert len(state(aws, store)["configs"]) == 1


def test_a_limit_of_the_account_is_said_in_one_line(aws, trained):
    store = store_of()
    name = trained(1).put(store)
    aws.faults.add("sagemaker.CreateEndpoint", "quota")
    with pytest.raises(StateError, match=r"ResourceLimitExceeded: .*Service Quotas.*run again"):
        store.promote(name, expected="", by="run-1")
    assert store.promote(name, expected="", by="run-1")


def test_the_real_server_answers_behind_the_endpoint(tmp_path, trained, monkeypatch):
    with Aws(tmp_path, servers="process", looks=0) as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        store, (one,) = live(aws, trained, 1)
        two = trained(2).put(store)
        assert "is healthy" in store.canary(two, policy=POLICY, expected=one, by="run-2")
        with store.endpoint() as asked:
            refused = asked([{"recency": 1.0}])
        assert "lacks features: frequency" in json.loads(refused.error.partition(": ")[2])["error"]
        assert store.promote(two, expected=one, by="run-2")
        assert {answer.release for answer in ask(store, 5)} == {two}
