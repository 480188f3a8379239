"""Model registry, endpoints, predictions and batch predictions, through the SDK over both transports."""

import json

import pytest
from google.api_core import exceptions

from tests.sandbox.conftest import BUCKET

MACHINE = {"machine_type": "n1-standard-2", "min_replica_count": 1, "max_replica_count": 1}
INSTANCE = {"recency": 2.0, "frequency": 1.0, "customer_id": "C1"}


def upload(sdk, uri, **given):
    settings = {"display_name": "shop", "artifact_uri": uri, "serving_container_image_uri": "host/serve:1", "sync": True}
    routes = {"serving_container_predict_route": "/predict", "serving_container_health_route": "/health"}
    return sdk.Model.upload(**settings | routes | given)


def test_versions_and_aliases(sdk, model_uri):
    first = upload(sdk, model_uri, model_id="shop", labels={"stage": "none"})
    second = upload(
        sdk, model_uri, parent_model="shop", is_default_version=False, version_aliases=["challenger"], version_description="two"
    )
    registry = sdk.models.ModelRegistry("shop")
    assert [first.version_id, second.version_id] == ["1", "2"]
    assert first.resource_name == "projects/123456789012/locations/us-central1/models/shop"
    assert sdk.Model("shop").version_id == "1"
    assert sdk.Model("shop@challenger").version_id == "2"
    registry.add_version_aliases(["champion", "default"], "2")
    registry.remove_version_aliases(["challenger"], "2")
    assert sdk.Model("shop").version_id == "2"
    assert {each.version_id: set(each.version_aliases) for each in registry.list_versions()} == {"1": set(), "2": {"champion", "default"}}
    with pytest.raises(exceptions.NotFound, match="challenger"):
        sdk.Model("shop@challenger")
    with pytest.raises(exceptions.Conflict, match="etag"):
        second.update(labels={"stage": "archived"})  # read before its aliases were changed
    sdk.Model("shop").update(labels={"stage": "production"})
    assert [each.labels["stage"] for each in sdk.Model.list(filter="labels.stage=production AND display_name=shop")] == ["production"]
    registry.delete_version("1")
    sdk.Model("shop").delete()
    assert sdk.Model.list() == []


def test_a_canary_takes_every_tenth_call_and_is_promoted(sdk, model_uri):
    endpoint = sdk.Endpoint.create(display_name="shop", endpoint_id="shop", labels={"line": "shop"})
    first, second = upload(sdk, model_uri, model_id="shop"), upload(sdk, model_uri, parent_model="shop")
    endpoint.deploy(first, traffic_percentage=100, **MACHINE)
    one = endpoint.list_models()[0].id
    endpoint.deploy(second, traffic_percentage=10, **MACHINE)
    assert sorted(endpoint.traffic_split.values()) == [10, 90]
    answered = [endpoint.predict([INSTANCE]).deployed_model_id for _ in range(20)]
    assert [who == one for who in answered].count(False) == 2
    prediction = endpoint.predict([INSTANCE])
    assert prediction.predictions[0]["customer_id"] == "C1"
    assert 0 < prediction.predictions[0]["churn_probability"] < 1
    two = next(each.id for each in endpoint.list_models() if each.id != one)
    with pytest.raises(exceptions.BadRequest, match=r"90 % of the traffic"):
        endpoint.api_client.undeploy_model(endpoint=endpoint.resource_name, deployed_model_id=one)
    endpoint.update(traffic_split={two: 100, one: 0})
    assert endpoint.predict([INSTANCE]).model_version_id == "2"
    with pytest.raises(exceptions.BadRequest, match="undeploy"):
        sdk.Model("shop").delete()
    endpoint.undeploy(one)
    endpoint.undeploy_all()
    endpoint.delete()
    assert sdk.Endpoint.list(filter="labels.line=shop") == []


def test_a_bad_instance_is_named(sdk, model_uri):
    endpoint = sdk.Endpoint.create(display_name="shop")
    endpoint.deploy(upload(sdk, model_uri), **MACHINE)
    with pytest.raises(exceptions.BadRequest, match="lacks features: frequency"):
        endpoint.predict([{"recency": 1.0}])


def test_a_batch_prediction_reads_and_writes_the_bucket(sandbox, sdk, model_uri, bucket):
    lines = [json.dumps(INSTANCE | {"customer_id": f"C{number}"}) for number in range(100)]
    bucket.blob("in/part.jsonl").upload_from_string("\n".join([*lines, json.dumps({"recency": 1.0})]))
    job = sdk.BatchPredictionJob.submit(
        job_display_name="scores",
        model_name=upload(sdk, model_uri, model_id="shop").resource_name,
        instances_format="jsonl",
        predictions_format="jsonl",
        gcs_source=f"gs://{BUCKET}/in/part.jsonl",
        gcs_destination_prefix=f"gs://{BUCKET}/out",
        machine_type="n1-standard-2",
        batch_size=100,
    )
    sandbox.wait()
    done = sdk.BatchPredictionJob(job.resource_name)
    assert done.state.name == "JOB_STATE_SUCCEEDED", done.error
    folder = done.output_info.gcs_output_directory
    assert folder.startswith(f"gs://{BUCKET}/out/prediction-shop-")
    prefix = folder.removeprefix(f"gs://{BUCKET}/")
    results = bucket.blob(f"{prefix}/prediction.results-00000-of-00001").download_as_text().splitlines()
    errors = bucket.blob(f"{prefix}/prediction.errors_stats-00000-of-00001").download_as_text().splitlines()
    assert (len(results), len(errors)) == (100, 1)
    assert json.loads(results[7])["prediction"]["customer_id"] == "C7"
    assert "frequency" in json.loads(errors[0])["error"]["message"]
    assert done.completion_stats.successful_count == 100
