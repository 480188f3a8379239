"""What a challenger is compared with: what is live on the run's target, in its release line."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.deployment.targets import releases
from churn.platform.errors import ConfigError, IntegrityError, StateError


@dataclass(frozen=True)
class Found:
    """The champion: the line, the release's name and its model's hash ('' where nothing is live), and how it is damaged, if it is."""

    line: str
    release: str
    model_sha256: str
    damage: str


def find_champion(target: str, root: str, line: str, out: str | Path, serving: dict[str, Any] | None = None) -> Found:
    """Find the live release and copy its model to `out`; whether it can be scored is the judge's to say."""
    store = releases(target, root, line, serving)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    name = store.live_name()
    if not name:
        return Found(line, "", "", "")
    try:
        champion = store.get(name)
        shutil.copytree(champion.model, out, dirs_exist_ok=True)
        return Found(line, name, str(champion.facts["model_sha256"]), "")
    except (IntegrityError, ConfigError, StateError, OSError, KeyError) as error:
        # Not '' as a whole: a champion that cannot be read closes the gate, it is not "no champion". A bucket that does not answer is neither.
        return Found(line, name, "", f"it is damaged: {error}")
