"""Amazon S3, for the releases of SageMaker."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from churn.platform.aws import asked_aws, aws_client
from churn.platform.errors import InputError, StateError
from churn.platform.retries import Backoff, retried, status
from churn.platform.storage import ABSENT

T = TypeVar("T")


def fingerprint(bucket: str, name: str) -> str:
    """ETag; nothing is downloaded."""
    return f"s3:{_ask(bucket, name, lambda: _s3().head_object(Bucket=bucket, Key=name))['ETag']}"


def read(bucket: str, name: str) -> tuple[bytes, str] | None:
    """The content and its ETag; None where there is nothing."""

    def look() -> tuple[bytes, str] | None:
        try:
            found = _s3().get_object(Bucket=bucket, Key=name)
        except _s3().exceptions.NoSuchKey:
            return None
        return found["Body"].read(), found["ETag"]

    return _ask(bucket, name, look)


def write(bucket: str, name: str, content: bytes, version: str | None) -> bool:
    """Write an object in one request; with a version only if it still has it. False where it has another."""
    match = {} if version is None else {"IfNoneMatch": "*"} if version == ABSENT else {"IfMatch": version}
    backoff = Backoff()
    for number in range(backoff.tries):
        written = _ask(bucket, name, lambda: _put(bucket, name, content, match))
        if written is not None:
            return written
        time.sleep(backoff.wait(number))
    return False


def _put(bucket: str, name: str, content: bytes, match: dict[str, str]) -> bool | None:
    """Whether it was written; None where another write to the same name was under way, which says nothing of how that ends."""
    try:
        _s3().put_object(Bucket=bucket, Key=name, Body=content, ChecksumAlgorithm="SHA256", **match)
    except _s3().exceptions.ClientError as error:
        if match and status(error) in {404, 412}:  # 404: what should be replaced is gone
            if error.response["Error"].get("Code") == "NoSuchBucket":
                raise
            return False
        if match and status(error) == 409:
            return None
        raise
    return True


def upload(path: Path, bucket: str, name: str) -> bool:
    """Upload a file where nothing is; False where something is."""
    return not _exists(bucket, name) and write(bucket, name, path.read_bytes(), ABSENT)


def _exists(bucket: str, name: str) -> bool:
    def look() -> bool:
        try:
            _s3().head_object(Bucket=bucket, Key=name)
        except _s3().exceptions.ClientError as error:
            if status(error) == 404:
                return False
            raise
        return True

    return _ask(bucket, name, look)


def download(bucket: str, name: str, path: Path) -> None:
    """The object as a file."""
    _ask(bucket, name, lambda: path.write_bytes(_s3().get_object(Bucket=bucket, Key=name)["Body"].read()))


def names(bucket: str, prefix: str) -> list[str]:
    """Every name that begins so."""
    pages = _ask(bucket, prefix, lambda: list(_s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)))
    return [each["Key"] for page in pages for each in page.get("Contents", [])]


def check_bucket(bucket: str) -> None:
    """Look whether it is there."""
    _ask(bucket, "", lambda: _s3().head_bucket(Bucket=bucket))


def _s3() -> Any:
    return aws_client("s3")


def _ask(bucket: str, name: str, call: Callable[[], T]) -> T:
    try:
        with asked_aws(f"s3://{bucket}/{name}"):
            return retried(call)
    except StateError as error:
        # As Cloud Storage's: a bucket that does not answer must not read as a release that is damaged.
        raise InputError(str(error)) from None
