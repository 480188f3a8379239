"""One pipeline run as one MLflow run."""

import logging
from pathlib import Path
from typing import Any

from churn.evaluation.evaluate import EVALUATION, Evaluation
from churn.evaluation.judgement import VERDICT
from churn.platform.files import check_seal, read_json
from churn.registry.tracking import track

log = logging.getLogger(__name__)
UNTRACKED = "no tracking server is set (tracking_uri): the run is kept in Vertex AI's own metadata and model registry alone"


def record_run(
    tracking_uri: str,
    run: str,
    line: str,
    parameters: dict[str, Any],
    provenance: dict[str, str],
    train_metrics: str,
    evaluation: str,
    judgement: str,
    report: str,
) -> str:
    """Track a run with everything it left: parameters, metrics, the verdict, plots, report and provenance; gives MLflow's run id.

    Without a tracking server ('') nothing is written, and '' given: a store in the step's own container would die with it.
    """
    if not tracking_uri:
        log.warning("%s", UNTRACKED)
        return ""
    check_seal(judgement)
    verdict = read_json(Path(judgement) / VERDICT)
    evaluated = Evaluation.read(evaluation)
    plots = [] if evaluated.undefined else [Path(judgement) / "plots"]  # nothing is drawn of a window that says nothing
    trained = {f"train_{name}": value for name, value in read_json(train_metrics).items()}
    gate = {"gate_passed": float(verdict["passed"]), "gate_approved": float(verdict["approved"])}
    tracked, new = track(
        tracking_uri,
        run=run,
        experiment=line,
        parameters={name: value for name, value in parameters.items() if value != ""},
        metrics={**evaluated.metrics, **trained, **gate},
        tags={**provenance, "verdict": str(verdict["line"])[:5000]},
        artifacts=[report, Path(judgement) / VERDICT, Path(evaluation) / EVALUATION, *plots],
    )
    log.info("%s%s", tracked, "" if new else ": tracked already")
    return tracked
