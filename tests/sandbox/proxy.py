"""A CONNECT proxy: whoever asks for a host of googleapis.com is taken to the gRPC front, and nobody else anywhere."""

import contextlib
import re
import socket
import socketserver
import threading

from tests.sandbox.web import Listening

_LARGEST_HEAD = 1 << 16


class Proxy(Listening):
    """Listens until closed."""

    def __init__(self, target: int, port: int = 0) -> None:
        def handle(self: socketserver.BaseRequestHandler) -> None:
            _tunnel(self.request, target)

        handler = type("Handler", (socketserver.BaseRequestHandler,), {"handle": handle})
        server = type("Server", (socketserver.ThreadingTCPServer,), {"daemon_threads": True, "allow_reuse_address": True})
        super().__init__(server(("127.0.0.1", port), handler))


def _tunnel(client: socket.socket, target: int) -> None:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LARGEST_HEAD:
        if not (piece := client.recv(4096)):
            return
        head += piece
    if not re.match(rb"CONNECT [\w.-]*googleapis\.com:443 HTTP/1\.[01]\r\n", head):
        client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        return
    with socket.create_connection(("127.0.0.1", target)) as server:
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
