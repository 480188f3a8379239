"""Releases without models: what is live is moved, not asked."""

from pathlib import Path

from churn.deployment.local import LocalReleases
from churn.platform.files import seal, write_json, write_whole


def put(store: LocalReleases, name: str) -> str:
    """A release of a stand-in model whose hash begins with `name`; gives the release's name."""
    model = store.folder.parent / "models" / name
    if not model.exists():
        write_whole(model / "model.json", name)
        seal(model)
        write_json(model.with_suffix(".probe"), {"instances": [], "probabilities": []})
    facts = {"model_sha256": name.ljust(64, "0"), "created": "now", "metrics": {"auc_pr": 0.8}, "provenance": {"run": f"run-of-{name}"}}
    return store.put(model, model.with_suffix(".probe"), facts)[0].name


def store_with(root: Path, *names: str) -> tuple[LocalReleases, list[str]]:
    store = LocalReleases(root / "releases", "shop-30d")
    return store, [put(store, name) for name in names]
