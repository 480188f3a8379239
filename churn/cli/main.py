"""The command churn: its subcommands, each imported when it is called."""

import argparse
import importlib
import logging
import sys

from churn.platform.errors import ChurnError, ConfigError

_COMMANDS = {
    "data": "get input, or judge it: fetch, check",
    "serve": "the endpoint for what is live, on 127.0.0.1:8080",
    "release": "what is live, and changing it, on every target: list, canary, promote, rollback, batch",
    "provenance": "where a release comes from, each link looked up anew: spec, image, commit, data, model, endpoint",
    "schedule": "the schedules on Vertex AI: show, sync",
    "cloud": "what a Google Cloud project needs before the first submit, as commands to read: setup --print",
    "ui": "the tracked runs: MLflow on 127.0.0.1:5000",
}


def main(arguments: list[str] | None = None) -> int:
    """The command; gives 0, 1 where it failed, 2 where the call or the configuration was wrong."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="churn", description="Data, serving and releases of the churn model.")
    parser.add_argument(
        "command", choices=_COMMANDS, metavar="COMMAND", help="; ".join(f"{name}: {text}" for name, text in _COMMANDS.items())
    )
    name = parser.parse_args(given[:1]).command
    command = importlib.import_module(f"churn.cli.{name}")
    own = argparse.ArgumentParser(prog=f"churn {name}", description=_COMMANDS[name])
    command.define(own)
    try:
        return int(command.run(own.parse_args(given[1:])))
    except ConfigError as error:
        print(f"churn {name}: {error}", file=sys.stderr)
        return 2
    except ChurnError as error:
        print(f"churn {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
