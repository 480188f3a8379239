"""The records of releases in a bucket: ROOT/LINE/NAME/ holds what a local release holds, the manifest last; ROOT/LINE/history.json is swapped."""

import json
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any

from churn.deployment.local import lay_down
from churn.deployment.releases import FACTS, Release, Releases, release_name, settled
from churn.platform import storage
from churn.platform.errors import ChurnError, ConfigError, IntegrityError, StateError
from churn.platform.files import SEAL, seal

_TRIES = 20


class RemoteReleases(Releases):
    """What every cloud target has: records in a bucket. A release that was read once stays in a folder of this process."""

    def __init__(self, root: str, line: str) -> None:
        if not storage.is_remote(root):
            raise ConfigError(f"releases: {root!r} should be a bucket's folder, like gs://BUCKET/releases or s3://BUCKET/releases")
        self.line = line
        self.uri = f"{root.rstrip('/')}/{line}"
        self._scratch = tempfile.TemporaryDirectory(prefix="churn-releases-")

    def names(self) -> list[str]:
        """The names of all releases that are whole, the oldest first."""
        found = [name.removesuffix(f"/{SEAL}") for name in storage.names(self.uri) if name.endswith(f"/{SEAL}")]
        whole = [name for name in found if "/" not in name]
        return sorted(whole, key=lambda name: (self.facts(name)["created"], name))

    def facts(self, name: str) -> dict[str, Any]:
        """What is known of a release, without its model."""
        text = storage.read_text(f"{self.uri}/{name}/{FACTS}")
        if text is None:
            raise ConfigError(f"no release {name!r} in the line {self.line}; churn release list --target {self.target} shows them")
        try:
            return dict(json.loads(text))
        except ValueError:
            raise IntegrityError(f"{self.uri}/{name}/{FACTS} is not JSON: it was changed after it was written") from None

    def get(self, name: str) -> Release:
        """A release by name, downloaded and checked against its hashes."""
        folder = Path(self._scratch.name) / name
        facts = self.facts(name)
        if not (folder / SEAL).exists():
            storage.download_sealed(f"{self.uri}/{name}", folder)
        return Release(name, folder, facts, self._scratch)

    def put(self, model: str | Path, probe: str | Path, facts: dict[str, Any]) -> tuple[Release, bool]:
        """Lay down a release, its manifest last, and have the target take it; gives it, and False where both were there already."""
        name = release_name(facts["model_sha256"])
        try:
            release, new = self.get(name), False
        except ChurnError:
            folder = Path(self._scratch.name) / f"{name}.new"
            folder.mkdir(exist_ok=True)
            lay_down(folder, model, probe, facts | {"release": name, "line": self.line})
            seal(folder)
            storage.upload_sealed(folder, f"{self.uri}/{name}")
            release, new = Release(name, folder, facts | {"release": name, "line": self.line}, self._scratch), True
        return release, self._install(release) or new

    def history(self) -> list[dict[str, str]]:
        """What was changed when, the oldest first."""
        return self._history()[0]

    def _history(self) -> tuple[list[dict[str, str]], str]:
        text, version = storage.read_version(f"{self.uri}/history.json")
        return (json.loads(text) if text else []), version

    def _append(self, entry: dict[str, str]) -> None:
        for _ in range(_TRIES):
            entries, version = self._history()
            if entry in entries or storage.swap_text(f"{self.uri}/history.json", json.dumps([*settled(entries), entry], indent=1), version):
                return
        raise StateError(f"{self.uri}/history.json: others write to it all the time; run again")

    @abstractmethod
    def _install(self, release: Release) -> bool:
        """Have the target take a release, without traffic; gives False where it has it already."""
