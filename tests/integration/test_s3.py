"""Objects in S3, by the same names and promises as files and Cloud Storage's."""

import pytest

from churn.deployment.champion import find_champion
from churn.deployment.sagemaker import SageMakerReleases
from churn.platform import storage
from churn.platform.aws import aws_client
from churn.platform.errors import ConfigError, InputError, StateError
from churn.platform.files import seal
from churn.platform.retries import Backoff
from tests.clouds import BUCKET, point_at
from tests.sandbox.aws.aws import ROLE

ROOT = f"s3://{BUCKET}/some"


@pytest.fixture
def aws(inline_aws, monkeypatch, impatient):
    inline_aws.reset()
    point_at(monkeypatch, inline_aws.environment())
    return inline_aws


def test_texts_are_written_read_and_listed(aws, tmp_path):
    assert storage.read_text(f"{ROOT}/a b+ü.json") is None
    storage.write_text(f"{ROOT}/a b+ü.json", "one")
    assert storage.read_text(f"{ROOT}/a b+ü.json") == "one"
    assert storage.names(ROOT) == ["a b+ü.json"]
    assert storage.fetch(f"{ROOT}/a b+ü.json", tmp_path).read_text() == "one"
    before = storage.fingerprint(f"{ROOT}/a b+ü.json")
    storage.write_text(f"{ROOT}/a b+ü.json", "two")
    assert storage.fingerprint(f"{ROOT}/a b+ü.json") != before


def test_a_text_is_swapped_by_one_of_two(aws):
    uri = f"{ROOT}/history.json"
    assert storage.swap_text(uri, "1", storage.ABSENT)
    assert not storage.swap_text(uri, "2", storage.ABSENT)
    _, version = storage.read_version(uri)
    assert storage.swap_text(uri, "3", version)
    assert not storage.swap_text(uri, "4", version)
    aws_client("s3").delete_object(Bucket=uri.split("/")[2], Key=uri.split("/", 3)[3])
    assert not storage.swap_text(uri, "5", version)  # what should be replaced is gone


@pytest.mark.parametrize("fault", ["409", "cut-before", "cut-after", "503", "429"])
def test_a_swap_that_meets_a_fault_is_done_once(aws, fault):
    uri = f"{ROOT}/history.json"
    aws.faults.add("s3.PutObject", fault)
    assert storage.swap_text(uri, "1", storage.ABSENT)
    assert storage.read_text(uri) == "1"
    assert aws.calls.count("s3.PutObject") == 2


def test_a_file_is_uploaded_once(aws, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert storage.upload_once(tmp_path / "file", f"{ROOT}/file")
    assert not storage.upload_once(tmp_path / "file", f"{ROOT}/file")
    assert aws.calls.count("s3.PutObject") == 1


def test_a_sealed_folder_is_not_there_before_its_manifest(aws, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "one").write_text("1")
    seal(folder)
    aws.faults.add("s3.PutObject", "quota", nth=2)
    storage.upload_sealed(folder, f"{ROOT}/folder")
    assert (storage.download_sealed(f"{ROOT}/folder", tmp_path / "again") / "sub" / "one").read_text() == "1"
    with pytest.raises(StateError, match="is not there, or was not written whole"):
        storage.download_sealed(f"{ROOT}/other", tmp_path / "other")


def test_a_bucket_that_is_not_there_is_said(aws):
    storage.check_bucket(f"{ROOT}/x")
    with pytest.raises(InputError, match="s3://nowhere-at-all/: AWS says 404"):
        storage.check_bucket("s3://nowhere-at-all/x")
    with pytest.raises(InputError, match="NoSuchBucket"):
        storage.swap_text("s3://nowhere-at-all/x", "1", "version")


def test_a_bucket_that_does_not_answer_is_no_damaged_champion(aws, tmp_path, monkeypatch):
    serving = {"region": "us-east-1", "role": ROLE}
    monkeypatch.setattr(SageMakerReleases, "live_name", lambda self: "r-1")
    for nth in range(1, Backoff().tries + 1):
        aws.faults.add("s3.GetObject", "503", nth=nth)
    with pytest.raises(InputError, match="AWS says ServiceUnavailable"):
        find_champion("sagemaker", f"s3://{BUCKET}/releases", "shop-30d", tmp_path, serving)


def test_a_plain_address_elsewhere_is_refused(aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage.example.com")
    with pytest.raises(ConfigError, match="is not encrypted"):
        storage.read_text(f"{ROOT}/x")
