"""Telling people never fails a run."""

import json
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from churn.platform.notify import notify


@pytest.fixture
def webhook():
    """A webhook that answers with the status in its path; `taken` is what came."""

    def answer(handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if handler.path == "/garbage":
            handler.wfile.write(b"this is no HTTP\r\n\r\n")
            return
        server.taken.append(body)
        handler.send_response(int(handler.path.strip("/")))
        handler.end_headers()

    handler = type("Handler", (BaseHTTPRequestHandler,), {"do_POST": answer, "log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.taken = []
    Thread(target=server.serve_forever, args=(0.02,)).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def named(monkeypatch):
    return lambda url: monkeypatch.setenv("HOOK", url)


def test_the_webhook_takes_the_message(webhook, named):
    named(f"http://127.0.0.1:{webhook.server_port}/200")
    assert notify("run 1: held", webhook_env="HOOK") is True
    assert webhook.taken == [{"text": "run 1: held"}]


@pytest.mark.parametrize("path", ["500", "404", "garbage"])
def test_a_webhook_that_refuses(webhook, named, path, caplog):
    named(f"http://127.0.0.1:{webhook.server_port}/{path}")
    assert notify("run 1: held", webhook_env="HOOK") is False
    assert "the webhook named by HOOK did not take the message" in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/secret", "secret", "http://a b/secret", "http://[secret", "secret://x"])
def test_a_webhook_that_is_not_there_or_no_address_and_its_url_is_not_said(named, url, caplog):
    named(url)
    assert notify("run 1: held", webhook_env="HOOK") is False
    assert "the webhook named by HOOK did not take the message" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("variable", ["", "HOOK"])
def test_without_a_webhook_the_log_says_it(variable, monkeypatch, caplog):
    monkeypatch.delenv("HOOK", raising=False)
    with caplog.at_level(logging.WARNING):
        assert notify("run 1: held", webhook_env=variable) is False
    assert caplog.messages == ["run 1: held"]
