"""moto, in this process: what the front passes on, and a look at what it holds."""

import threading
import time
from typing import Any
from urllib.parse import urlencode

from tests.sandbox.web import Answer, Request

ACCOUNT, REGION = "123456789012", "us-east-1"
_HOP = {"connection", "keep-alive", "transfer-encoding", "server", "date"}


class Moto:
    """The wire protocol of S3 and of SageMaker's models and endpoint configurations."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.test import Client

        self._client = Client(DomainDispatcherApplication(create_backend_app))
        # One call at a time: a condition and the write under it are one step, as they are in S3.
        self._lock = threading.RLock()

    def forward(self, request: Request) -> Answer:
        """What moto answers."""
        headers = {name: value for name, value in request.headers.items() if name not in _HOP | {"content-length"}}
        query = urlencode([(name, value) for name, values in request.query.items() for value in values])
        with self._lock:
            found = self._client.open(request.raw_path, method=request.method, query_string=query, headers=headers, data=request.body)
        kept = {name: value for name, value in found.headers.items() if name.lower() not in _HOP}
        return Answer(found.get_data(), found.status_code, kept)

    def reset(self, bucket: str) -> None:
        """Nothing but one empty bucket."""
        with self._lock:
            self._sagemaker.reset()
            self._s3.reset()
            self._s3.create_bucket(bucket, REGION)

    def model(self, name: str) -> Any:
        """A Model; None where there is none."""
        return self._sagemaker._models.get(name)

    def models(self, part: str) -> list[dict[str, Any]]:
        """The Models with this in their names, as ListModels has them."""
        found = [each for name, each in self._sagemaker._models.items() if part in name]
        at = time.time()
        return [{"ModelName": each.model_name, "ModelArn": each.response_object["ModelArn"], "CreationTime": at} for each in found]

    def config(self, name: str) -> list[dict[str, Any]] | None:
        """The variants of an endpoint configuration; None where there is none."""
        found = self._sagemaker.endpoint_configs.get(name)
        return found.production_variants if found else None

    def content(self, uri: str) -> bytes | None:
        """An object's content by its s3:// URI; None where there is none."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket not in self._s3.buckets:
            return None
        found = self._s3.get_object(bucket, key)
        return bytes(found.value) if found else None

    @property
    def _sagemaker(self) -> Any:
        from moto.sagemaker.models import sagemaker_backends

        return sagemaker_backends[ACCOUNT][REGION]

    @property
    def _s3(self) -> Any:
        from moto.s3.models import s3_backends

        return s3_backends[ACCOUNT]["aws"]
