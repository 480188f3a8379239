"""churn data: get input, or judge it."""

import argparse
import tempfile
from datetime import datetime
from pathlib import Path

from churn.platform.checked import read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import CONFIGS, workspace


def define(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="put an embedded dataset where its file says")
    fetch.add_argument("dataset", choices=["cdnow"])
    check = actions.add_parser("check", help="read a dataset as a run would, and say what it holds, what is bad and which windows it gives")
    check.add_argument("dataset", help="a name in configs/datasets/, or a path to such a file")
    check.add_argument("--source", help="the transactions, instead of the dataset's own source")
    check.add_argument("--rejects", type=Path, help="write the bad rows to this CSV file")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return _fetch() if arguments.action == "fetch" else _check(arguments)


def _fetch() -> int:
    from churn.data.fetch import fetch_cdnow

    target = workspace() / "data" / "cdnow" / "CDNOW_master.txt"
    print(f"cdnow: {'fetched to' if fetch_cdnow(target) else 'there already:'} {target}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from churn.data.datasets import located, read_dataset
    from churn.data.mapping import DatasetMapping
    from churn.data.prepare import prepare
    from churn.features.definition import ChurnDefinition
    from churn.features.windows import plan_windows

    dataset = read_dataset(arguments.dataset)
    source = arguments.source or dataset.source
    if not source:
        raise ConfigError(f"{dataset.path}: has no source; give one with --source")
    definition = ChurnDefinition.of(read_yaml(CONFIGS / "churn.yaml")["churn"] | dataset.churn, f"{dataset.path} over configs/churn.yaml")
    with tempfile.TemporaryDirectory(prefix="churn-check-") as folder:
        facts = prepare(
            DatasetMapping.of(dataset.mapping, str(dataset.path)),
            located(source, dataset.path),
            located(dataset.tickets_source, dataset.path),
            out=Path(folder) / "history",
            rejects=arguments.rejects or Path(folder) / "rejects.csv",
            page=Path(folder) / "quality.html",
        )
    for name, value in facts.counts().items():
        print(f"  {name:<16} {value:>12,}")
    print(f"  from {facts.first_day} until {facts.known_until} ({facts.timezone})")
    _lines(facts.said())
    windows = plan_windows(definition, datetime.fromisoformat(facts.first_day), datetime.fromisoformat(facts.known_until))
    for name in ("train", "validation", "test"):
        print(f"  {name:<11}{', '.join(f'{moment:%Y-%m-%d}' for moment in getattr(windows, name))}")
    return 0


def _lines(said: list[str]) -> None:
    for line in said:
        print(f"  note: {line}")
