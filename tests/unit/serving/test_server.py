"""The server as a process, on free ports."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from churn.platform.errors import IntegrityError
from churn.platform.files import replace_link
from churn.serving.server import Current
from churn.training.model import ChurnModel
from tests.unit.training.tables import FEATURES, make_model


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


class Server:
    """What a server answers: status and JSON."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, body: bytes | None = None, method: str | None = None) -> tuple[int, dict]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return error.code, json.loads(text) if text.startswith("{") else {}

    def predict(self, instances, path: str = "/predict") -> tuple[int, dict]:
        return self.ask(path, json.dumps({"instances": instances}).encode())


@contextlib.contextmanager
def running(*command: str, port: int, health: str = "/health", **environment: str):
    process = subprocess.Popen([sys.executable, "-m", *command], env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    server = Server(port)
    try:
        while True:
            assert process.poll() is None, process.stderr.read()
            with contextlib.suppress(urllib.error.URLError):
                if server.ask(health)[0] == 200:
                    break
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("server")
    make_model(root)
    make_model(root, name="second", seed=8)
    return root


@pytest.fixture(scope="module")
def server(root):
    port = free_port()
    with running("churn.serving.server", "--model", str(root / "model"), "--port", str(port), port=port) as server:
        yield server


def instance(**changed):
    return dict.fromkeys(FEATURES, 5.0) | changed


def test_health_says_what_answers_with_what(server, root):
    version = ChurnModel.load(root / "model").sha256[:12]
    for path in ("/health", "/ping"):
        assert server.ask(path) == (200, {"status": "ok", "model_version": version, "features": FEATURES})


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_predictions_in_order_with_the_customer_ids(server, path):
    ids = [0, "C1", None, "Zoë"]
    status, answered = server.predict([instance(customer_id=each, usual_gap=number or None) for number, each in enumerate(ids)], path)
    assert status == 200
    assert [each["customer_id"] for each in answered["predictions"]] == ids
    assert all(0 < each["churn_probability"] < 1 for each in answered["predictions"])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"[]", 'the body should be a JSON object with a list "instances"'),
        (json.dumps({"instances": [instance(usual_gap=float("nan"))]}).encode(), "instance 0: usual_gap should be a finite number"),
        (json.dumps({"instances": [instance(usual_gap=10**400)]}).encode(), "instance 0: usual_gap should be a finite number"),
        (json.dumps({"instances": [instance(customer_id=float("nan"))]}).encode(), "instance 0: customer_id should be text"),
        (json.dumps({"instances": [instance(half="\ud83d")]}).encode(), "instance 0 has unknown features: half"),
        (json.dumps({"instances": [{"\ud83d": 1}]}).encode(), "instance 0 has unknown features: \ud83d"),
    ],
)
def test_a_wrong_request_is_a_400_that_names_what_is_wrong(server, body, error):
    status, answered = server.ask("/predict", body)
    assert status == 400
    assert answered["error"].startswith(error)


def test_what_is_sent_back_may_be_any_text(server):
    status, answered = server.predict([instance(customer_id="cut \ud83d")])
    assert (status, answered["predictions"][0]["customer_id"]) == (200, "cut \ud83d")


@pytest.mark.parametrize(("path", "method", "status"), [("/predict", "GET", 405), ("/health", "POST", 405), ("/elsewhere", "GET", 404)])
def test_another_method_or_path(server, path, method, status):
    assert server.ask(path, b"{}" if method == "POST" else None, method)[0] == status


def test_vertex_names_the_port_and_the_routes(root):
    port = free_port()
    routes = {"AIP_HEALTH_ROUTE": "/v1/endpoints/1:health", "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict"}
    more = {"AIP_HTTP_PORT": str(port), "AIP_STORAGE_URI": str(root / "model")}
    with running("churn.serving.server", port=port, health=routes["AIP_HEALTH_ROUTE"], **routes, **more) as server:
        for path in (routes["AIP_PREDICT_ROUTE"], "/invocations"):
            assert server.predict([instance()], path)[0] == 200
        assert server.ask("/ping")[0] == 200
        assert server.predict([instance()], "/predict")[0] == 404


def test_churn_serve_follows_what_is_live_and_keeps_answering_when_it_is_broken(root, tmp_path):
    line = tmp_path / "releases" / "shop-30d"
    for name, model in (("r-first", "model"), ("r-second", "second"), ("r-broken", "second")):
        shutil.copytree(root / model, line / name / "model")
    (line / "r-broken" / "model" / "model.ubj").write_bytes(b"")
    replace_link(line / "live", "r-first")
    versions = {name: ChurnModel.load(root / name).sha256[:12] for name in ("model", "second")}
    port = free_port()
    command = ["-c", f"from churn.cli.main import main; main(['serve', '--port', '{port}'])"]
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"CHURN_WORKSPACE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == f"serving shop-30d (r-first) on http://127.0.0.1:{port}\n"
        server = Server(port)
        while True:
            with contextlib.suppress(urllib.error.URLError):
                server.ask("/health")
                break
            time.sleep(0.05)

        def version():
            status, answered = server.predict([instance()])
            return answered["predictions"][0]["model_version"] if status == 200 else status

        assert version() == versions["model"]
        replace_link(line / "live", "r-second")
        assert version() == versions["second"]
        replace_link(line / "live", "r-broken")
        assert version() == version() == versions["second"]
        (line / "live").unlink()
        assert version() == versions["second"]
        replace_link(line / "live", "r-first")
        assert version() == versions["model"]
    finally:
        process.terminate()
        said = process.communicate()[1]
    assert said.count("model.ubj is not what was written") == 1


def test_a_server_without_a_whole_model_does_not_start(root, tmp_path):
    shutil.copytree(root / "model", tmp_path / "model")
    (tmp_path / "model" / "model.ubj").write_bytes(b"")
    command = [sys.executable, "-m", "churn.serving.server", "--port", "1"]
    broken = subprocess.run([*command, "--model", str(tmp_path / "model")], capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    assert "model.ubj is not what was written" in broken.stderr
    assert len(broken.stderr.splitlines()) == 1
    unnamed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert unnamed.returncode == 2
    assert "--model is needed (or AIP_STORAGE_URI)" in unnamed.stderr


def test_the_model_is_read_again_only_where_it_has_moved(root, monkeypatch):
    live = [root / "model"]
    current = Current(lambda: live[0])
    first = current.model()
    assert current.model() is first
    live[0] = root / "second"
    assert current.model().sha256 != first.sha256


def test_a_model_that_may_not_be_read_is_no_reason_to_stop_answering(root, monkeypatch):
    live = [root / "model"]
    current = Current(lambda: live[0])
    first = current.model()
    live[0] = root / "second"

    def refuse(_):
        raise PermissionError("not yours")

    monkeypatch.setattr(ChurnModel, "load", refuse)
    assert current.model() is first
    with pytest.raises(PermissionError):
        Current(lambda: live[0]).model()


def test_nothing_to_answer_with_is_said(tmp_path):
    with pytest.raises(IntegrityError, match="is missing"):
        Current(lambda: tmp_path / "nothing").model()
