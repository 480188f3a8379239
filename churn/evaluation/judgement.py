"""Judge a challenger and write down why: the verdict as JSON, the plots, the HTML report."""

from pathlib import Path
from typing import Any

import pandas as pd

from churn.evaluation.evaluate import SCORES, Evaluation
from churn.evaluation.judge import Champion, Verdict, compare, judge, verdict_record
from churn.evaluation.policy import GatePolicy
from churn.evaluation.report import Subject, write_report
from churn.features.tables import FeatureTable
from churn.platform.files import seal, write_json
from churn.training.model import ChurnModel, read_facts

VERDICT = "verdict.json"
RECORD = "record.json"


def judge_and_report(
    model_folder: str | Path,
    model_sha256: str,
    evaluation_folder: str | Path,
    test_folder: str | Path,
    champion: Champion,
    policy: GatePolicy,
    *,
    rounds: int,
    facts: dict[str, str],
    data: dict[str, Any],
    provenance: dict[str, str],
    page: str | Path,
    out: str | Path,
) -> Verdict:
    """Judge, and write the report to `page`, and verdict.json, record.json and plots/ to the folder `out`, sealed; gives the verdict.

    Args:
        model_folder, evaluation_folder, test_folder: the challenger, its evaluation, the test window.
        model_sha256: the challenger's hash.
        champion: what is live.
        policy: the gate.
        rounds: resamples of customers.
        facts: what the report says of the run.
        data, provenance: what the run's record says of its data and of where it comes from.
        page: the report.
        out: the folder to make.
    """
    evaluation = Evaluation.read(evaluation_folder)
    same = champion.model_sha256 == model_sha256
    compared = None if same else compare(champion, evaluation_folder, test_folder, rounds=rounds)
    verdict = judge(evaluation, model_sha256, champion, compared, policy)
    out = Path(out)
    write_json(out / VERDICT, verdict_record(verdict))
    gate = {"passed": verdict.passed, "threshold": policy.min_auc_pr, "reasons": verdict.reasons}
    record = {"verdict": verdict.line, "metrics": evaluation.metrics, "gate": gate, "data": data, "provenance": provenance}
    write_json(out / RECORD, record)
    scores = pd.read_parquet(Path(evaluation_folder) / SCORES)
    if compared and not compared.failed:
        scores["champion"] = ChurnModel.load(champion.folder).probabilities(FeatureTable.read(test_folder).rows)
    write_report(page, out / "plots", _subject(read_facts(model_folder), model_sha256, evaluation, facts), evaluation, verdict, scores)
    seal(out)
    return verdict


def _subject(model: dict[str, Any], model_sha256: str, evaluation: Evaluation, facts: dict[str, str]) -> Subject:
    windows = {name: ", ".join(moment[:10] for moment in moments) for name, moments in model["windows"].items()}
    test = ", ".join(str(part["snapshot"])[:10] for part in evaluation.by_snapshot)
    more = {
        "model": model_sha256,
        "training snapshots": windows["train"],
        "validation snapshots": windows["validation"],
        "test snapshots": test,
        "features": f"{len(model['features'])}: {', '.join(model['features'])}",
        "rounds": str(model["rounds"]),
    }
    return Subject(f"Churn model, {facts.get('release line', '')}".rstrip(", "), facts | more)
