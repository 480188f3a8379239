"""What a challenger is compared with: what is live on the run's target, in its release line."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from churn.deployment.releases import FACTS, releases
from churn.platform.errors import ChurnError
from churn.platform.files import read_json


@dataclass(frozen=True)
class Found:
    """The champion: the line, the release's name and its model's hash ('' where nothing is live), and how it is damaged, if it is."""

    line: str
    release: str
    model_sha256: str
    damage: str


def find_champion(target: str, root: str, line: str, out: str | Path) -> Found:
    """Find the live release and copy its model to `out`, as it is: whether it can be scored is the judge's to say."""
    store = releases(target, root, line)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    name = store.live_name()
    if not name:
        return Found(line, "", "", "")
    folder = store.folder / name
    try:
        shutil.copytree(folder / "model", out, dirs_exist_ok=True)
        sha256 = str(read_json(folder / FACTS)["model_sha256"])
        store.get(name)
    except (ChurnError, OSError, KeyError) as error:
        # Not '' as a whole: a champion that cannot be read closes the gate, it is not "no champion".
        return Found(line, name, "", f"it is damaged: {error}")
    return Found(line, name, sha256, "")
