"""One contract for every target: the same verbs, messages and records on this machine, on Vertex AI over both protocols, and on SageMaker."""

import json

import pytest

from churn.deployment.canary import CanaryPolicy
from churn.deployment.releases import Traffic
from churn.deployment.targets import lines, releases
from churn.platform.errors import ConfigError, StateError
from tests.clouds import BUCKET, PROJECT, point_at
from tests.models import INSTANCES, make
from tests.sandbox.aws.aws import ROLE

LINE = "shop-30d"
POLICY = CanaryPolicy(percent=20, min_answers=5, timeout_seconds=30, max_error_share=0.1, max_p95_ms=5000, max_score_distance=1.0)


class Target:
    """A target with a sandbox behind it: stores of its lines, and what of it can be asked."""

    def __init__(self, name: str, root: str, serving: dict) -> None:
        self.name, self.root, self.serving = name, root, serving

    def store(self, line: str = LINE, **serving):
        return releases(self.name, self.root, line, self.serving | serving)


@pytest.fixture(params=["local", "vertex-rest", "vertex-grpc", "sagemaker"])
def target(request, tmp_path, monkeypatch, impatient):
    name, _, transport = request.param.partition("-")
    if name == "local":
        return Target(name, str(tmp_path / "releases"), {})
    if name == "vertex":
        sandbox = request.getfixturevalue("inline_sandbox")
        sandbox.reset()
        point_at(monkeypatch, sandbox.environment(transport))
        return Target(name, f"gs://{BUCKET}/releases", PROJECT)
    aws = request.getfixturevalue("inline_aws")
    aws.reset()
    point_at(monkeypatch, aws.environment())
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn-server:1"
    return Target(name, f"s3://{BUCKET}/releases", {"region": "us-east-1", "role": ROLE, "image": image})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [make(root, number) for number in range(1, 5)]


def ask(store, customers: int = 1):
    with store.endpoint() as asked:
        return [asked([INSTANCES[0] | {"customer_id": f"c-{number}"}]) for number in range(customers)]


def moves(store):
    return [(entry["action"], entry["release"], entry["by"]) for entry in store.history()]


def test_nothing_is_there_at_first(target):
    store = target.store()
    assert (store.names(), store.history(), store.traffic(), store.live_name(), store.live()) == ([], [], Traffic(), "", None)
    assert lines(target.name, target.root) == []
    with pytest.raises(ConfigError, match="no release 'r-x' in the line shop-30d"):
        store.promote("r-x", expected="", by="me")
    with pytest.raises(StateError, match="nothing was live before nothing in shop-30d; name a release"):
        store.rollback(by="me")


def test_the_first_release_goes_live_and_answers_what_its_model_says(target, models):
    store = target.store()
    name = models[0].put(store)
    assert store.put(models[0].folder, models[0].probe, models[0].facts)[1] is False
    assert store.traffic() == Traffic()
    assert store.canary(name, policy=POLICY, expected="", by="run-1") == "nothing is live in shop-30d: no canary"
    assert store.promote(name, expected="", by="run-1") is True
    assert store.promote(name, expected="", by="run-1") is False
    assert (store.traffic(), store.live().name, moves(store)) == (Traffic(name), name, [("promote", name, "run-1")])
    assert lines(target.name, target.root) == [LINE]
    known = json.loads(models[0].probe.read_text())["probabilities"][0]
    (answer,) = ask(store)
    assert (answer.release, answer.error) == (name, "")
    assert answer.probabilities[0] == pytest.approx(known, abs=1e-6)


def test_a_release_is_kept_with_its_facts(target, models):
    store = target.store()
    name = models[0].put(store)
    kept = target.store().get(name)
    assert kept.facts == store.facts(name) == models[0].facts | {"release": name, "line": LINE}
    assert (kept.model / "model.ubj").read_bytes() == (models[0].folder / "model.ubj").read_bytes()
    assert kept.probe == json.loads(models[0].probe.read_text())


def test_a_healthy_canary_then_all_of_it(target, models):
    store = target.store()
    a, b = (each.put(store) for each in models[:2])
    store.promote(a, expected="", by="run-1")
    said = store.canary(b, policy=POLICY, expected=a, by="run-2")
    assert said.startswith(f"canary {b} at 20 % of shop-30d is healthy: ")
    assert store.traffic() == Traffic(a, b, 20)
    answered = [answer.release for answer in ask(store, 100)]
    assert 5 <= answered.count(b) <= 35
    assert answered.count(a) + answered.count(b) == 100
    store.canary(b, policy=POLICY, expected=a, by="run-2")  # a step that is run twice: it is written down once, below
    assert store.promote(b, expected=a, by="run-2") is True
    assert store.traffic() == Traffic(b)
    assert {answer.release for answer in ask(store, 20)} == {b}
    assert moves(store) == [("promote", a, "run-1"), ("canary", b, "run-2"), ("promote", b, "run-2")]
    assert store.canary(b, policy=POLICY, expected=a, by="run-3") == f"{b} is live already: no canary"


