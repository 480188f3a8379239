"""The deployment behind the gate, step by step; each step can be run twice."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from churn.deployment.canary import CanaryPolicy
from churn.deployment.outcome import Outcome, write_outcome
from churn.deployment.smoke import smoke_test
from churn.deployment.targets import releases
from churn.evaluation.judgement import RECORD
from churn.platform.files import check_seal, read_json
from churn.registry.versions import mark_live

log = logging.getLogger(__name__)


def deploy(
    target: str,
    root: str,
    line: str,
    serving: dict[str, Any],
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
        serving: what a cloud target needs to serve.
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
        "serving": serving,
        "model": read_json(Path(model) / "model.json"),
    }
    release, new = releases(target, root, line, serving).put(model, Path(evaluation) / "probe.json", facts)
    return release.name, new


def smoke(target: str, root: str, line: str, serving: dict[str, Any], release: str) -> int:
    """Probe a release with its rows of known score; gives how many answered right."""
    return smoke_test(releases(target, root, line, serving).get(release))


def canary(
    target: str, root: str, line: str, serving: dict[str, Any], release: str, *, policy: CanaryPolicy, expected: str, run: str
) -> str:
    """Give a release a share of the requests and judge it by policy; gives the line that says how it did."""
    return releases(target, root, line, serving).canary(release, policy=policy, expected=expected, by=run)


def promote(
    target: str,
    root: str,
    line: str,
    serving: dict[str, Any],
    release: str,
    model_sha256: str,
    *,
    expected: str,
    tracking_uri: str,
    pipeline_root: str,
    run: str,
    judgement: str | Path,
    version: str,
    tracked_run: str,
) -> bool:
    """Make a release live and say so: who answers, the registry's stages, the outcome; gives False where it was live already."""
    moved = releases(target, root, line, serving).promote(release, expected=expected, by=run)
    told = {"deployed": True, "target": target, "line": line, "release": release, "live": release, "was_live": expected or None}
    _leave(pipeline_root, run, judgement, told | {"registered_version": version or None, "tracked_run": tracked_run or None})
    if not tracking_uri:
        return moved
    try:
        mark_live(tracking_uri, line=line, model_sha256=model_sha256)
    except Exception as error:
        # What answers is the truth, and it has moved: a run must not read as "not deployed" because the registry did not answer.
        log.error(
            "%s is live, but its stage in the registry was not moved (%s); the next run does it", release, " ".join(str(error).split())
        )
    return moved


def hold(target: str, line: str, live: str, judgement: str | Path, *, tracked_run: str, pipeline_root: str, run: str) -> None:
    """Record that a model does not go live, and why."""
    told = {"deployed": False, "target": target, "line": line, "release": None, "live": live or None, "was_live": live or None}
    _leave(pipeline_root, run, judgement, told | {"registered_version": None, "tracked_run": tracked_run or None})


def _leave(pipeline_root: str, run: str, judgement: str | Path, deployment: dict[str, Any]) -> None:
    check_seal(judgement)
    record = read_json(Path(judgement) / RECORD)
    write_outcome(pipeline_root, Outcome(run_id=run, status="succeeded", deployment=deployment, **record))
