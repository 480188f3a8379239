"""Small real models, each with rows of known score and the facts of a release."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from churn.deployment.releases import Releases
from churn.platform.files import read_json, write_json
from churn.training.model import ChurnModel, import_xgboost, save_model

FEATURES = ("recency", "frequency")
_ROWS = np.random.default_rng(7).normal(size=(12, len(FEATURES))).astype("float32")
INSTANCES = [dict(zip(FEATURES, map(float, row), strict=True)) for row in _ROWS]


@dataclass(frozen=True)
class Made:
    """A model directory, its probe file, and what is known of it."""

    folder: Path
    probe: Path
    facts: dict

    def put(self, store: Releases) -> str:
        """Lay it down; gives the release's name."""
        return store.put(self.folder, self.probe, self.facts)[0].name


def make(root: Path, number: int, *, features: tuple[str, ...] = FEATURES, lies: bool = False) -> Made:
    """A model of its own for each number. lies: its rows of known score are not what it answers."""
    xgboost = import_xgboost()
    rows = np.random.default_rng(number).normal(size=(200, len(features))).astype("float32")
    matrix = xgboost.DMatrix(rows, label=(rows[:, 0] > 0.1 * number).astype(int))
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, matrix, 5)
    folder = root / f"{number}-{len(features)}{'-lies' if lies else ''}"
    sha256 = save_model(folder, booster, list(features), 0.5, 1.0, {"rounds": 5})
    known = ChurnModel.load(folder).score(np.pad(_ROWS, ((0, 0), (0, len(features) - len(FEATURES)))))
    instances = [each | dict.fromkeys(features[len(FEATURES) :], 0.0) for each in INSTANCES]
    probe = folder.with_suffix(".json")
    write_json(probe, {"instances": instances, "probabilities": [float(p) + (0.1 if lies else 0) for p in known]})
    facts = {
        "model_sha256": sha256,
        "created": f"2026-01-{number:02}T00:00:00+00:00",
        "metrics": {"auc_pr": 0.8},
        "provenance": {"run": f"run-{number}", "git_commit": "c0ffee", "data_fingerprint": "sha256:abc=", "registered_version": "1"},
        "model": read_json(folder / "model.json"),
        "serving": {},
    }
    return Made(folder, probe, facts)
