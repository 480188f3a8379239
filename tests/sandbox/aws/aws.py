"""AWS as an object: everything of it, from start to stop."""

import shutil
from pathlib import Path
from typing import Literal, Self

from tests.sandbox.aws.backend import REGION, Moto
from tests.sandbox.aws.endpoints import Endpoints
from tests.sandbox.aws.front import Front
from tests.sandbox.aws.servers import Servers
from tests.sandbox.faults import Gate
from tests.sandbox.web import WebServer

BUCKET = "sandbox-bucket"
ROLE = "arn:aws:iam::123456789012:role/sandbox"


class Aws:
    """SageMaker, its runtime and S3 at one address of loopback.

    address: where; calls: what was called, in order (sagemaker.CreateEndpoint, s3.PutObject, sagemaker-runtime.InvokeEndpoint); faults, endpoints: to
    meddle with.
    """

    def __init__(
        self,
        folder: Path,
        *,
        gate: Gate | None = None,
        servers: Literal["process", "inline"] = "process",
        looks: int = 1,
        port: int = 0,
    ) -> None:
        """Args:
        folder: where it keeps files; it is emptied.
        gate: that of the rest of the sandbox, whose faults and record of calls are then shared.
        servers: what a variant runs: a process of the real server, or the same contract answered in this process.
        looks: as many descriptions of an endpoint still find it on its way.
        port: 0 for a free one.
        """
        self._folder, self._kind, self._looks, self._port = folder.resolve(), servers, looks, port
        self._gate = gate or Gate()
        self.calls, self.faults = self._gate.calls, self._gate.faults
        self._server: WebServer | None = None

    def start(self) -> Self:
        """Listen."""
        self._moto = Moto()
        self._fill()
        self._server = WebServer(Front(self._moto, lambda: self.endpoints, self._gate).respond, self._port)
        self.address = self._server.address
        return self

    def stop(self) -> None:
        """End everything that it started."""
        self.faults.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
            self.endpoints.close()

    def reset(self) -> None:
        """Everything is as at the start: an empty bucket, no models, no endpoints, no faults, no calls. The address stays."""
        self.faults.clear()
        self.endpoints.close()
        self._fill()
        self.calls.clear()

    def environment(self) -> dict[str, str]:
        """The variables that point a process at it."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHURN_AWS_REGION": REGION,
            "CHURN_S3_BUCKET": BUCKET,
            "CHURN_SAGEMAKER_ROLE": ROLE,
        }

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _fill(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._moto.reset(BUCKET)
        self.endpoints = Endpoints(self._moto, Servers(self._folder, self._kind), self._looks)
