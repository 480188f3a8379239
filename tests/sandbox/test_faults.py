"""Faults on demand, and long-running operations, over both protocols."""

import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from google.api_core import exceptions

from tests.sandbox.conftest import PARENT


def create(client, identity="shop", **settings):
    return client.create_endpoint({"parent": PARENT, "endpoint": {"display_name": "shop"}, "endpoint_id": identity}, retry=None, **settings)


def names(client):
    return [each.name.rpartition("/")[2] for each in client.list_endpoints(parent=PARENT)]


FAULTS = {
    "429": (exceptions.TooManyRequests, False),
    "500": (exceptions.InternalServerError, False),
    "503": (exceptions.ServiceUnavailable, False),
    "409": (exceptions.Conflict, False),
    "quota": (exceptions.TooManyRequests, False),
    "cut-before": (Exception, False),
    "cut-after": (Exception, True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_nth_call_meets_it(sandbox, gapic, fault):
    error, done = FAULTS[fault]
    client = gapic("EndpointService")
    sandbox.faults.add("EndpointService.CreateEndpoint", fault, nth=2)
    create(client, "first").result()
    with pytest.raises(error):
        create(client)
    assert sandbox.faults.struck == [("EndpointService.CreateEndpoint", fault)]
    assert sorted(names(client)) == (["first", "shop"] if done else ["first"])
    if not done:
        create(client).result()


def test_an_operation_that_fails_did_nothing(sandbox, gapic):
    client = gapic("EndpointService")
    sandbox.faults.add("*", "lro-fails", nth=2)
    assert names(client) == []
    operation = create(client)
    with pytest.raises(exceptions.GoogleAPICallError, match="nothing was changed"):
        operation.result()
    assert names(client) == []


def test_a_slow_call_outlasts_its_client_and_can_be_ended(sandbox, gapic):
    client = gapic("EndpointService")
    sandbox.faults.add("EndpointService.CreateEndpoint", "slow", seconds=60)
    with pytest.raises(Exception, match=r"(?i)timed out|deadline"):
        create(client, timeout=0.3)
    begin = time.monotonic()
    sandbox.faults.clear()
    time.sleep(0.05)
    assert names(client) == []
    assert time.monotonic() - begin < 5


def test_a_slow_call_is_done_in_the_end(sandbox, gapic):
    client = gapic("EndpointService")
    sandbox.faults.add("EndpointService.CreateEndpoint", "slow", seconds=0.2)
    begin = time.monotonic()
    create(client).result()
    assert time.monotonic() - begin > 0.2


def test_operations_are_asked_for(sandbox, gapic):
    client = gapic("EndpointService")
    operation = create(client)
    assert not operation.operation.done  # the first answer never says so
    sandbox.calls.clear()
    operation.result()
    assert sandbox.calls == ["Operations.GetOperation"]
    operation.cancel()
    assert sandbox.calls[-1] in ("Operations.CancelOperation", "Operations.GetOperation")
    name = operation.operation.name
    assert [each.name for each in client.list_operations({"name": name.partition("/operations/")[0]}).operations] == [name]
    with pytest.raises(exceptions.NotFound):
        client.get_operation({"name": name[:-1] + "9"})


def test_a_fault_has_a_known_kind(sandbox):
    with pytest.raises(ValueError, match="cut-before"):
        sandbox.faults.add("*", "418")


def test_calls_are_counted_once_from_many_threads(sandbox, gapic):
    client = gapic("EndpointService")
    threads = [threading.Thread(target=names, args=(client,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sandbox.calls == ["EndpointService.ListEndpoints"] * 8


def ask(sandbox, method, path, body=None):
    request = urllib.request.Request(sandbox.rest + path, json.dumps(body).encode() if body else None, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_a_person_can_do_the_same(sandbox):
    before = ask(sandbox, "GET", "/sandbox")
    assert set(before) >= {"jobs", "schedules", "models", "endpoints", "calls"}
    ask(sandbox, "POST", "/sandbox/faults", {"call": "EndpointService.ListEndpoints", "fault": "503", "nth": 1})
    with pytest.raises(urllib.error.HTTPError, match="503"):
        ask(sandbox, "GET", f"/v1/{PARENT}/endpoints")
    assert ask(sandbox, "GET", "/sandbox/calls") == ["EndpointService.ListEndpoints"]
    ask(sandbox, "DELETE", "/sandbox/faults")
    ask(sandbox, "POST", "/sandbox/clock", {"advance_seconds": 86400})
    assert ask(sandbox, "GET", "/sandbox")["now"] > before["now"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask(sandbox, "POST", "/sandbox/faults", {"call": "*"})
