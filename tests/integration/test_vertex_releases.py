"""Releases on Vertex AI, what is Vertex's own: versions and their labels, machines and replicas, keys, what is kept, and every way to be killed."""

import threading

import pytest

from churn.deployment import vertex
from churn.deployment.canary import CanaryPolicy
from churn.deployment.releases import Traffic
from churn.deployment.targets import releases
from churn.deployment.vertex import deployed_id, label
from churn.platform.errors import ConfigError, StateError
from churn.platform.google import vertex_client
from tests.clouds import BUCKET, PROJECT, point_at
from tests.models import make
from tests.sandbox import Sandbox

LINE = "shop-30d"
POLICY = CanaryPolicy(percent=20, min_answers=3, timeout_seconds=30, max_error_share=0.1, max_p95_ms=5000, max_score_distance=1.0)
KEY = "projects/sandbox/locations/us-central1/keyRings/churn/cryptoKeys/churn"


class Killed(BaseException):
    """As kill -9 would: nothing of ours catches it."""


@pytest.fixture
def sandbox(inline_sandbox, monkeypatch, impatient):
    inline_sandbox.reset()
    point_at(monkeypatch, inline_sandbox.environment("rest"))
    return inline_sandbox


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [make(root, number) for number in range(1, 6)]


def store_of(line: str = LINE, **serving):
    return releases("vertex", f"gs://{BUCKET}/releases", line, PROJECT | serving)


def versions(store):
    return sorted(
        vertex_client("ModelServiceClient", "us-central1").list_model_versions(name=store._model), key=lambda each: int(each.version_id)
    )


def live(store, made) -> str:
    name = made.put(store)
    store.promote(name, expected=store.live_name(), by="test")
    return name


def test_a_version_says_where_it_comes_from(sandbox, models):
    store = store_of()
    name = live(store, models[0])
    (version,) = versions(store)
    assert dict(version.labels) == {
        "release": name,
        "line": LINE,
        "commit": "c0ffee",
        "run": "run-1",
        "model_sha256": models[0].facts["model_sha256"][:63],
    }
    assert set(version.version_aliases) == {name, "live", "default"}
    assert version.artifact_uri == f"gs://{BUCKET}/releases/{LINE}/{name}/model"
    container = version.container_spec
    assert (container.image_uri, container.health_route, container.predict_route) == (PROJECT["image"], "/health", "/predict")


def test_machines_replicas_and_keys_are_those_that_are_set(sandbox, models):
    store = store_of(machine_type="n1-standard-4", min_replicas=3, max_replicas=7, kms_key=KEY)
    live(store, models[0])
    endpoint = store._look()
    (deployed,) = endpoint.deployed_models
    resources = deployed.dedicated_resources
    assert (resources.machine_spec.machine_type, resources.min_replica_count, resources.max_replica_count) == ("n1-standard-4", 3, 7)
    assert (endpoint.encryption_spec.kms_key_name, versions(store)[0].encryption_spec.kms_key_name) == (KEY, KEY)
    assert deployed.id == deployed_id(deployed.display_name)


def test_the_endpoint_is_one_and_what_does_not_answer_is_undeployed(sandbox, models):
    store = store_of()
    names = [live(store, each) for each in models[:3]]
    endpoints = list(vertex_client("EndpointServiceClient", "us-central1").list_endpoints(parent=store._parent))
    assert [each.display_name for each in endpoints] == [f"churn-{LINE}"]
    assert [each.display_name for each in endpoints[0].deployed_models] == names[-1:]


def test_old_versions_are_kept_to_a_number_and_can_be_gone_back_on_all_the_same(sandbox, models):
    store = store_of(keep_versions=1)
    names = [live(store, each) for each in models[:4]]
    assert [each.labels["release"] for each in versions(store)] == names[2:]
    assert store.rollback(to=names[0], by="me") == (names[3], names[0])  # its version was deleted: it is uploaded again, from the bucket
    assert store.traffic() == Traffic(names[0])
    assert names[0] in {each.labels["release"] for each in versions(store)}


def test_a_release_without_an_image_says_what_to_set(sandbox, models):
    with pytest.raises(ConfigError, match=r"serving.image: r-\w+ was made without one; set CHURN_SERVING__IMAGE"):
        models[0].put(store_of(image=""))


