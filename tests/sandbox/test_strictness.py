"""What the service refuses, over both protocols: each refusal names the field, and nothing is changed."""

import copy
import json
import urllib.error
import urllib.request

import pytest
import yaml
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1

from tests.sandbox.conftest import BUCKET, PARENT

ROOT = f"gs://{BUCKET}/root"
MACHINE = {"machine_spec": {"machine_type": "n1-standard-2"}, "min_replica_count": 1}


@pytest.fixture(scope="module")
def plain(gated_spec):
    return yaml.safe_load(gated_spec.read_text())


def job_of(plain, **changes):
    job = {
        "display_name": "gated",
        "pipeline_spec": copy.deepcopy(plain),
        "runtime_config": {"gcs_output_directory": ROOT, "parameter_values": {"value": 0.1}},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = job
        for name in parents:
            place = place[name]
        place[last] = value
    return job


JOBS = {
    "no display name": ({"display_name": ""}, "display_name"),
    "an upper-case label": ({"labels": {"Line": "shop"}}, r"labels.*'Line'"),
    "a long label": ({"labels": {"line": "x" * 64}}, r"labels.*'x+'"),
    "a label with a dot": ({"labels": {"commit": "a.b"}}, r"labels.*'a\.b'"),
    "no root": ({"runtime_config__gcs_output_directory": ""}, "gcs_output_directory"),
    "a local root": ({"runtime_config__gcs_output_directory": "/tmp/root"}, "gcs_output_directory"),
    "a bucket that is not there": ({"runtime_config__gcs_output_directory": "gs://nobody/root"}, "gcs_output_directory"),
    "an unknown parameter": ({"runtime_config__parameter_values__valu": 1.0}, "valu: the pipeline has no such parameter"),
    "a missing parameter": ({"runtime_config__parameter_values": {}}, "value: the parameter is required"),
    "text for a number": ({"runtime_config__parameter_values__value": "0.1"}, "value: should be NUMBER_DOUBLE"),
    "a part for an integer": ({"runtime_config__parameter_values__rounds": 1.5}, "rounds: should be NUMBER_INTEGER"),
    "a number for text": ({"runtime_config__parameter_values__note": 1.0}, "note: should be STRING"),
    "true for a number": ({"runtime_config__parameter_values__value": True}, "value: should be NUMBER_DOUBLE"),
    "no spec": ({"pipeline_spec": {}}, "pipeline_spec: is required"),
    "an unknown field in the spec": ({"pipeline_spec__root__dagg": {}}, r"pipeline_spec.*dagg"),
    "a platform spec": ({"pipeline_spec__platforms": {}}, "pipeline_spec: a platform spec"),
    "an old schema": ({"pipeline_spec__schemaVersion": "1.0"}, "schemaVersion"),
}


@pytest.mark.parametrize("case", JOBS)
def test_jobs(sandbox, gapic, plain, case):
    changes, said = JOBS[case]
    client = gapic("PipelineService")
    with pytest.raises(exceptions.BadRequest, match=said):
        client.create_pipeline_job(parent=PARENT, pipeline_job=job_of(plain, **changes), pipeline_job_id="refused")
    assert list(client.list_pipeline_jobs(parent=PARENT)) == []


@pytest.mark.parametrize("identity", ["Upper", "1digit", "under_score", "x" * 129])
def test_job_ids(gapic, plain, identity):
    with pytest.raises(exceptions.BadRequest, match="pipeline_job_id"):
        gapic("PipelineService").create_pipeline_job(parent=PARENT, pipeline_job=job_of(plain), pipeline_job_id=identity)


def schedule_of(plain, **changes):
    request = {"parent": PARENT, "pipeline_job": job_of(plain)}
    return {"display_name": "monthly", "cron": "0 6 1 * *", "max_concurrent_run_count": 1, "create_pipeline_job_request": request} | changes


SCHEDULES = {
    "no display name": ({"display_name": ""}, "display_name"),
    "six fields": ({"cron": "0 0 6 1 * *"}, "cron.*five fields"),
    "four fields": ({"cron": "0 6 1 *"}, "cron.*five fields"),
    "an hour that is none": ({"cron": "0 24 * * *"}, "cron.*hour"),
    "a word": ({"cron": "0 six * * *"}, "cron.*six"),
    "a zone that is none": ({"cron": "TZ=Mars/Olympus 0 6 * * *"}, "Mars/Olympus"),
    "a day that never comes": ({"cron": "0 6 30 2 *"}, "cron.*never"),
    "no limit": ({"max_concurrent_run_count": 0}, "max_concurrent_run_count"),
    "nothing to do": ({"create_pipeline_job_request": None}, "create_pipeline_job_request"),
    "a wrong job": ("job", "value: the parameter is required"),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules(gapic, plain, case):
    changes, said = SCHEDULES[case]
    if changes == "job":
        changes = {"create_pipeline_job_request": {"parent": PARENT, "pipeline_job": job_of(plain, runtime_config__parameter_values={})}}
    with pytest.raises(exceptions.BadRequest, match=said):
        gapic("ScheduleService").create_schedule(parent=PARENT, schedule=schedule_of(plain, **changes))


def model_of(uri, **changes):
    return {"display_name": "shop", "artifact_uri": uri, "container_spec": {"image_uri": "host/serve:1"}} | changes


MODELS = {
    "no display name": ({"display_name": ""}, {}, "display_name"),
    "no image": ({"container_spec": {}}, {}, "image_uri"),
    "no artifact": ({"artifact_uri": ""}, {}, "artifact_uri"),
    "an empty artifact": ({"artifact_uri": f"gs://{BUCKET}/models/on"}, {}, "artifact_uri.*no object"),
    "an alias that is a number": ({"version_aliases": ["1"]}, {}, "version_aliases.*'1'"),
    "an alias with a space": ({"version_aliases": ["the best"]}, {}, "version_aliases.*the best"),
    "a label": ({"labels": {"stage": "In Production"}}, {}, "labels.*In Production"),
    "an id": ({}, {"model_id": "Shop"}, "model_id"),
}


@pytest.mark.parametrize("case", MODELS)
def test_models(gapic, model_uri, case):
    changes, request, said = MODELS[case]
    client = gapic("ModelService")
    with pytest.raises(exceptions.BadRequest, match=said):
        client.upload_model({"parent": PARENT, "model": model_of(model_uri, **changes), **request})
    assert list(client.list_models(parent=PARENT)) == []


def test_a_used_model_id_and_an_unknown_parent(gapic, model_uri):
    client = gapic("ModelService")
    client.upload_model({"parent": PARENT, "model": model_of(model_uri), "model_id": "shop"}).result()
    with pytest.raises(exceptions.Conflict, match="model_id"):
        client.upload_model({"parent": PARENT, "model": model_of(model_uri), "model_id": "shop"})
    with pytest.raises(exceptions.NotFound, match="nobody"):
        client.upload_model({"parent": PARENT, "model": model_of(model_uri), "parent_model": f"{PARENT}/models/nobody"})


ALIASES = {
    "removing what is not there": ("1", ["-challenger"], "no alias challenger"),
    "removing default": ("1", ["-default"], "default cannot be removed"),
    "both ways": ("2", ["live", "-live"], "both added and removed"),
    "a pattern": ("2", ["Live"], "'Live' should match"),
    "none": ("2", [], "version_aliases: is required"),
}


@pytest.fixture
def two_versions(gapic, model_uri):
    client = gapic("ModelService")
    client.upload_model({"parent": PARENT, "model": model_of(model_uri), "model_id": "shop"}).result()
    client.upload_model({"parent": PARENT, "model": model_of(model_uri), "parent_model": f"{PARENT}/models/shop"}).result()
    return client


@pytest.mark.parametrize("case", ALIASES)
def test_aliases(two_versions, case):
    version, aliases, said = ALIASES[case]
    with pytest.raises(exceptions.BadRequest, match=said):
        two_versions.merge_version_aliases(name=f"{PARENT}/models/shop@{version}", version_aliases=aliases)


def test_deleting_versions(two_versions):
    with pytest.raises(exceptions.BadRequest, match="default"):
        two_versions.delete_model_version(name=f"{PARENT}/models/shop@1")
    with pytest.raises(exceptions.BadRequest, match="MODEL@VERSION"):
        two_versions.delete_model_version(name=f"{PARENT}/models/shop")
    two_versions.delete_model_version(name=f"{PARENT}/models/shop@2").result()
    with pytest.raises(exceptions.BadRequest, match="only one"):
        two_versions.delete_model_version(name=f"{PARENT}/models/shop@1")


@pytest.fixture
def endpoint(gapic, two_versions):
    """An endpoint with version 1 at 100 %, as id 11, and version 2 without traffic, as id 22."""
    client = gapic("EndpointService")
    made = client.create_endpoint({"parent": PARENT, "endpoint": {"display_name": "shop"}, "endpoint_id": "shop"}).result()
    for version, identity, split in ((1, "11", {"0": 100}), (2, "22", None)):
        model = {"model": f"{PARENT}/models/shop@{version}", "id": identity, "dedicated_resources": MACHINE}
        client.deploy_model({"endpoint": made.name, "deployed_model": model, "traffic_split": split}).result()
    return made.name


DEPLOYMENTS = {
    "an unknown alias": ({"model": f"{PARENT}/models/shop@best"}, {}, exceptions.NotFound, "best"),
    "no machine": ({"dedicated_resources": {"min_replica_count": 1}}, {}, exceptions.BadRequest, "machine_type"),
    "no replicas": ({"dedicated_resources": {"machine_spec": {"machine_type": "n1"}}}, {}, exceptions.BadRequest, "min_replica_count"),
    "fewer at the most": (
        {"dedicated_resources": {**MACHINE, "min_replica_count": 3, "max_replica_count": 2}},
        {},
        exceptions.BadRequest,
        "max_replica",
    ),
    "99 %": ({}, {"0": 9, "11": 90}, exceptions.BadRequest, "sum to 100, not 99"),
    "a negative share": ({}, {"0": -10, "11": 110}, exceptions.BadRequest, "percentages"),
    "an unknown id": ({}, {"0": 10, "33": 90}, exceptions.BadRequest, r"traffic_split.*\[33\] do not exist"),
    "an id with a letter": ({"id": "x1"}, {}, exceptions.BadRequest, r"deployed_model\.id"),
    "a used id": ({"id": "11"}, {}, exceptions.Conflict, r"deployed_model\.id"),
}


@pytest.mark.parametrize("case", DEPLOYMENTS)
def test_deployments(gapic, endpoint, case):
    changes, split, error, said = DEPLOYMENTS[case]
    client = gapic("EndpointService")
    before = client.get_endpoint(name=endpoint)
    model = {"model": f"{PARENT}/models/shop", "dedicated_resources": MACHINE} | changes
    with pytest.raises(error, match=said):
        client.deploy_model({"endpoint": endpoint, "deployed_model": model, "traffic_split": split})
    assert client.get_endpoint(name=endpoint) == before


def test_undeploying_and_deleting(gapic, endpoint):
    client = gapic("EndpointService")
    with pytest.raises(exceptions.BadRequest, match="100 % of the traffic"):
        client.undeploy_model(endpoint=endpoint, deployed_model_id="11")
    with pytest.raises(exceptions.BadRequest, match="undeploy them first"):
        client.delete_endpoint(name=endpoint)
    with pytest.raises(exceptions.NotFound, match="33"):
        client.undeploy_model(endpoint=endpoint, deployed_model_id="33")
    with pytest.raises(exceptions.BadRequest, match="undeploy"):
        gapic("ModelService").delete_model_version(name=f"{PARENT}/models/shop@2")
    client.undeploy_model({"endpoint": endpoint, "deployed_model_id": "11", "traffic_split": {"22": 100}}).result()
    client.undeploy_model(endpoint=endpoint, deployed_model_id="22").result()  # the last one may have traffic
    assert dict(client.get_endpoint(name=endpoint).traffic_split) == {}
    with pytest.raises(exceptions.BadRequest, match="doesn't have traffic_split"):
        gapic("PredictionService").predict(endpoint=endpoint, instances=[])
    client.delete_endpoint(name=endpoint).result()


def test_a_stale_etag_is_refused_and_each_change_gives_a_fresh_one(gapic, endpoint):
    client = gapic("EndpointService")
    first = client.get_endpoint(name=endpoint)
    mask = {"paths": ["traffic_split"]}
    change = v1.Endpoint(name=endpoint, etag=first.etag, traffic_split={"11": 90, "22": 10})
    second = client.update_endpoint(endpoint=change, update_mask=mask)
    assert second.etag != first.etag
    error = exceptions.Aborted if gapic("EndpointService").transport.kind == "grpc" else exceptions.Conflict
    with pytest.raises(error, match="etag"):
        client.update_endpoint(endpoint=change, update_mask=mask)
    assert client.get_endpoint(name=endpoint) == second
    for wrong, said in (({"11": 90}, "sum to 100"), ({"11": 90, "0": 10}, r"\[0\] do not exist")):
        with pytest.raises(exceptions.BadRequest, match=said):
            client.update_endpoint(endpoint=v1.Endpoint(name=endpoint, traffic_split=wrong), update_mask=mask)
    for paths in ([], ["deployed_models"]):
        with pytest.raises(exceptions.BadRequest, match="update_mask"):
            client.update_endpoint(endpoint=v1.Endpoint(name=endpoint), update_mask={"paths": paths})


@pytest.mark.parametrize("identity", ["Shop", "-shop", "shop-", "01", "1234567890"])
def test_endpoint_ids(gapic, identity):
    with pytest.raises(exceptions.BadRequest, match="endpoint_id"):
        gapic("EndpointService").create_endpoint({"parent": PARENT, "endpoint": {"display_name": "shop"}, "endpoint_id": identity})


@pytest.mark.parametrize(
    "text", ["colour=red", "state PIPELINE_STATE_FAILED", 'display_name="x" OR state=y', "display_name>x", "create_time>soon"]
)
def test_filters(sandbox, gapic, plain, text):
    client = gapic("PipelineService")
    client.create_pipeline_job(parent=PARENT, pipeline_job=job_of(plain), pipeline_job_id="one")
    with pytest.raises(exceptions.BadRequest, match="filter"):
        list(client.list_pipeline_jobs({"parent": PARENT, "filter": text}))


WIRE = {
    "an unknown field": ("POST", "endpoints", {"displayName": "shop", "colour": "red"}, 400, "colour"),
    "an unknown query": ("POST", "endpoints?endpointid=x", {"displayName": "shop"}, 400, "endpointid"),
    "a wrong type": ("POST", "endpoints", {"displayName": 7}, 400, "displayName"),
    "a resource that is not there": ("GET", "endpoints/nobody", None, 404, "nobody"),
    "a method that it lacks": ("GET", "customJobs", None, 501, "ListCustomJobs"),
}


@pytest.mark.parametrize("case", WIRE)
def test_the_bare_wire(sandbox, case):
    method, path, body, status, said = WIRE[case]
    request = urllib.request.Request(f"{sandbox.rest}/v1/{PARENT}/{path}", json.dumps(body).encode() if body else None, method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    error = json.load(caught.value)["error"]
    assert (caught.value.code, error["code"]) == (status, status)
    assert said in error["message"]
    assert error["status"] in ("INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED")
