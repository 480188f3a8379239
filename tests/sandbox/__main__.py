"""The sandbox in the foreground: python -m tests.sandbox, until Ctrl-C."""

import argparse
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from churn.platform.files import write_whole
from tests.sandbox.aws import Aws
from tests.sandbox.sandbox import Sandbox, tick

_FIRST = 18080


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description="Vertex AI, Cloud Storage and SageMaker on loopback.")
    parser.add_argument("--folder", type=Path, default=Path(".cache/sandbox"), help="where it keeps files (default: .cache/sandbox)")
    parser.add_argument("--transport", choices=("rest", "grpc"), default="rest", help="the one that the environment names (default: rest)")
    parser.add_argument("--servers", choices=("process", "inline"), default="process", help="what a deployed model is (default: a process)")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    env = options.folder / "env"
    env.unlink(missing_ok=True)  # of one that was killed
    ports = fixed_ports()
    aws_port = ports.pop("aws")
    with (
        Sandbox(options.folder, servers=options.servers, transport=options.transport, ports=ports, say=say) as sandbox,
        Aws(options.folder / "aws", gate=sandbox.gate, servers=options.servers, port=aws_port) as aws,
    ):
        variables = sandbox.environment() | aws.environment()
        write_whole(env, "".join(f"export {name}={quoted(value)}\n" for name, value in variables.items()))
        try:
            show(sandbox, aws)
            tick(sandbox, stop)
        finally:
            env.unlink(missing_ok=True)


def show(sandbox: Sandbox, aws: Aws) -> None:
    """What is where."""
    write(f"Vertex AI      {sandbox.rest} (REST), {sandbox.grpc} (gRPC over TLS, trust {sandbox.ca})")
    write(f"Cloud Storage  {sandbox.storage}, bucket gs://{sandbox.environment()['CHURN_BUCKET']}")
    write(f"SageMaker, S3  {aws.address}, bucket s3://{aws.environment()['CHURN_S3_BUCKET']}")
    write(f"what runs      {sandbox.rest}/sandbox")
    write('point a shell at it: eval "$(make -s sandbox-env)"; Ctrl-C ends it')


def say(line: str) -> None:
    """A line of the log."""
    write(f"{time.strftime('%H:%M:%S')} {line}")


def write(line: str) -> None:
    """In one piece, because threads say things too."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def quoted(value: str) -> str:
    """For any shell."""
    return "'" + value.replace("'", "'\\''") + "'"


def fixed_ports() -> dict[str, int]:
    """The same ports each time; a free one where another program has it."""
    names = ("rest", "storage", "grpc", "proxy", "aws")
    return {name: port if _is_free(port) else 0 for port, name in enumerate(names, _FIRST)}


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main())
