"""The endpoint of a line on this machine: what is live, and a canary's share, followed without a restart."""

import argparse
import sys

from churn.deployment.local import LocalReleases
from churn.platform.errors import ChurnError
from churn.serving.server import serve


def serve_line(store: LocalReleases, *, host: str = "127.0.0.1", port: int = 8080, fd: int | None = None) -> None:
    """Serve a line until stopped."""
    serve(store.live_model, canary=store.canary_model, host=host, port=port, fd=fd)


def main() -> None:
    """Serve a line on a socket handed over: python -m churn.deployment.serve ROOT LINE --fd N."""
    parser = argparse.ArgumentParser(description="Serve what is live in a release line.")
    parser.add_argument("root")
    parser.add_argument("line")
    parser.add_argument("--fd", type=int, required=True)
    given = parser.parse_args()
    try:
        serve_line(LocalReleases(given.root, given.line), fd=given.fd)
    except ChurnError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
