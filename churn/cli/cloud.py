"""churn cloud: what a Google Cloud project needs before the first submit, as commands to read and run."""

import argparse

from churn.platform.settings import CONFIGS, Environment, VertexEnvironment


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "the gcloud commands that make bucket, repositories, accounts and rights (configs/iam.yaml); nothing is run"
    setup = actions.add_parser("setup", help=text, description=text)
    setup.add_argument("--print", action="store_true", required=True, help="print them: they are for a person to read, and to run")
    setup.add_argument(
        "--submitter", action="append", default=[], metavar="MEMBER", help="who may submit, as user:… or group:… (repeatable)"
    )
    setup.add_argument(
        "--operator", action="append", default=[], metavar="MEMBER", help="who may change releases and schedules (repeatable)"
    )
    setup.add_argument("--repository", default="", metavar="OWNER/NAME", help="whose CI comes by workload identity federation")
    setup.add_argument("--ci", default="", metavar="EMAIL", help="the account of builds in another project, for CI's rights here")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from churn.deployment.identity import Access, People, commands

    environment = Environment.read("vertex")
    assert isinstance(environment, VertexEnvironment)
    people = People(tuple(arguments.submitter), tuple(arguments.operator), arguments.repository, arguments.ci)
    print("\n".join(commands(Access.read(CONFIGS / "iam.yaml"), environment, people)))
    return 0