@pytest.mark.parametrize(
    ("root", "line", "message"), [("releases", LINE, "should be a bucket's folder"), (f"gs://{BUCKET}/r", "x" * 58, "57 characters")]
)
def test_what_cannot_be_on_vertex_is_refused_before_anything_is_asked(root, line, message):
    with pytest.raises(ConfigError, match=message):
        releases("vertex", root, line, PROJECT)


def test_a_label_is_what_the_service_takes():
    assert label("Feature/Ünïque #1!") == "feature--n-que--1-"
    assert len(label("x" * 100)) == 63


def test_killed_before_any_of_its_calls_and_called_again_it_ends_the_same(sandbox, models, monkeypatch):
    """A call is killed before each one that reaches a service, in turn; the next try finishes, and nothing is doubled."""

    def act(store):
        name = models[1].put(store)
        store.canary(name, policy=POLICY, expected=before, by="run-2")
        store.promote(name, expected=before, by="run-2")
        return name

    def state(store):
        return store.traffic(), [each.labels["release"] for each in versions(store)], [entry["action"] for entry in store.history()]

    count = {"left": 0}
    real = vertex.retried

    def counted(call, **given):
        count["left"] -= 1
        if count["left"] == 0:
            raise Killed
        return real(call, **given)

    for module in ("churn.deployment.vertex", "churn.platform.storage.gcs"):
        monkeypatch.setattr(f"{module}.retried", counted)
    store = store_of("clean")
    before = live(store, models[0])
    act(store)
    clean = state(store)
    for number in range(1, 500):
        store = store_of(f"killed-{number}")
        live(store, models[0])
        count["left"] = number
        try:
            act(store)
            count["left"] = 0
            break
        except Killed:
            count["left"] = 0
        after = models[1].facts["model_sha256"][:12]
        assert store_of(store.line).live_name() in {before, f"r-{after}"}
        again = store_of(store.line)
        if again.live_name() == before:
            act(again)
        else:
            again.promote(f"r-{after}", expected=before, by="run-2")
        assert state(again) == clean, number
    assert number > 30


def test_a_rollback_that_was_killed_goes_to_the_same_release_when_it_is_called_again(sandbox, models, monkeypatch):
    store = store_of()
    a, b, c = (live(store, each) for each in models[:3])
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "_tidied", lambda self: (_ for _ in ()).throw(Killed))
        real = type(store)._append
        patch.setattr(type(store), "_append", lambda self, entry: stop() if entry["action"] == "rollback" else real(self, entry))

        def stop():
            raise Killed

        with pytest.raises(Killed):
            store.rollback(by="me")
    assert store.live_name() == b  # the endpoint has moved, and nobody wrote that it has
    assert store.rollback(by="me") == (b, b)
    assert store.live_name() == b
    assert [entry["action"] for entry in store.history()] == ["promote"] * 3 + ["rollback"]
    assert store.rollback(by="me") == (b, a)
    assert c in store.names()


def test_what_a_killed_run_left_on_its_way_is_waited_for(tmp_path, monkeypatch, models):
    """With real servers a deployment takes its time: another one meanwhile waits for it, and deploys nothing twice."""
    with Sandbox(tmp_path / "slow", servers="process") as slow:
        point_at(monkeypatch, slow.environment("rest"))
        store = store_of()
        before = live(store, models[0])
        name = models[1].put(store)
        # The killed run's call: made, and never waited for.
        monkeypatch.setattr(type(store), "_done", lambda *_: None)
        killed = threading.Thread(target=store_of()._deploy, args=(name,))
        killed.start()
        killed.join()
        monkeypatch.undo()
        point_at(monkeypatch, slow.environment("rest"))
        assert name not in {each.display_name for each in store._look().deployed_models}
        store.promote(name, expected=before, by="run-3")
        assert store.traffic() == Traffic(name)
        assert [each.display_name for each in store._look().deployed_models] == [name]


def test_of_two_promotions_at_once_one_is_told(sandbox, models, monkeypatch):
    store = store_of()
    a, b, c = live(store, models[0]), models[1].put(store), models[2].put(store)
    real = type(store)._split

    def late(self, new, seen):
        monkeypatch.setattr(type(store), "_split", real)
        store_of().promote(c, expected=a, by="the other")  # in between the look and the act
        return real(self, new, seen)

    monkeypatch.setattr(type(store), "_split", late)
    with pytest.raises(StateError, match=rf"what answers in {LINE} changed from {a} since it was looked at, to {c}; run again"):
        store.promote(b, expected=a, by="one")
    assert store.traffic() == Traffic(c)
