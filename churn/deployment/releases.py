"""Releases, and what is live: a folder for each release line, a folder in it for each release, one link `live` that moves atomically."""

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from churn.platform.errors import ChurnError, ConfigError, StateError
from churn.platform.files import check_seal, is_locked, locked, read_json, replace_link, whole_folder, write_json

MODEL = "model"
PROBE = "probe.json"
FACTS = "release.json"
# The lock that a local run holds while it lives; its steps look at it before they change what is live.
RUN_LOCK = "CHURN_RUN_LOCK"


@dataclass(frozen=True)
class Release:
    """One release: its name, its folder, and what is known of it (model_sha256, metrics, provenance)."""

    name: str
    folder: Path
    facts: dict[str, Any]

    @property
    def model(self) -> Path:
        """The model directory."""
        return self.folder / MODEL


def release_name(model_sha256: str) -> str:
    """A release is named by its model: the same model is the same release."""
    return f"r-{model_sha256[:12]}"


class LocalReleases:
    """The releases of one line on this machine.

    Everything is written beside its place and renamed; `live` is replaced under a lock that the kernel frees, so kill -9 leaves the old or the new.
    """

    def __init__(self, root: str | Path, line: str) -> None:
        self.line = line
        self.folder = Path(root) / line
        self._live = self.folder / "live"
        self._history = self.folder / "history.json"

    def live_name(self) -> str:
        """The name of what is live, '' where nothing is."""
        try:
            return self._live.readlink().name
        except FileNotFoundError:
            return ""

    def live(self) -> Release | None:
        """What is live, checked against its hashes; None where nothing is."""
        name = self.live_name()
        return self.get(name) if name else None

    def live_model(self) -> Path:
        """The model directory of what is live, by its own name: it stays readable while `live` moves on."""
        name = self.live_name()
        if not name:
            raise StateError(f"nothing is live in the release line {self.line} ({self.folder}); make run, or submit, brings a model there")
        return self.folder / name / MODEL

    def get(self, name: str) -> Release:
        """A release by name, checked against its hashes."""
        folder = self.folder / name
        if name not in self.names():
            raise ConfigError(f"no release {name!r} in the line {self.line}; there are: {', '.join(self.names()) or 'none'}")
        check_seal(folder)
        return Release(name, folder, read_json(folder / FACTS))

    def names(self) -> list[str]:
        """The names of all releases, the oldest first."""
        folders = [path for path in self.folder.glob("r-*") if path.is_dir() and not path.is_symlink()]
        return [path.name for path in sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name))]

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
                shutil.copytree(model, folder / MODEL)
                shutil.copyfile(probe, folder / PROBE)
                write_json(folder / FACTS, facts | {"release": name, "line": self.line})
        return self.get(name), True

    def promote(self, name: str, *, expected: str, by: str) -> bool:
        """Make a release live, only if what is live still is what the caller compared with; gives False where it is live already.

        Args:
            name: the release.
            expected: the name of what was live when the caller looked, '' for nothing.
            by: who does it (a run's id), for the history.

        Raises:
            StateError: something else went live in between, or the run that this step belongs to has ended.
        """
        self.get(name)
        with locked(self.folder / ".lock"):
            live = self.live_name()
            if live == name:
                return False
            if live != expected:
                raise StateError(
                    f"what is live in {self.line} changed from {expected or 'nothing'} to {live or 'nothing'} since this run looked; run again"
                )
            _check_run_lives()
            replace_link(self._live, name)
            self._record("promote", name, by)
        return True

    def rollback(self, *, to: str = "", by: str) -> tuple[str, str]:
        """Make the release before the live one live again (or the one named); gives the names of the old and the new."""
        with locked(self.folder / ".lock"):
            live = self.live_name()
            before = self._stack()
            while before and before[-1] == live:
                before.pop()
            target = to or (before[-1] if before else "")
            if not target:
                raise StateError(
                    f"nothing was live before {live or 'nothing'} in {self.line}; name a release: churn release rollback --to NAME"
                )
            self.get(target)
            if target != live:
                replace_link(self._live, target)
                self._record("rollback", target, by)
        return live, target

    def history(self) -> list[dict[str, str]]:
        """What went live when, the oldest first."""
        return list(read_json(self._history)) if self._history.exists() else []

    def _record(self, action: str, name: str, by: str) -> None:
        entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, "release": name, "by": by}
        write_json(self._history, [*self.history(), entry])

    def _stack(self) -> list[str]:
        """The releases under the live one: a promotion lays one on top, a rollback takes those above its target away."""
        stack: list[str] = []
        for entry in self.history():
            if entry["action"] == "rollback" and entry["release"] in stack:
                while stack[-1] != entry["release"]:  # the nearest: a release may have been live more than once
                    stack.pop()
            elif not stack or stack[-1] != entry["release"]:
                stack.append(entry["release"])
        return stack


def _check_run_lives() -> None:
    lock = os.environ.get(RUN_LOCK)
    if lock and not is_locked(lock):
        raise StateError("the run that this step belongs to has ended: nothing is promoted on its behalf")


def releases(target: str, root: str | Path, line: str) -> LocalReleases:
    """The releases of a line on a target.

    Raises:
        ConfigError: a target that this project cannot deploy to.
    """
    if target != "local":
        raise ConfigError(f"target {target!r} is not known here: local")
    check_line(line)
    return LocalReleases(root, line)


def check_line(line: str) -> None:
    """Refuse a name that cannot be a folder, an endpoint and a registered model alike.

    Raises:
        ConfigError: the name is none.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", line):
        raise ConfigError(f"release line {line!r}: should be lower-case letters, digits and hyphens, 63 at the most")


def lines(root: str | Path) -> list[str]:
    """The release lines that have something live, be it damaged or gone."""
    return sorted(path.name for path in Path(root).glob("*") if (path / "live").is_symlink())