def test_a_canary_that_is_not_the_model_that_was_evaluated_is_rolled_back(target, models, tmp_path):
    store = target.store()
    a, lies = models[0].put(store), make(tmp_path, 2, lies=True).put(store)
    store.promote(a, expected="", by="run-1")
    with pytest.raises(
        StateError, match=rf"canary {lies} at 20 % of shop-30d was rolled back: .*not the model that was evaluated; {a} answers alone"
    ):
        store.canary(lies, policy=POLICY, expected=a, by="run-2")
    assert store.traffic() == Traffic(a)
    assert {answer.release for answer in ask(store, 10)} == {a}
    assert [move[:2] for move in moves(store)] == [("promote", a), ("canary", lies), ("withdraw", lies)]


def test_a_canary_that_is_not_heard_of_in_time_is_rolled_back(target, models):
    store = target.store()
    a, b = (each.put(store) for each in models[:2])
    store.promote(a, expected="", by="run-1")
    hasty = POLICY.model_copy(update={"min_answers": 100_000, "timeout_seconds": 0.2})
    with pytest.raises(StateError, match=r"was rolled back: \d+ answers within 0 s, 100000 are needed"):
        store.canary(b, policy=hasty, expected=a, by="run-2")
    assert store.traffic() == Traffic(a)


def test_a_release_of_other_features_shares_no_endpoint(target, models, tmp_path):
    store = target.store()
    a, other = models[0].put(store), make(tmp_path, 5, features=("recency", "frequency", "amount")).put(store)
    store.promote(a, expected="", by="run-1")
    assert store.canary(other, policy=POLICY, expected=a, by="run-2") == (
        f"no canary: its requests are not those of {a}, which one endpoint cannot share (amount)"
    )
    assert store.traffic() == Traffic(a)
    assert store.promote(other, expected=a, by="run-2") is True


def test_what_went_live_in_between_is_not_overwritten(target, models):
    store = target.store()
    a, b, c = (each.put(store) for each in models[:3])
    store.promote(a, expected="", by="run-1")
    store.promote(b, expected=a, by="run-2")
    for act in (lambda: store.promote(c, expected=a, by="late"), lambda: store.canary(c, policy=POLICY, expected=a, by="late")):
        with pytest.raises(StateError, match=f"what is live in shop-30d changed from {a} to {b} since this run looked; run again"):
            act()
    assert store.traffic() == Traffic(b)


def test_back_and_back_again_until_nothing_was_before(target, models):
    store = target.store()
    a, b, c = (each.put(store) for each in models[:3])
    for name, before in zip((a, b, c), ("", a, b), strict=True):
        store.promote(name, expected=before, by="run")
    assert store.rollback(by="me") == (c, b)
    assert store.rollback(by="me") == (b, a)
    assert {answer.release for answer in ask(store, 5)} == {a}
    with pytest.raises(StateError, match=f"nothing was live before {a} in shop-30d"):
        store.rollback(by="me")
    assert store.rollback(to=c, by="me") == (a, c)
    assert [move[0] for move in moves(store)] == ["promote"] * 3 + ["rollback"] * 3


def test_a_rollback_ends_a_canary_first(target, models):
    store = target.store()
    a, b = (each.put(store) for each in models[:2])
    store.promote(a, expected="", by="run-1")
    store.canary(b, policy=POLICY, expected=a, by="run-2")
    assert store.rollback(by="me") == (b, a)
    assert store.traffic() == Traffic(a)
    assert moves(store)[-1] == ("withdraw", b, "me")


def test_a_promotion_killed_before_it_was_written_down_is_written_when_it_is_called_again(target, models, monkeypatch):
    store = target.store()
    a, b = (each.put(store) for each in models[:2])
    store.promote(a, expected="", by="run-1")
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "_append", lambda self, entry: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.promote(b, expected=a, by="run-2")
    assert (store.live_name(), len(store.history())) == (b, 1)
    assert store.promote(b, expected=a, by="run-2") is False
    assert moves(store)[-1] == ("promote", b, "run-2")


def test_lines_are_apart(target, models):
    one, other = target.store("one-30d"), target.store("other-60d")
    a, b = models[0].put(one), models[1].put(other)
    one.promote(a, expected="", by="run-1")
    other.promote(b, expected="", by="run-2")
    assert (one.traffic(), other.traffic()) == (Traffic(a), Traffic(b))
    assert lines(target.name, target.root) == ["one-30d", "other-60d"]


def test_a_batch_is_scored_by_the_release_itself(target, models, tmp_path):
    if target.name == "sagemaker":
        with pytest.raises(ConfigError, match="batch prediction"):
            target.store().batch("r-x", "rows.jsonl", "out")
        return
    store = target.store()
    name = models[0].put(store)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(each) + "\n" for each in INSTANCES))
    out = str(tmp_path / "scored.jsonl") if target.name == "local" else f"gs://{BUCKET}/scored"
    where = store.batch(name, str(rows), out)
    text = (tmp_path / "scored.jsonl").read_text() if target.name == "local" else predictions(where)
    scored = [json.loads(line) for line in text.splitlines()]
    known = json.loads(models[0].probe.read_text())["probabilities"]
    assert [each["prediction"]["churn_probability"] for each in scored] == pytest.approx(known, abs=1e-6)
    if target.name == "vertex":
        assert store.batch(name, str(rows), out) == where  # the same rows by the same release: the job is found


def predictions(folder: str) -> str:
    from churn.platform import storage

    (name,) = [each for each in storage.names(folder) if each.startswith("prediction.results")]
    return storage.read_text(f"{folder}/{name}")
