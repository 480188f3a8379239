"""Releases on this machine: a folder for each release line, a folder in it for each release, one link `live` that moves atomically.

A canary stands in canary.json beside the link, with the release that was live when it began: where the link has moved on, it is none.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from churn.deployment.canary import Answer
from churn.deployment.process import predict, running
from churn.deployment.releases import FACTS, MODEL, Release, Releases, Traffic, release_name, settled
from churn.platform.errors import ChurnError, ConfigError, IntegrityError, StateError
from churn.platform.files import check_seal, locked, read_json, replace_link, whole_folder, write_json, write_whole


class LocalReleases(Releases):
    """The releases of one line on this machine.

    Everything is written beside its place and renamed; `live` is replaced under a lock that the kernel frees, so kill -9 leaves the old or the new.
    """

    target = "local"

    def __init__(self, root: str | Path, line: str) -> None:
        self.line = line
        self.folder = Path(root) / line
        self._live = self.folder / "live"
        self._canary = self.folder / "canary.json"
        self._history = self.folder / "history.json"

    def names(self) -> list[str]:
        """The names of all releases, the oldest first."""
        folders = [path for path in self.folder.glob("r-*") if path.is_dir() and not path.is_symlink()]
        return [path.name for path in sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name))]

    def facts(self, name: str) -> dict[str, Any]:
        """What is known of a release."""
        return self.get(name).facts

    def get(self, name: str) -> Release:
        """A release by name, checked against its hashes."""
        folder = self.folder / name
        if name not in self.names():
            raise ConfigError(f"no release {name!r} in the line {self.line}; there are: {', '.join(self.names()) or 'none'}")
        check_seal(folder)
        return Release(name, folder, read_json(folder / FACTS))

    def put(self, model: str | Path, probe: str | Path, facts: dict[str, Any]) -> tuple[Release, bool]:
        """Lay down a release, whole or not at all; gives it, and False where it was there already."""
        name = release_name(facts["model_sha256"])
        with locked(self.folder / ".lock"):
            if (self.folder / name).exists():
                try:
                    return self.get(name), False
                except ChurnError:
                    if name == self.live_name():
                        raise
                    shutil.rmtree(self.folder / name)  # it was damaged, and nobody is served by it
            with whole_folder(self.folder / name) as folder:
                lay_down(folder, model, probe, facts | {"release": name, "line": self.line})
        return self.get(name), True

    def history(self) -> list[dict[str, str]]:
        """What was changed when, the oldest first."""
        return list(read_json(self._history)) if self._history.exists() else []

    def traffic(self) -> Traffic:
        """Who answers now."""
        try:
            live = self._live.readlink().name
        except FileNotFoundError:
            return Traffic()
        try:
            said = read_json(self._canary)
        except IntegrityError:
            return Traffic(live)
        return Traffic(live, said["canary"], int(said["percent"])) if said["live"] == live else Traffic(live)

    def live_model(self) -> Path:
        """The model directory of what is live, by its own name: it stays readable while `live` moves on."""
        name = self.live_name()
        if not name:
            raise StateError(f"nothing is live in the release line {self.line} ({self.folder}); make run, or submit, brings a model there")
        return self.folder / name / MODEL

    def canary_model(self) -> tuple[Path, int] | None:
        """The model directory of the canary and its percent of the requests; None where there is none."""
        now = self.traffic()
        return (self.folder / now.canary / MODEL, now.percent) if now.canary else None

    def endpoint(self) -> AbstractContextManager[Callable[[list[dict[str, Any]]], Answer]]:
        """The server of the line, on a free port."""
        return _server(self)

    def batch(self, name: str, source: str, out: str) -> str:
        """Score a file of instances with a release; gives the path of the predictions."""
        from churn.serving.contract import answer
        from churn.training.model import ChurnModel

        model = ChurnModel.load(self.get(name).model)
        instances = [json.loads(row) for row in Path(source).read_text().splitlines() if row.strip()]
        predictions = answer(model, {"instances": instances})["predictions"]
        pairs = zip(instances, predictions, strict=True)
        path = Path(out) / "predictions.jsonl" if Path(out).is_dir() else Path(out)
        write_whole(path, "".join(json.dumps({"instance": each, "prediction": said}) + "\n" for each, said in pairs))
        return str(path)

    def _route(self, new: Traffic, seen: Traffic) -> None:
        if new.live != seen.live:
            replace_link(self._live, new.live)  # which ends a canary beside what was live
        if new.canary:
            write_json(self._canary, {"live": new.live, "canary": new.canary, "percent": new.percent})
        else:
            self._canary.unlink(missing_ok=True)

    def _append(self, entry: dict[str, str]) -> None:
        write_json(self._history, [*settled(self.history()), entry])

    def _tidy(self) -> None:
        """Releases on a disk cost nothing: all are kept."""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with locked(self.folder / ".lock"):
            yield


def lay_down(folder: Path, model: str | Path, probe: str | Path, facts: dict[str, Any]) -> None:
    """Fill a release's folder: model/, probe.json, release.json."""
    from churn.deployment.releases import PROBE

    shutil.copytree(model, folder / MODEL)
    shutil.copyfile(probe, folder / PROBE)
    write_json(folder / FACTS, facts)


@contextmanager
def _server(store: LocalReleases) -> Iterator[Callable[[list[dict[str, Any]]], Answer]]:
    with running("churn.deployment.serve", str(store.folder.parent), store.line) as port:

        def ask(instances: list[dict[str, Any]]) -> Answer:
            predictions = predict(port, instances)
            return Answer(f"r-{predictions[0]['model_version']}", tuple(each["churn_probability"] for each in predictions))

        yield ask


def lines(root: str | Path) -> list[str]:
    """The release lines that have something live, be it damaged or gone."""
    return sorted(path.name for path in Path(root).glob("*") if (path / "live").is_symlink())
