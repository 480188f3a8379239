"""The fault table: each fault at each call of the release code and of submit's. What was live stays live, the second try works, nothing is doubled.

Over HTTP every single call meets every fault that it can; over gRPC, and on SageMaker, the first and the last call of each name do. Run with -s for the count.
"""

import collections
import itertools
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from churn.deployment.canary import CanaryPolicy
from churn.deployment.releases import Traffic
from churn.deployment.targets import releases
from churn.platform import storage
from churn.platform.errors import ChurnError
from churn.platform.google import vertex_client
from pipelines.submit.spec import Spec
from pipelines.submit.vertex import VertexJobs, build, next_id, under_way, upload_sources
from tests.clouds import BUCKET, PROJECT, point_at
from tests.models import INSTANCES, make
from tests.sandbox.aws.aws import ROLE

POLICY = CanaryPolicy(percent=20, min_answers=2, timeout_seconds=30, max_error_share=0.34, max_p95_ms=5000, max_score_distance=1.0)
REFUSED = ("429", "500", "503", "409", "quota")
CUT = ("cut-before", "cut-after")
TIMEOUT, LATE = 0.35, 0.55  # seconds: a slow call is done after its caller has given it up
READS = ("Get", "List", "Predict", "Describe", "Head", "Invoke", "objects.get", "objects.list", "buckets.get")
numbers = itertools.count()


@dataclass
class Table:
    """What a table found: how many cases, in how many of them the first try already succeeded, and what went wrong."""

    name: str
    cases: int = 0
    at_once: int = 0
    wrong: list[str] = None

    def __post_init__(self) -> None:
        self.wrong = []

    def end(self, at_least: int) -> None:
        sys.stdout.write(f"\n{self.name}: {self.cases} faults, {self.at_once} of them overcome at the first try, {len(self.wrong)} wrong\n")
        assert not self.wrong, "\n".join(self.wrong[:20])
        assert self.cases >= at_least


def faults_of(call: str) -> tuple[str, ...]:
    """The faults that this call can meet: nothing that a read asks for can be half done."""
    if any(word in call for word in READS):
        return ("429", "500", "503", "cut-before", "slow")
    starts = ("Upload", "Deploy", "Undeploy", "CreateEndpoint", "DeleteModelVersion", "UpdateEndpoint")
    return (*REFUSED, *CUT, "slow", *(("lro-fails",) if any(f".{word}" in call for word in starts) else ()))


