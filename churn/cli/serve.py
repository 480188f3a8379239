"""churn serve: the endpoint for what is live in a release line; it follows `live` without a restart."""

import argparse

from churn.platform.errors import ConfigError, StateError
from churn.platform.settings import Environment, workspace


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("--line", help="the release line (default: the only one with something live)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    from churn.deployment.local import LocalReleases, lines

    root = workspace() / Environment.read("local").releases
    store = LocalReleases(root, choose_line(lines(root), arguments.line, str(root)))
    store.live_model()  # nothing live is one clear line, before anything listens
    from churn.deployment.serve import serve_line

    print(f"serving {store.line} ({store.live_name()}) on http://{arguments.host}:{arguments.port}", flush=True)
    serve_line(store, host=arguments.host, port=arguments.port)
    return 0


def choose_line(there: list[str], named: str | None, root: str) -> str:
    """The release line that is meant, of those that are there.

    Raises:
        ConfigError: several could be meant, or the one named has nothing live.
        StateError: nothing is live at all.
    """
    if named:
        if named not in there:
            raise ConfigError(f"nothing is live in a line {named!r}; there are: {', '.join(there) or 'none'}")
        return named
    if not there:
        raise StateError(f"nothing is live yet under {root}; make run, or submit, brings a model there")
    if len(there) > 1:
        raise ConfigError(f"several release lines have something live: {', '.join(there)}; say which with --line")
    return there[0]
