"""Cloud Storage, through google-cloud-storage: uploads of every kind, preconditions on each, generations, lists, checksums."""

import base64
import hashlib
import io

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage.exceptions import InvalidResponse

from tests.sandbox.conftest import BUCKET

UPLOADS = ["multipart", "resumable", "stream"]


def upload(bucket, name, data, kind, **conditions):
    blob = bucket.blob(name, chunk_size=None if kind == "multipart" else 256 * 1024)
    blob.metadata = {"made": "here"}
    if kind == "stream":
        with blob.open("wb", **conditions) as out:
            out.write(data)
    else:
        blob.upload_from_file(io.BytesIO(data), size=len(data) if kind == "multipart" else None, content_type="text/x", **conditions)
    return bucket.get_blob(name)


@pytest.mark.parametrize("kind", UPLOADS)
@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_what_is_written_is_read(bucket, kind, size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    blob = upload(bucket, "a b/é.bin", data, kind)
    assert blob.download_as_bytes(checksum="crc32c") == data
    assert blob.download_as_bytes(checksum="md5") == data
    assert blob.crc32c == base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    assert blob.md5_hash == base64.b64encode(hashlib.md5(data).digest()).decode()
    assert (blob.size, blob.metageneration, blob.metadata) == (size, 1, {"made": "here"})
    if size:
        assert blob.download_as_bytes(start=3, end=7) == data[3:8]


@pytest.mark.parametrize("kind", UPLOADS)
def test_preconditions_hold_for_every_kind_of_upload(bucket, kind):
    first = upload(bucket, "pointer", b"one", kind, if_generation_match=0)
    for wrong in (
        {"if_generation_match": 0},
        {"if_generation_match": first.generation + 1},
        {"if_generation_not_match": first.generation},
        {"if_metageneration_match": 7},
    ):
        # A stream gives the client's lower error as it is.
        with pytest.raises((exceptions.PreconditionFailed, InvalidResponse), match="412"):
            upload(bucket, "pointer", b"two", kind, **wrong)
    assert bucket.blob("pointer").download_as_bytes() == b"one"
    assert upload(bucket, "pointer", b"two", kind, if_generation_match=first.generation).generation > first.generation


def test_preconditions_hold_for_reads_deletes_copies_and_metadata(bucket):
    blob = upload(bucket, "pointer", b"one", "multipart")
    wrong = blob.generation + 1
    for call in (
        lambda: blob.download_as_bytes(if_generation_match=wrong),
        lambda: blob.reload(if_generation_match=wrong),
        lambda: blob.delete(if_generation_match=wrong),
        lambda: blob.patch(if_metageneration_match=7),
        lambda: bucket.copy_blob(blob, bucket, "copy", if_source_generation_match=wrong),
        lambda: bucket.copy_blob(blob, bucket, "pointer", if_generation_match=0),
    ):
        with pytest.raises(exceptions.PreconditionFailed):
            call()
    assert blob.exists()
    blob.metadata = {"more": "said"}
    blob.patch()
    assert (blob.metageneration, blob.metadata["more"]) == (2, "said")
    copy = bucket.copy_blob(blob, bucket, "copy", if_generation_match=0)
    assert copy.download_as_bytes() == b"one"
    bucket.blob("rewritten").rewrite(blob)
    blob.delete(if_generation_match=blob.generation)
    assert not bucket.blob("pointer").exists()


def test_an_old_generation_is_gone(bucket):
    old = upload(bucket, "log", b"one", "multipart")
    upload(bucket, "log", b"two", "multipart")
    for call in (bucket.blob("log", generation=old.generation).download_as_bytes, bucket.blob("log", generation=old.generation).delete):
        with pytest.raises(exceptions.NotFound):
            call()


def test_lists(bucket):
    for name in ("a/1", "a/2", "a/b/3", "a/b/4", "c"):
        bucket.blob(name).upload_from_string(name)
    assert [blob.name for blob in bucket.list_blobs(prefix="a/", page_size=1)] == ["a/1", "a/2", "a/b/3", "a/b/4"]
    folded = bucket.list_blobs(prefix="a/", delimiter="/", page_size=2)
    assert ([blob.name for blob in folded], folded.prefixes) == (["a/1", "a/2"], {"a/b/"})
    assert [blob.name for blob in bucket.list_blobs(match_glob="**/[0-9]")] == []
    assert [blob.name for blob in bucket.list_blobs(match_glob="a/*")] == ["a/1", "a/2"]


def test_buckets(sandbox):
    client = storage.Client()
    assert client.get_bucket(BUCKET).project_number == 123456789012
    client.create_bucket("another-one")
    with pytest.raises(exceptions.Conflict):
        client.create_bucket("another-one")
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("nobody")
    assert client.lookup_bucket("another-one").location == "US-CENTRAL1"
    client.bucket("another-one").delete()
    with pytest.raises(exceptions.NotFound):
        client.bucket("nobody").blob("x").upload_from_string("y")


def test_a_wrong_checksum_is_refused(bucket):
    blob = bucket.blob("x")
    blob.md5_hash = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(exceptions.BadRequest, match="checksum"):
        blob.upload_from_string("this")


def test_compose(bucket):
    parts = [upload(bucket, name, name.encode(), "multipart") for name in ("a", "b")]
    bucket.blob("both").compose(parts)
    assert bucket.blob("both").download_as_bytes() == b"ab"


def test_a_call_is_written_down_and_meets_its_fault(sandbox, bucket):
    sandbox.calls.clear()
    sandbox.faults.add("storage.objects.insert", "503", nth=2)
    bucket.blob("a").upload_from_string("1", retry=None)
    with pytest.raises(exceptions.ServiceUnavailable):
        bucket.blob("b").upload_from_string("1", retry=None)
    bucket.blob("b").upload_from_string("1", retry=None)
    sandbox.faults.add("storage.objects.insert", "cut-after")
    with pytest.raises(Exception, match=r"[Cc]onnection"):
        bucket.blob("c").upload_from_string("1", retry=None)
    assert bucket.blob("c").exists()
    assert sandbox.calls == [*["storage.objects.insert"] * 4, "storage.objects.get"]
