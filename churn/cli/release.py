"""churn release: what is live, and changing it."""

import argparse
import os

from churn.cli.serve import choose_line
from churn.platform.errors import ChurnError
from churn.platform.settings import Environment, workspace


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("list", "every release of a line, and what is live"),
        ("promote", "make a release live"),
        ("rollback", "make the one before live again"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("--line", help="the release line (default: the only one with something live)")
        if name == "promote":
            action.add_argument("release", help="its name, as churn release list shows it")
        if name == "rollback":
            action.add_argument("--to", default="", metavar="RELEASE", help="this one, instead of the one before")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from churn.deployment.local import LocalReleases

    environment = Environment.read("local")
    root = workspace() / environment.releases
    store = LocalReleases(root, choose_line(str(root), arguments.line))
    if arguments.action == "list":
        return _list(store)
    by = f"churn release {arguments.action} ({os.environ.get('USER') or os.getuid()})"
    if arguments.action == "promote":
        moved = store.promote(arguments.release, expected=store.live_name(), by=by)
        print(f"{store.line}: {arguments.release} is live" + ("" if moved else " already"))
    else:
        old, new = store.rollback(to=arguments.to, by=by)
        print(f"{store.line}: {new} is live again (was {old})" if old != new else f"{store.line}: {new} is live already")
    _mark(environment.local_tracking_uri(), store)
    return 0


def _list(store: "LocalReleases") -> int:  # type: ignore[name-defined]  # noqa: F821
    live = store.live_name()
    print(f"{store.line}:")
    for name in store.names():
        print(f"  {'*' if name == live else ' '} {name}  {_words(store, name)}")
    for entry in store.history()[-5:]:
        print(f"    {entry['at']}  {entry['action']:<8} {entry['release']}  by {entry['by']}")
    return 0


def _words(store: "LocalReleases", name: str) -> str:  # type: ignore[name-defined]  # noqa: F821
    try:
        facts = store.get(name).facts
    except ChurnError as error:
        return f"damaged: {error}"  # the list is what one needs now
    return f"{facts['created']}  auc_pr {facts['metrics']['auc_pr']:.4f}  run {facts['provenance']['run']}"


def _mark(tracking_uri: str, store: "LocalReleases") -> None:  # type: ignore[name-defined]  # noqa: F821
    from churn.registry.versions import mark_live

    release = store.live()
    if release:
        mark_live(tracking_uri, line=store.line, model_sha256=release.facts["model_sha256"])
