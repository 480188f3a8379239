"""What an AWS service says in place of an answer, in the form of its own protocol."""

import json
from xml.sax.saxutils import escape

from tests.sandbox.faults import REFUSALS
from tests.sandbox.refusal import Refusal
from tests.sandbox.web import Answer

_LIMIT = (
    "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances, with current utilization of 0 Instances and a request delta of "
    "1 Instances. Please use AWS Service Quotas to request an increase for this quota."
)
# For each kind of fault: code and status, as the service gives them. SageMaker's throttling is a 400 with a name.
_SAGEMAKER = {
    "429": ("ThrottlingException", 400),
    "500": ("InternalFailure", 500),
    "503": ("ServiceUnavailable", 503),
    "409": ("ConflictException", 409),
    "quota": ("ResourceLimitExceeded", 400),
}
_S3 = {
    "429": ("SlowDown", 503),
    "500": ("InternalError", 500),
    "503": ("ServiceUnavailable", 503),
    "409": ("ConditionalRequestConflict", 409),
    "quota": ("SlowDown", 503),
}


class AwsRefusal(Exception):
    """A refusal: the error's code, its message, the HTTP status, and what else the body holds."""

    def __init__(self, code: str, message: str, status: int = 400, headers: dict[str, str] | None = None, **more: object) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.headers, self.more = code, message, status, headers or {}, more


def invalid(message: str) -> AwsRefusal:
    """What SageMaker says to nearly everything that is wrong."""
    return AwsRefusal("ValidationException", message)


def of_fault(service: str, refusal: Refusal) -> AwsRefusal:
    """A fault of the sandbox in the service's own words."""
    kind = next(kind for kind, (_, message) in REFUSALS.items() if message == refusal.message) if refusal.message in _MESSAGES else "503"
    code, status = (_S3 if service == "s3" else _SAGEMAKER)[kind]
    return AwsRefusal(code, _LIMIT if code == "ResourceLimitExceeded" else f"{code}: the sandbox was told to.", status)


_MESSAGES = {message for _, message in REFUSALS.values()}


def rendered(service: str, refusal: AwsRefusal) -> Answer:
    """The refusal as bytes: XML from S3, JSON from the others."""
    if service == "s3":
        body = f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>"
        return Answer(body.encode(), refusal.status, {"Content-Type": "application/xml"})
    content = {"__type": refusal.code, "message": refusal.message, "Message": refusal.message, **refusal.more}
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": refusal.code, **refusal.headers}
    return Answer(json.dumps(content).encode(), refusal.status, headers)
