"""churn release: what is live, and changing it, on every target."""

import argparse
import os
from typing import TYPE_CHECKING

from churn.cli.serve import choose_line
from churn.platform.checked import read_yaml
from churn.platform.errors import ChurnError
from churn.platform.settings import CONFIGS, Environment

if TYPE_CHECKING:
    from churn.deployment.releases import Releases

_ACTIONS = {
    "list": "every release of a line, and what is live",
    "canary": "give a release a share of the requests, watch it by policy (configs/canary.yaml), then make it live, or take the share away",
    "promote": "make a release live",
    "rollback": "take a canary's share away; else make the release before live again",
    "batch": "score a file of instances (JSON Lines) with a release",
}


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--target", metavar="local|vertex|sagemaker", help="where (default: CHURN_TARGET, else local)")
        action.add_argument("--line", help="the release line (default: the only one with something live)")
        if name in {"canary", "promote"}:
            action.add_argument("release", help="its name, as churn release list shows it")
        if name == "canary":
            action.add_argument("--percent", type=int, help="its share of the requests (default: the policy's)")
        if name == "rollback":
            action.add_argument("--to", default="", metavar="RELEASE", help="this one, instead of the one before")
        if name == "batch":
            action.add_argument("source", help="the instances, one JSON object a line: a path, or gs://")
            action.add_argument("out", help="where the predictions go: a path, or a gs:// folder")
            action.add_argument("--release", default="", help="(default: what is live)")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from churn.deployment.targets import lines, releases

    environment = Environment.read(arguments.target)
    places = environment.places()
    there = lines(environment.target, places["releases"])
    store = releases(environment.target, places["releases"], choose_line(there, arguments.line, places["releases"]), places["serving"])
    if arguments.action == "list":
        return _list(store)
    if arguments.action == "batch":
        print(f"{store.line}: {store.batch(arguments.release or store.live_name(), arguments.source, arguments.out)}")
        return 0
    print(f"{store.line}: {_act(store, arguments)}")
    _mark(places["tracking_uri"], store)
    return 0


def _act(store: "Releases", arguments: argparse.Namespace) -> str:
    by = f"churn release {arguments.action} ({os.environ.get('USER') or os.getuid()})"
    if arguments.action == "rollback":
        old, new = store.rollback(to=arguments.to, by=by)
        return f"{new or 'nothing'} is live again (was {old})" if old != new else f"{new} is live already"
    live = store.live_name()
    if arguments.action == "canary":
        from churn.deployment.canary import CanaryPolicy

        given = {} if arguments.percent is None else {"percent": arguments.percent}
        policy = CanaryPolicy.of(read_yaml(CONFIGS / "canary.yaml") | given, "configs/canary.yaml")
        print(f"{store.line}: {store.canary(arguments.release, policy=policy, expected=live, by=by)}", flush=True)
    return f"{arguments.release} is live" + ("" if store.promote(arguments.release, expected=live, by=by) else " already")


def _list(store: "Releases") -> int:
    now = store.traffic()
    print(f"{store.line}:")
    for name in store.names():
        mark = "*" if name == now.live else "~" if name == now.canary else " "
        print(f"  {mark} {name}  {_words(store, name)}{f'  canary, {now.percent} %' if name == now.canary else ''}")
    for entry in store.history()[-5:]:
        print(f"    {entry['at']}  {entry['action']:<8} {entry['release']}  by {entry['by']}")
    return 0


def _words(store: "Releases", name: str) -> str:
    try:
        facts = store.facts(name)
        return f"{facts['created']}  auc_pr {facts['metrics']['auc_pr']:.4f}  run {facts['provenance']['run']}"
    except (ChurnError, KeyError) as error:
        return f"damaged: {error}"  # the list is what one needs now


def _mark(tracking_uri: str, store: "Releases") -> None:
    if not tracking_uri:
        return
    from churn.registry.versions import mark_live

    release = store.live()
    if release:
        mark_live(tracking_uri, line=store.line, model_sha256=release.facts["model_sha256"])
