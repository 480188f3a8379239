"""One name for files and objects; Cloud Storage is a stand-in behind google-cloud-storage's own errors."""

from pathlib import Path

import google.cloud.storage
import pytest
import requests
from google.api_core.exceptions import Forbidden, NotFound, RetryError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, TransportError
from google.cloud.storage.exceptions import DataCorruption

from churn.platform import storage
from churn.platform.errors import ChurnError, ConfigError, InputError
from churn.platform.google import _storage_client


class Bucket:
    """Objects by name, and what was asked of them."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, object]] = []
        self.fails: Exception | None = None

    def bucket(self, name):
        assert name == "shop"
        return self

    def blob(self, name):
        return Blob(self, name)


class Blob:
    def __init__(self, bucket, name):
        self.bucket, self.name, self.generation, self.crc32c = bucket, name, None, None

    def _look(self, what, detail=None):
        self.bucket.asked.append((what, detail))
        if self.bucket.fails:
            raise self.bucket.fails
        if self.name not in self.bucket.objects:
            raise NotFound(f"no {self.name}")
        return self.bucket.objects[self.name]

    def reload(self, **_):
        self.generation, content = self._look("reload")
        self.crc32c = f"crc-of-{content.decode()}"

    def download_to_filename(self, path, checksum, **_):
        _, content = self._look("download", checksum)
        Path(path).write_bytes(content)

    def download_as_bytes(self, **_):
        self.generation, content = self._look("read")
        return content

    def upload_from_string(self, text, **_):
        if self.bucket.fails:
            raise self.bucket.fails
        self.bucket.objects[self.name] = (1, text)


@pytest.fixture
def cloud(monkeypatch):
    cloud = Bucket()
    cloud.objects["log.csv"] = (17, b"rows")
    monkeypatch.setattr("churn.platform.storage.gcs.storage_client", lambda: cloud)
    monkeypatch.setattr("churn.platform.retries.time.sleep", lambda _: None)
    return cloud


def test_a_files_fingerprint_is_of_its_content_not_its_name(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.csv").write_text("1")
    before = storage.fingerprint(str(tmp_path / "a.csv"))
    assert before == storage.fingerprint(str(tmp_path / "b.csv"))
    (tmp_path / "a.csv").write_text("2")
    assert storage.fingerprint(str(tmp_path / "a.csv")) != before


def test_a_file_is_read_where_it_is(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    assert storage.fetch(str(tmp_path / "a.csv"), tmp_path / "step") == tmp_path / "a.csv"


@pytest.mark.parametrize(("name", "message"), [("missing.csv", "no such file"), (".", "is a folder; give the path of one file")])
def test_no_file_there(tmp_path, name, message):
    for ask in (storage.fingerprint, lambda uri: storage.fetch(uri, tmp_path)):
        with pytest.raises(InputError, match=message):
            ask(str(tmp_path / name))


def test_an_objects_fingerprint_is_looked_up_not_downloaded(cloud):
    assert storage.fingerprint("gs://shop/log.csv") == "gcs:17:crc-of-rows"
    assert [what for what, _ in cloud.asked] == ["reload"]


def test_an_object_is_fetched_with_its_checksum(cloud, tmp_path):
    cloud.objects["2023/log.csv.gz"] = (1, b"packed")
    path = storage.fetch("gs://shop/2023/log.csv.gz", tmp_path / "step")
    assert (path.name, path.read_bytes()) == ("log.csv.gz", b"packed")
    assert ("download", "crc32c") in cloud.asked


@pytest.mark.parametrize("uri", ["gs://shop", "gs://shop/", "gs:///log.csv"])
def test_a_name_that_is_no_objects(cloud, uri):
    with pytest.raises(InputError, match="not an object's name; it is gs://BUCKET/OBJECT"):
        storage.fingerprint(uri)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (NotFound("gone"), "Cloud Storage says 404"),
        (Forbidden("caller has no\nstorage.objects.get"), "Cloud Storage says 403.*check the name and the account's permission"),
        (DefaultCredentialsError("none found"), "no credentials for Cloud Storage.*gcloud auth application-default login"),
        (RetryError("timeout of 60 s", None), "Cloud Storage does not answer.*check the network"),
        (requests.ConnectionError("reset"), "Cloud Storage does not answer"),
        (TransportError("no route to oauth2"), "Cloud Storage does not answer"),
        (DataCorruption(None, "checksum mismatch"), "what arrived is not what is stored"),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda: storage.fingerprint("gs://shop/log.csv"),
        lambda: storage.fetch("gs://shop/log.csv", "."),
        lambda: storage.write_text("gs://shop/outcomes/run.json", "{}"),
        lambda: storage.read_text("gs://shop/outcomes/run.json"),
    ],
    ids=["fingerprint", "fetch", "write", "read"],
)
def test_what_cloud_storage_refuses_is_one_line(cloud, request, ask, failure, message):
    cloud.fails = failure
    if isinstance(failure, NotFound) and "read" in request.node.callspec.id:
        assert ask() is None
        return
    with pytest.raises(ChurnError, match=f"gs://shop/.*{message}") as refused:
        ask()
    assert "\n" not in str(refused.value)


def test_no_credentials_are_said_by_whoever_makes_the_client(monkeypatch):
    def default(**_):
        raise DefaultCredentialsError("none found")

    monkeypatch.setattr("google.auth.default", default)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    _storage_client.cache_clear()
    with pytest.raises(InputError, match="no credentials for Cloud Storage"):
        storage.fingerprint("gs://shop/log.csv")


def test_an_emulator_elsewhere_is_refused(monkeypatch):
    """Anonymous credentials go to this machine alone."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://storage.example:9000")
    with pytest.raises(
        ConfigError, match=r"STORAGE_EMULATOR_HOST: http://storage\.example:9000 is not an address of this machine; unset it"
    ):
        storage.fingerprint("gs://shop/log.csv")


def test_the_real_client_needs_no_project(monkeypatch):
    """Ambient variables decide nothing, and reading an object needs no project."""
    asked = []
    monkeypatch.setattr("google.auth.default", lambda **_: (AnonymousCredentials(), "somebody-elses"))
    for name in ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    _storage_client.cache_clear()
    monkeypatch.setattr(google.cloud.storage.Blob, "reload", lambda blob, **_: asked.append(blob.path))
    assert storage.fingerprint("gs://shop/log.csv").startswith("gcs:")
    assert asked
    _storage_client.cache_clear()


def test_a_text_comes_back_and_none_where_there_is_none(cloud, tmp_path):
    for root in (str(tmp_path), "gs://shop"):
        uri = f"{root}/outcomes/run.json"
        assert storage.read_text(uri) is None
        storage.write_text(uri, "{}")
        assert storage.read_text(uri) == "{}"
