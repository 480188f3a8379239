"""churn provenance: where a release comes from, each link looked up anew."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.cli.serve import choose_line
from churn.platform.settings import CHECKOUT, Environment, VertexEnvironment, workspace

if TYPE_CHECKING:
    from churn.deployment.provenance import Recorded, Registered


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("release", nargs="?", default="", metavar="RELEASE", help="its name (default: what is live)")
    parser.add_argument("--target", metavar="local|vertex|sagemaker", help="where (default: CHURN_TARGET, else local)")
    parser.add_argument("--line", help="the release line (default: the only one with something live)")


def run(arguments: argparse.Namespace) -> int:
    """Say every link; 1 where one does not hold."""
    from churn.deployment.provenance import trace
    from churn.deployment.targets import lines, releases
    from churn.platform.errors import StateError

    environment = Environment.read(arguments.target)
    places = environment.places()
    line = choose_line(lines(environment.target, places["releases"]), arguments.line, places["releases"])
    store = releases(environment.target, places["releases"], line, places["serving"])
    name = arguments.release or store.live_name()
    if not name:
        raise StateError(f"nothing is live in {line}; name a release: churn release list shows them")
    facts = store.facts(name)
    links = trace(store, name, _records(environment, facts), _registered(environment, places, line, name, facts), CHECKOUT)
    print(f"{line} on {environment.target}:")
    for link in links:
        print(f"  {link.line}")
    return 0 if all(link.holds for link in links) else 1


def _records(environment: Environment, facts: dict[str, Any]) -> "list[Recorded]":
    from churn.deployment.provenance import record_of_job, records_of

    root = environment.pipeline_root if "://" in environment.pipeline_root else str(workspace() / environment.pipeline_root)
    records = records_of(facts, root, workspace() / "runs")
    if isinstance(environment, VertexEnvironment):
        job = record_of_job(environment.project, environment.region, str(facts.get("provenance", {}).get("run", "")))
        records += [job] if job else []
    return records


def _registered(environment: Environment, places: dict[str, Any], line: str, name: str, facts: dict[str, Any]) -> "Registered | None":
    from churn.deployment.provenance import registered_in_mlflow, registered_on_vertex

    if isinstance(environment, VertexEnvironment):
        return registered_on_vertex(environment.project, environment.region, line, name)
    uri = places["tracking_uri"]
    # An embedded store that is not there would be made by looking.
    if not uri or (uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()):
        return None
    return registered_in_mlflow(uri, line, str(facts["model_sha256"]))
