"""What is tried again, how often, and how long is waited."""

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError
from google.api_core import exceptions as google
from google.cloud.storage.exceptions import InvalidResponse

from churn.platform import retries
from churn.platform.errors import StateError
from churn.platform.retries import Backoff, may_pass, retried, waited


@pytest.fixture
def waits(monkeypatch):
    waits = []
    monkeypatch.setattr(retries.time, "sleep", waits.append)
    return waits


def aws(code: str, http: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": http}}, "CreateEndpoint")


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("it said so", response=response)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (google.TooManyRequests("quota"), True),
        (google.ResourceExhausted("quota"), True),
        (google.InternalServerError("oops"), True),
        (google.ServiceUnavailable("gone"), True),
        (google.DeadlineExceeded("slow"), True),
        (google.RetryError("slow", None), True),
        (requests.ConnectionError("cut"), True),
        (requests.ReadTimeout("slow"), True),
        (ConnectionResetError("cut"), True),
        (answered(503), True),
        (answered(404), False),
        (InvalidResponse(answered(429).response), True),
        (InvalidResponse(answered(400).response), False),
        (aws("ThrottlingException", 400), True),
        (aws("InternalFailure", 500), True),
        (EndpointConnectionError(endpoint_url="https://sagemaker"), True),
        (google.BadRequest("field"), False),
        (google.NotFound("nobody"), False),
        (google.Forbidden("no"), False),
        (google.Conflict("there"), False),
        (google.Aborted("etag"), False),
        (google.FailedPrecondition("busy"), False),
        (aws("ValidationException", 400), False),
        (aws("AccessDenied", 403), False),
        (ValueError("ours"), False),
        (KeyError("ours"), False),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else str(value),
)
def test_only_what_may_pass_is_tried_again(error, passes, waits):
    assert may_pass(error) is passes
    tries = iter([error])

    def call():
        for each in tries:
            raise each
        return "done"

    if passes:
        assert retried(call) == "done"
    else:
        with pytest.raises(type(error)):
            retried(call)
    assert len(waits) == passes


def test_it_is_given_up_with_the_calls_own_error(waits):
    calls = []

    def call():
        calls.append(1)
        raise google.ServiceUnavailable("still gone")

    with pytest.raises(google.ServiceUnavailable):
        retried(call, backoff=Backoff(tries=4))
    assert (len(calls), len(waits)) == (4, 3)


def test_waits_double_with_full_jitter_up_to_the_most():
    backoff = Backoff(first=1, most=5, tries=9)
    for number, most in enumerate((1, 2, 4, 5, 5)):
        drawn = [backoff.wait(number) for _ in range(200)]
        assert 0 <= min(drawn) < most / 4
        assert most * 3 / 4 < max(drawn) <= most


def test_what_is_waited_for_is_given_when_it_comes(waits):
    looks = iter([None, None, "there"])
    assert waited(lambda: next(looks), what="it", seconds=60) == "there"
    assert waits == sorted(waits)
    assert len(waits) == 2


def test_what_does_not_come_in_time_is_one_line_that_says_what_to_do():
    with pytest.raises(StateError, match=r"deploy r-1: not done within 0 s; .*run again: what is done is found done"):
        waited(lambda: None, what="deploy r-1", seconds=0)