def cases(calls: list[str], *, every: bool) -> list[tuple[int, str, str]]:
    """Which call (its number, its name) meets which fault."""
    places = collections.defaultdict(list)
    for number, call in enumerate(calls, 1):
        places[call].append(number)
    chosen = {call: numbers if every else sorted({numbers[0], numbers[-1]}) for call, numbers in places.items()}
    return [(number, call, fault) for call, numbers in chosen.items() for number in numbers for fault in faults_of(call)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return make(root, 1), make(root, 2)


@pytest.fixture(params=["vertex-rest", "vertex-grpc", "sagemaker"])
def cloud(request, monkeypatch, impatient):
    """What makes a store of a line, the sandbox behind it, and what of the line stands there."""
    monkeypatch.setenv("CHURN_API_TIMEOUT", str(TIMEOUT))
    name, _, transport = request.param.partition("-")
    if name == "vertex":
        sandbox = request.getfixturevalue("inline_sandbox")
        sandbox.reset()
        point_at(monkeypatch, sandbox.environment(transport))
        return lambda line: releases("vertex", f"gs://{BUCKET}/releases", line, PROJECT), sandbox, on_vertex, transport == "rest"
    aws = request.getfixturevalue("inline_aws")
    aws.reset()
    point_at(monkeypatch, aws.environment())
    serving = {"region": "us-east-1", "role": ROLE, "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn-server:1"}
    return lambda line: releases("sagemaker", f"s3://{BUCKET}/releases", line, serving), aws, on_sagemaker, False


def on_vertex(store) -> dict:
    versions = vertex_client("ModelServiceClient", "us-central1").list_model_versions(name=store._model)
    endpoint = store._look()
    return {
        "versions": sorted(each.labels["release"] for each in versions),
        "deployed": [each.display_name for each in endpoint.deployed_models],
        "live": [each.labels["release"] for each in versions if "live" in each.version_aliases],
    }


def on_sagemaker(store) -> dict:
    client, mine = store._sagemaker(), f"churn-{store.line}-"
    models = [each["ModelName"] for page in client.get_paginator("list_models").paginate() for each in page["Models"]]
    pages = client.get_paginator("list_endpoint_configs").paginate()
    configurations = [each["EndpointConfigName"] for page in pages for each in page["EndpointConfigs"]]
    return {
        "models": sorted(name.removeprefix(mine) for name in models if name.startswith(mine)),
        "configurations": sum(name.startswith(mine) for name in configurations),
    }


def release(store, made, live: str) -> None:
    """What the pipeline's deploy, canary and promote do."""
    name = made.put(store)
    store.canary(name, policy=POLICY, expected=live, by="run-2")
    store.promote(name, expected=live, by="run-2")


def test_the_release_code(cloud, models, request):
    stores, sandbox, there, every = cloud
    first, second = models

    def begun():
        store = stores(f"line-{next(numbers)}")
        name = first.put(store)
        store.promote(name, expected="", by="run-1")
        return store, name

    store, before = begun()
    sandbox.calls.clear()
    release(store, second, before)
    calls, clean, after = list(sandbox.calls), there(store), store.live_name()
    history = [entry["action"] for entry in store.history()]
    table = Table(f"release code, {request.node.callspec.id}")
    for number, call, fault in cases(calls, every=every):
        store, before = begun()
        sandbox.faults.add("*", fault, nth=number, seconds=LATE)
        table.cases += 1
        what = f"{fault} at call {number} ({call})"
        try:
            release(store, second, before)
            table.at_once += 1
        except ChurnError as error:
            if "\n" in str(error):
                table.wrong.append(f"{what}: more than a line: {error}")
            now = stores(store.line)
            if now.live_name() not in {before, after}:
                table.wrong.append(f"{what}: {now.live_name() or 'nothing'} is live")
            with now.endpoint() as ask:
                answers = {ask([INSTANCES[0]]).release for _ in range(5)}
            if not answers <= {before, after}:
                table.wrong.append(f"{what}: {answers} answer")
        struck = list(sandbox.faults.struck)
        if fault == "slow":
            time.sleep(LATE - TIMEOUT)  # the call that was given up is done now
        sandbox.faults.clear()
        if not struck and fault != "lro-fails":
            table.wrong.append(f"{what}: met no call")
        store = stores(store.line)
        live = store.live_name()
        try:
            release(store, second, before if live != after else after)
        except ChurnError as error:
            table.wrong.append(f"{what}: the second try: {error}")
            continue
        done = there(store)
        if (store.traffic(), done) != (Traffic(after), clean):
            table.wrong.append(f"{what}: {store.traffic()} {done}, should be {clean}")
        actions = [entry["action"] for entry in store.history() if entry["action"] not in {"canary", "withdraw"}]
        if actions != [each for each in history if each != "canary"]:
            table.wrong.append(f"{what}: the history is {actions}")
    table.end(at_least=60)


@pytest.fixture
def gated(gated_spec):
    return Spec.read(str(gated_spec), Path())


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_submits_code(inline_sandbox, transport, gated, tmp_path, monkeypatch, impatient):
    from churn.platform.settings import Environment

    inline_sandbox.reset()
    point_at(monkeypatch, inline_sandbox.environment(transport))
    monkeypatch.setenv("CHURN_API_TIMEOUT", str(TIMEOUT))
    # What a job does is not what is asked here: it is taken, and never begins.
    monkeypatch.setattr("tests.sandbox.vertex.executor.Executor.start", lambda *_: None)
    environment = Environment.read("vertex")
    source = tmp_path / "log.csv"

    def submitted(number: int):
        source.write_text(f"rows of {number}")
        uri = f"gs://{BUCKET}/sources/{storage.fingerprint(str(source)).removeprefix('sha256:')}/log.csv"
        upload_sources({str(source): uri}, environment)
        request = build(gated, {"value": float(number)}, environment, labels={}, caching=True)
        jobs = VertexJobs(environment)
        before = jobs.of_call(request)
        job = under_way(before) or jobs.create(request, next_id(gated, request, before))[0]
        return jobs.get(job.name), jobs.of_call(request), uri

    inline_sandbox.calls.clear()
    submitted(0)
    calls = list(inline_sandbox.calls)
    table = Table(f"submit's code, {transport}")
    for number, (place, call, fault) in enumerate(cases(calls, every=True), 1):
        inline_sandbox.faults.add("*", fault, nth=place, seconds=LATE)
        table.cases += 1
        try:
            submitted(number)
            table.at_once += 1
        except ChurnError as error:
            if "\n" in str(error):
                table.wrong.append(f"{fault} at {call}: more than a line: {error}")
        if fault == "slow":
            time.sleep(LATE - TIMEOUT)
        inline_sandbox.faults.clear()
        job, there, uri = submitted(number)
        if [each.name for each in there] != [job.name]:
            table.wrong.append(f"{fault} at {call}: {len(there)} jobs")
        if storage.read_text(uri) != f"rows of {number}":
            table.wrong.append(f"{fault} at {call}: the source is not whole")
    table.end(at_least=40)
