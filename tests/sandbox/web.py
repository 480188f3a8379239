"""A small HTTP server on loopback: one function from a request to an answer."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.sandbox.refusal import Cut

_LARGEST = 1 << 30


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    raw_path: str

    def one(self, name: str, default: str | None = None) -> str | None:
        """The query's value of a name."""
        return self.query.get(name, [default])[-1]

    def json(self) -> Any:
        """The body; an empty one is an empty object."""
        return json.loads(self.body or b"{}")


@dataclass
class Answer:
    """What is said."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def said(content: object, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON."""
    return Answer(json.dumps(content).encode(), status, {"Content-Type": "application/json; charset=UTF-8", **headers})


class Listening:
    """A server of the standard library on 127.0.0.1, answered from threads, until closed."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.port: int = server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class WebServer(Listening):
    """One function's answers over HTTP."""

    def __init__(self, respond: Callable[[Request], Answer], port: int = 0) -> None:
        server = type("Server", (ThreadingHTTPServer,), {"request_queue_size": 128, "handle_error": lambda *_: None})
        super().__init__(server(("127.0.0.1", port), _handler(respond)))


def _go_on(handler: BaseHTTPRequestHandler) -> bool:
    """A client that waits for "100 Continue" before it sends a body gets it at once, not when the answer's buffer is full."""
    handler.send_response_only(100)
    handler.end_headers()
    handler.wfile.flush()
    return True


def _handler(respond: Callable[[Request], Answer]) -> type[BaseHTTPRequestHandler]:
    def answer(self: BaseHTTPRequestHandler) -> None:
        request = _request(self)
        try:
            reply = respond(request)
        except Cut:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        # HEAD and 304 have no body, but the first says the length that it would have.
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(reply.body)

    verbs = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    # Written in one piece and sent at once: unbuffered writes and Nagle's algorithm make each call 45 ms.
    behaviour = {
        "protocol_version": "HTTP/1.1",
        "wbufsize": -1,
        "disable_nagle_algorithm": True,
        "log_message": lambda *_: None,
        "handle_expect_100": _go_on,
    }
    return type("Handler", (BaseHTTPRequestHandler,), behaviour | {f"do_{verb}": answer for verb in verbs})


def _request(handler: BaseHTTPRequestHandler) -> Request:
    parts = urlsplit(handler.path)
    headers = {name.lower(): value for name, value in handler.headers.items()}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(handler))
    else:
        body = handler.rfile.read(min(int(headers.get("content-length", 0)), _LARGEST))
    query = parse_qs(parts.query, keep_blank_values=True)
    return Request(handler.command, unquote(parts.path), query, headers, body, parts.path)


def _chunks(handler: BaseHTTPRequestHandler) -> Any:
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        yield handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
