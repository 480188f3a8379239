"""What is slow and real: a deployed model as a process of the real server, an SDK that knows no address, the sandbox in the foreground."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.sandbox import Sandbox
from tests.sandbox.conftest import BUCKET

CHECKOUT = Path(__file__).parents[2]
PLAIN = """
import sys
from google.cloud import aiplatform
aiplatform.init(project="my-project", location="us-central1")
where = {"template_path": sys.argv[1], "pipeline_root": "gs://sandbox-bucket/root"}
job = aiplatform.PipelineJob(display_name="gated", job_id="plain", parameter_values={"value": 0.1}, **where)
job.submit()
print(job.resource_name)
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("real")) as sandbox:
        yield sandbox


def python(sandbox, *arguments):
    environment = os.environ | sandbox.environment("grpc")
    return subprocess.run(
        [sys.executable, *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_program_that_knows_no_address_reaches_it(real, gated_spec):
    begin = time.monotonic()
    said = python(real, "-c", PLAIN, str(gated_spec))
    assert said.stdout.splitlines()[-1] == "projects/123456789012/locations/us-central1/pipelineJobs/plain", said.stderr
    assert time.monotonic() - begin < 20
    assert "Projects.GetProject" in real.calls
    real.wait()


@pytest.fixture
def real_sdk(real, artifact, monkeypatch):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform, storage

    real.reset()
    for name, value in real.environment().items():
        monkeypatch.setenv(name, value)
    for path in artifact.iterdir():
        storage.Client().bucket(BUCKET).blob(f"models/one/{path.name}").upload_from_filename(str(path))
    aiplatform.init(
        project="sandbox", location="us-central1", api_endpoint=real.rest, api_transport="rest", credentials=AnonymousCredentials()
    )
    return aiplatform


def deployed(sdk, folder):
    model = sdk.Model.upload(display_name="shop", artifact_uri=f"gs://{BUCKET}/{folder}", serving_container_image_uri="host/serve:1")
    endpoint = sdk.Endpoint.create(display_name="shop")
    endpoint.deploy(model, machine_type="n1-standard-2", min_replica_count=1, traffic_percentage=100)
    return endpoint


def test_a_deployed_model_is_a_process_of_the_real_server(real, real_sdk):
    endpoint = deployed(real_sdk, "models/one")
    row = {"recency": 2.0, "frequency": None}
    assert 0 < endpoint.predict([row]).predictions[0]["churn_probability"] < 1
    with urllib.request.urlopen(f"{real.rest}/sandbox") as answer:
        state = json.load(answer)
    assert list(state["endpoints"][0]["traffic"].values()) == [100]
    endpoint.undeploy_all()


def test_a_model_that_does_not_start_is_not_deployed(real, real_sdk):
    from google.api_core import exceptions
    from google.cloud import storage

    storage.Client().bucket(BUCKET).blob("models/bad/model.json").upload_from_string("{}")
    with pytest.raises(exceptions.GoogleAPICallError, match="never became ready"):
        deployed(real_sdk, "models/bad")
    assert real_sdk.Endpoint.list()[0].list_models() == []


def test_the_foreground_ends_with_what_it_started(tmp_path):
    command = [sys.executable, "-m", "tests.sandbox", "--folder", str(tmp_path)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = [process.stdout.readline() for _ in range(5)]
            assert "make -s sandbox-env" in said[-1]
            exported = (tmp_path / "env").read_text().splitlines()
            assert all(line.startswith("export ") and line.endswith("'") for line in exported)
            assert {"export CHURN_BUCKET='sandbox-bucket'", "export CHURN_S3_BUCKET='sandbox-bucket'"} <= set(exported)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert not (tmp_path / "env").exists()
