"""The repository of pipeline templates, through kfp's own client, and a job that names a template in it."""

from pathlib import Path

import pytest
import requests
from google.api_core import exceptions
from kfp.registry import RegistryClient

from tests.sandbox.conftest import BUCKET, PARENT


@pytest.fixture
def client(sandbox):
    return RegistryClient(host=sandbox.environment()["CHURN_KFP_REPOSITORY"])


def test_packages_versions_and_tags(client, gated_spec, tmp_path):
    name, version = client.upload_pipeline(str(gated_spec), tags=["v1", "latest"])
    assert (name, version[:7]) == ("gated", "sha256:")
    for which in ({"tag": "latest"}, {"version": version}):
        got = client.download_pipeline("gated", file_name=str(tmp_path / "got.yaml"), **which)
        assert Path(got).read_bytes() == gated_spec.read_bytes()
    other = tmp_path / "other.yaml"
    other.write_text(gated_spec.read_text() + "\n# changed\n")
    _, second = client.upload_pipeline(str(other))
    assert len(client.list_versions("gated")) == 2
    client.update_tag("gated", second, "latest")
    assert client.get_tag("gated", "latest")["version"].endswith(second)
    client.create_tag("gated", version, "kept")
    assert [tag["name"].rpartition("/")[2] for tag in client.list_tags("gated")] == ["kept", "latest", "v1"]
    assert client.list_packages() == [client.get_package("gated")]
    with pytest.raises(requests.HTTPError, match="400"):
        client.delete_version("gated", version)
    for tag in ("kept", "v1"):
        client.delete_tag("gated", tag)
    assert client.delete_version("gated", version)
    assert client.get_version("gated", second)["name"].endswith(second)
    assert client.delete_package("gated")
    with pytest.raises(requests.HTTPError, match="404"):
        client.download_pipeline("gated", tag="latest", file_name=str(tmp_path / "none"))


def test_what_is_no_template_is_refused(client, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1")
    with pytest.raises(requests.HTTPError, match="400"):
        client.upload_pipeline(str(path))


def test_a_job_by_its_template(sandbox, gapic, client, gated_spec, tmp_path):
    _, version = client.upload_pipeline(str(gated_spec), tags="v1")
    job = {
        "display_name": "gated",
        "template_uri": "https://us-central1-kfp.pkg.dev/sandbox/churn/gated/v1",
        "runtime_config": {"gcs_output_directory": f"gs://{BUCKET}/root", "parameter_values": {"value": 0.1}},
    }
    made = gapic("PipelineService").create_pipeline_job(parent=PARENT, pipeline_job=job, pipeline_job_id="by-template")
    assert made.template_metadata.version == version
    sandbox.wait()
    assert gapic("PipelineService").get_pipeline_job(name=made.name).state.name == "PIPELINE_STATE_SUCCEEDED"
    two = tmp_path / "two.yaml"
    two.write_text(gated_spec.read_text() + "\n---\nplatforms: {}\n")
    client.upload_pipeline(str(two), tags="v2")
    with pytest.raises(exceptions.BadRequest, match="2 YAML documents"):
        gapic("PipelineService").create_pipeline_job(parent=PARENT, pipeline_job={**job, "template_uri": job["template_uri"][:-1] + "2"})
