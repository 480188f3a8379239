"""Tracking and registry through a real MLflow server over HTTP, where MLFLOW_TRACKING_URI names one."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.pipelines.conftest import make_shop, spec  # noqa: F401 (a fixture)


@pytest.fixture
def server(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", str(tmp_path / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        address = f"http://127.0.0.1:{port}"
        while True:
            assert process.poll() is None, "the server did not start"
            try:
                urllib.request.urlopen(f"{address}/health")
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield address
        process.terminate()


def test_a_run_is_tracked_and_its_model_registered_on_a_server(server, workspace, spec, monkeypatch):  # noqa: F811
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    shop = make_shop(workspace, spec)
    summary = shop.run("min_auc_pr=0.1")
    assert summary["deployment"]["deployed"] is True
    assert not (workspace / "mlruns").exists()
    client = mlflow.MlflowClient(server, server)
    version = client.get_model_version_by_alias("shop-30d", "production")
    assert version.tags["model_sha256"] == summary["provenance"]["model_sha256"]
    assert client.get_run(summary["deployment"]["tracked_run"]).data.metrics["auc_pr"] == summary["metrics"]["auc_pr"]
    again = shop.run("min_auc_pr=0.1")
    assert again["deployment"]["registered_version"] == summary["deployment"]["registered_version"]
