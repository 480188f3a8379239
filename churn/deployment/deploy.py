"""The deployment behind the gate, step by step; each step can be run twice."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from churn.deployment.outcome import Outcome, write_outcome
from churn.deployment.releases import releases
from churn.deployment.smoke import smoke_test
from churn.platform.files import read_json
from churn.registry.versions import mark_live

log = logging.getLogger(__name__)


def deploy(
    target: str,
    root: str,
    line: str,
    model: str | Path,
    model_sha256: str,
    evaluation: str | Path,
    metrics: dict[str, Any],
    provenance: dict[str, str],
) -> tuple[str, bool]:
    """Lay a model down as a release; gives its name, and False where it was there already.

    Args:
        target: where.
        root: the folder of all release lines.
        line: the release line.
        model: the model directory.
        model_sha256: its hash.
        evaluation: the evaluation folder, for the rows of known score.
        metrics: kept with the release.
        provenance: kept with the release: run, commit, data, registered version.
    """
    facts = {
        "model_sha256": model_sha256,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "metrics": metrics,
        "provenance": provenance,
        "model": read_json(Path(model) / "model.json"),
    }
    release, new = releases(target, root, line).put(model, Path(evaluation) / "probe.json", facts)
    return release.name, new


def smoke(target: str, root: str, line: str, release: str) -> int:
    """Probe a release with its rows of known score; gives how many answered right."""
    return smoke_test(releases(target, root, line).get(release))


def promote(
    target: str,
    root: str,
    line: str,
    release: str,
    model_sha256: str,
    *,
    expected: str,
    tracking_uri: str,
    pipeline_root: str,
    run: str,
    verdict: str,
    reasons: list[str],
) -> bool:
    """Make a release live and say so: the link, the registry's stages, the outcome; gives False where it was live already."""
    moved = releases(target, root, line).promote(release, expected=expected, by=run)
    write_outcome(pipeline_root, Outcome(run, line, True, release, release, verdict, reasons))
    try:
        mark_live(tracking_uri, line=line, model_sha256=model_sha256)
    except Exception as error:
        # The link is the truth, and it has moved: a run must not read as "not deployed" because the registry did not answer.
        log.error(
            "%s is live, but its stage in the registry was not moved (%s); the next run does it", release, " ".join(str(error).split())
        )
    return moved


def hold(line: str, live: str, verdict: str, reasons: list[str], *, pipeline_root: str, run: str) -> None:
    """Record that a model does not go live, and why."""
    write_outcome(pipeline_root, Outcome(run, line, False, "", live, verdict, reasons))
