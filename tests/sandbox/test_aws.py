"""SageMaker, its runtime and S3 on loopback, through boto3: as strict as the services, and in their own time."""

import io
import json
import tarfile

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.sandbox.aws import Aws
from tests.sandbox.aws.aws import BUCKET, ROLE

INSTANCE = {"recency": 2.0, "frequency": 1.0, "customer_id": "C1"}
SAGEMAKER = "sagemaker"


@pytest.fixture(scope="module")
def listening(tmp_path_factory):
    with Aws(tmp_path_factory.mktemp("aws"), servers="inline") as aws:
        yield aws


@pytest.fixture
def aws(listening):
    listening.reset()
    return listening


@pytest.fixture
def client(aws):
    """A maker of clients without retries."""
    import boto3
    from botocore.config import Config

    said = aws.environment()
    known = {"aws_access_key_id": said["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": said["AWS_SECRET_ACCESS_KEY"]}
    once = Config(retries={"total_max_attempts": 1}, read_timeout=10)
    where = {"region_name": said["AWS_DEFAULT_REGION"], "endpoint_url": said["AWS_ENDPOINT_URL"]}
    return lambda service: boto3.client(service, config=once, **where, **known)


@pytest.fixture
def s3(client):
    return client("s3")


@pytest.fixture
def sm(client):
    return client(SAGEMAKER)


@pytest.fixture
def model(s3, sm, artifact):
    """A maker of Models with the tiny model."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        packed.add(artifact, arcname=".")
    s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=archive.getvalue())

    def make(name, key="model.tar.gz"):
        container = {"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/{key}"}
        return sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)

    return make


def variant(name, weight=1.0):
    return {
        "VariantName": name,
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": weight,
    }


def configure(sm, name, *variants):
    sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants))


def arrive(sm, name="shop"):
    """The statuses until it rests, and what it is then."""
    seen = []
    for _ in range(20):
        found = sm.describe_endpoint(EndpointName=name)
        seen.append(found["EndpointStatus"])
        if seen[-1] in ("InService", "Failed"):
            return seen, found
    raise AssertionError(seen)


def create(sm, model):
    for name in ("one", "two"):
        model(name)
        configure(sm, name, variant(name))
    configure(sm, "both", variant("one"), variant("two", 0.0))
    sm.create_endpoint(EndpointName="shop", EndpointConfigName="one")


def refused(call, code, match, **parameters):
    with pytest.raises(ClientError, match=match) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code
    return error.value.response


def ask(client, body=None):
    return client("sagemaker-runtime").invoke_endpoint(
        EndpointName="shop", ContentType="application/json", Body=json.dumps(body or {"instances": [INSTANCE]})
    )


def test_an_endpoint_takes_its_time_and_answers(client, sm, model):
    create(sm, model)
    first = sm.describe_endpoint(EndpointName="shop")
    assert first["EndpointStatus"] == "Creating"
    assert "ProductionVariants" not in first
    assert first["PendingDeploymentSummary"]["EndpointConfigName"] == "one"
    refused(client("sagemaker-runtime").invoke_endpoint, "ValidationError", "not found", EndpointName="shop", Body=b"{}")
    assert arrive(sm)[0] == ["InService"]
    answer = ask(client)
    assert answer["InvokedProductionVariant"] == "one"
    (prediction,) = json.loads(answer["Body"].read())["predictions"]
    assert prediction["customer_id"] == "C1"
    assert 0 < prediction["churn_probability"] < 1


def test_weights_share_the_calls_the_same_way_each_time(client, sm, model):
    create(sm, model)
    arrive(sm)
    sm.update_endpoint(EndpointName="shop", EndpointConfigName="both")
    seen, found = arrive(sm)
    assert seen == ["Updating", "InService"]
    assert {each["VariantName"]: each["CurrentWeight"] for each in found["ProductionVariants"]} == {"one": 1.0, "two": 0.0}
    assert {ask(client)["InvokedProductionVariant"] for _ in range(5)} == {"one"}
    weights = [{"VariantName": "one", "DesiredWeight": 90}, {"VariantName": "two", "DesiredWeight": 10}]
    sm.update_endpoint_weights_and_capacities(EndpointName="shop", DesiredWeightsAndCapacities=weights)
    assert arrive(sm)[0] == ["Updating", "InService"]
    answered = [ask(client)["InvokedProductionVariant"] for _ in range(20)]
    assert answered.count("two") == 2
    assert answered[:10] == answered[10:]


def test_a_change_under_way_is_not_changed(sm, model):
    create(sm, model)
    update = {"EndpointName": "shop", "EndpointConfigName": "both"}
    refused(sm.update_endpoint, "ValidationException", "Cannot update in-progress endpoint", **update)
    refused(sm.delete_endpoint, "ValidationException", "in-progress", EndpointName="shop")
    arrive(sm)
    refused(sm.update_endpoint, "ValidationException", "has this configuration already", EndpointName="shop", EndpointConfigName="one")
    refused(sm.update_endpoint, "ValidationException", "Could not find endpoint conf", EndpointName="shop", EndpointConfigName="none")
    sm.update_endpoint(**update)
    weights = [{"VariantName": "one", "DesiredWeight": 1}]
    call = sm.update_endpoint_weights_and_capacities
    refused(call, "ValidationException", "in-progress", EndpointName="shop", DesiredWeightsAndCapacities=weights)


def test_what_has_a_name_is_not_made_twice(sm, model):
    create(sm, model)
    exists = "Cannot create already existing"
    refused(model, "ValidationException", f"{exists} model", name="one")
    refused(lambda: configure(sm, "one", variant("one")), "ValidationException", f"{exists} endpoint configuration")
    refused(sm.create_endpoint, "ValidationException", f"{exists} endpoint", EndpointName="shop", EndpointConfigName="one")


def test_what_is_missing_or_in_use_is_refused(sm, model):
    refused(lambda: model("lost", key="lost.tar.gz"), "ValidationException", "Could not access model data")
    refused(lambda: configure(sm, "lost", variant("lost")), "ValidationException", "Could not find model")
    refused(sm.describe_endpoint, "ValidationException", "Could not find endpoint", EndpointName="lost")
    create(sm, model)
    refused(sm.delete_endpoint_config, "ValidationException", "an endpoint uses it", EndpointConfigName="one")
    arrive(sm)
    sm.update_endpoint(EndpointName="shop", EndpointConfigName="two")
    for name in ("one", "two"):
        refused(sm.delete_endpoint_config, "ValidationException", "an endpoint uses it", EndpointConfigName=name)
    arrive(sm)
    sm.delete_endpoint_config(EndpointConfigName="one")
    refused(lambda: configure(sm, "no_underscores", variant("one")), "ValidationException", "failed to satisfy constraint")


def test_models_are_listed_by_name_and_in_pages(sm, model):
    for number in range(12):
        model(f"shop-{number}")
    model("other")
    first = sm.list_models(NameContains="shop")
    assert (len(first["Models"]), "NextToken" in first) == (10, True)
    pages = sm.get_paginator("list_models").paginate(NameContains="shop")
    assert sorted(each["ModelName"] for page in pages for each in page["Models"]) == sorted(f"shop-{number}" for number in range(12))


def test_a_container_that_does_not_answer_ping(aws, s3, sm, model):
    create(sm, model)
    s3.put_object(Bucket=BUCKET, Key="bad.tar.gz", Body=b"no archive")
    model("bad", key="bad.tar.gz")
    configure(sm, "bad", variant("bad"))
    _, before = arrive(sm)
    sm.update_endpoint(EndpointName="shop", EndpointConfigName="bad")
    _, after = arrive(sm)
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "one")
    assert after["ProductionVariants"] == before["ProductionVariants"]
    assert "did not pass the ping health check" in after["FailureReason"]
    sm.create_endpoint(EndpointName="other", EndpointConfigName="bad")
    _, failed = arrive(sm, "other")
    assert failed["EndpointStatus"] == "Failed"
    sm.delete_endpoint(EndpointName="other")
    assert sm.describe_endpoint(EndpointName="other")["EndpointStatus"] == "Deleting"
    refused(sm.describe_endpoint, "ValidationException", "Could not find endpoint", EndpointName="other")


def test_the_models_own_error_is_passed_on(aws, client, sm, model):
    create(sm, model)
    arrive(sm)
    response = refused(lambda: ask(client, {"instances": [{"recency": 1}]}), "ModelError", "lacks features: frequency")
    assert (response["OriginalStatusCode"], response["ResponseMetadata"]["HTTPStatusCode"]) == (400, 424)
    aws.endpoints.broken["one"] = 500
    assert refused(lambda: ask(client), "ModelError", "it is broken")["OriginalStatusCode"] == 500


def test_objects_are_swapped_by_their_version(s3):
    put = {"Bucket": BUCKET, "Key": "runs/a b+ü.json"}
    first = s3.put_object(**put, Body=b"1", IfNoneMatch="*", ChecksumAlgorithm="SHA256")["ETag"]
    refused(s3.put_object, "PreconditionFailed", "pre-conditions", **put, Body=b"2", IfNoneMatch="*")
    second = s3.put_object(**put, Body=b"2", IfMatch=first)["ETag"]
    refused(s3.put_object, "PreconditionFailed", "pre-conditions", **put, Body=b"3", IfMatch=first)
    refused(s3.put_object, "NoSuchKey", "does not exist", Bucket=BUCKET, Key="lost", Body=b"3", IfMatch=first)
    found = s3.get_object(**put)
    assert (found["Body"].read(), found["ETag"]) == (b"2", second)
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix="runs/")["Contents"]] == [put["Key"]]


@pytest.mark.parametrize(
    ("call", "fault", "code", "status"),
    [
        ("sagemaker.ListModels", "429", "ThrottlingException", 400),
        ("sagemaker.ListModels", "500", "InternalFailure", 500),
        ("sagemaker.ListModels", "503", "ServiceUnavailable", 503),
        ("sagemaker.ListModels", "quota", "ResourceLimitExceeded", 400),
        ("s3.GetObject", "429", "SlowDown", 503),
        ("s3.GetObject", "409", "ConditionalRequestConflict", 409),
    ],
)
def test_faults_in_each_services_words(aws, s3, sm, call, fault, code, status):
    aws.faults.add(call, fault)
    with pytest.raises(ClientError) as error:
        sm.list_models() if call.startswith(SAGEMAKER) else s3.get_object(Bucket=BUCKET, Key="x")
    said = error.value.response
    assert (said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert sm.list_models()["Models"] == []


def test_a_connection_that_is_cut_after_the_action(aws, sm, model):
    aws.faults.add("sagemaker.CreateModel", "cut-after")
    with pytest.raises(ConnectionClosedError):
        model("one")
    assert [each["ModelName"] for each in sm.list_models()["Models"]] == ["one"]
    assert aws.calls == ["s3.PutObject", "sagemaker.CreateModel", "sagemaker.ListModels"]


def test_an_update_that_fails_leaves_what_was(aws, sm, model):
    create(sm, model)
    arrive(sm)
    aws.faults.add("sagemaker.UpdateEndpoint", "lro-fails")
    sm.update_endpoint(EndpointName="shop", EndpointConfigName="both")
    _, found = arrive(sm)
    assert (found["EndpointConfigName"], "FailureReason" in found) == ("one", True)


def test_a_reset_leaves_an_empty_bucket(aws, s3, sm, model):
    create(sm, model)
    aws.reset()
    assert sm.list_endpoints()["Endpoints"] == []
    assert sm.list_models()["Models"] == []
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
