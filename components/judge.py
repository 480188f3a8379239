"""Looks: the verdict with its reasons, and the report."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.base import pipeline_component


@pipeline_component("train")
def judge(
    model: Input[Model],
    model_sha256: str,
    evaluation: Input[Artifact],
    test_table: Input[Dataset],
    champion: Input[Model],
    champion_release: str,
    champion_sha256: str,
    line: str,
    run: str,
    git_commit: str,
    source: str,
    content: str,
    history: Input[Dataset],
    counts: Input[Metrics],
    min_auc_pr: float,
    min_gain: float,
    replace_champion: bool,
    bootstrap_rounds: int,
    report: Output[HTML],
    judgement: Output[Artifact],
) -> bool:
    """Compare with the champion on the same rows and decide by the policy; gives whether the conditions behind the threshold hold."""
    from churn.evaluation.judge import Champion
    from churn.evaluation.judgement import judge_and_report
    from churn.evaluation.policy import GatePolicy

    # kfp hands the numbers of a metrics artifact over as floats.
    rows = {name: int(counts.metadata[name]) for name in ("rows", "rejected_rows", "duplicate_rows", "customers", "purchases")}
    known = {"known_until": history.metadata["known_until"], "warnings": list(history.metadata["warnings"])}
    policy = GatePolicy.of({"min_auc_pr": min_auc_pr, "min_gain": min_gain, "replace_champion": replace_champion}, "parameters")
    verdict = judge_and_report(
        model.path,
        model_sha256,
        evaluation.path,
        test_table.path,
        Champion(champion.path, champion_release, champion_sha256, champion.metadata["damage"]),
        policy,
        rounds=bootstrap_rounds,
        facts={"release line": line, "run": run, "data": content},
        data={"source": source, **rows, "fingerprint": content, **known},
        provenance={"git_commit": git_commit, "data_fingerprint": content, "model_sha256": model_sha256},
        page=report.path,
        out=judgement.path,
    )
    judgement.metadata.update(approved=verdict.approved, passed=verdict.passed, line=verdict.line, reasons=verdict.reasons)
    return verdict.approved
