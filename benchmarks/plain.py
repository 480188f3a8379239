"""What a user would write instead: the training pipeline's functions, one after the other, in one Python process. No steps, no cache, no record."""

import sys
from pathlib import Path

from churn.data.mapping import DatasetMapping
from churn.data.prepare import prepare
from churn.deployment.canary import CanaryPolicy
from churn.deployment.champion import find_champion
from churn.deployment.deploy import canary, deploy, promote, smoke
from churn.deployment.outcome import notify_outcome
from churn.evaluation.evaluate import evaluate
from churn.evaluation.judge import Champion
from churn.evaluation.judgement import judge_and_report
from churn.evaluation.policy import GatePolicy
from churn.features.build import build_features
from churn.features.definition import ChurnDefinition
from churn.platform.files import write_json
from churn.platform.settings import Environment
from churn.platform.storage import fingerprint
from churn.registry.record import record_run
from churn.registry.versions import register
from churn.training.policy import TrainingPolicy
from churn.training.train import train
from pipelines.configuration import DEFAULT_DATASET
from pipelines.submit.parameters import resolve
from pipelines.submit.spec import Spec


def main(root: Path, spec: Path) -> None:
    p = resolve(Spec.read(str(spec), root), Environment.read("local"), [f"dataset={DEFAULT_DATASET}"], None, "")
    root.mkdir(parents=True, exist_ok=True)
    releases, tracking, run = str(root / "releases"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", "plain"
    content = fingerprint(p["source"])
    mapping = DatasetMapping.of(p["dataset"], "dataset")
    prepare(mapping, p["source"], "", out=root / "history", rejects=root / "rejects.csv", page=root / "quality.html")
    definition = ChurnDefinition.of({name: p[name] for name in ChurnDefinition.model_fields}, "parameters")
    tables = {name: root / name for name in ("train", "validation", "test")}
    build_features(root / "history", definition, p["as_of"], tables)
    trained = train(tables["train"], tables["validation"], TrainingPolicy.of(p["training"], "training"), p["seed"], root / "model")
    write_json(root / "trained.json", trained.figures())
    evaluated = evaluate(root / "model", tables["test"], root / "evaluation", rounds=p["bootstrap_rounds"], seed=p["seed"])
    line = f"{mapping.name}-{definition.horizon_days}d"
    champion = find_champion("local", releases, line, root / "champion")
    policy = GatePolicy.of({name: p[name] for name in GatePolicy.model_fields}, "parameters")
    sha256 = trained.model_sha256
    verdict = judge_and_report(
        root / "model",
        sha256,
        root / "evaluation",
        tables["test"],
        Champion(str(root / "champion"), champion.release, champion.model_sha256, champion.damage),
        policy,
        rounds=p["bootstrap_rounds"],
        facts={"release line": line, "run": run},
        data={"source": p["source"], "fingerprint": content},
        provenance={"data_fingerprint": content, "model_sha256": sha256},
        page=root / "report.html",
        out=root / "judgement",
    )
    kept = [str(root / name) for name in ("trained.json", "evaluation", "judgement", "report.html")]
    tracked = record_run(tracking, run, line, {"seed": p["seed"]}, {"data_fingerprint": content}, *kept)
    if evaluated.gate_value >= p["min_auc_pr"] and verdict.approved:
        version, _ = register(tracking, line=line, model=root / "model", model_sha256=sha256, tracked_run=tracked, tags={})
        provenance = {"run": run, "registered_version": version}
        place = ("local", releases, line, {})
        release, _ = deploy(*place, root / "model", sha256, root / "evaluation", evaluated.metrics, provenance)
        smoke(*place, release)
        canary(*place, release, policy=CanaryPolicy.of(p["canary"], "canary"), expected=champion.release, run=run)
        where = {"tracking_uri": tracking, "pipeline_root": str(root), "run": run}
        known = {"judgement": root / "judgement", "version": version, "tracked_run": tracked}
        promote(*place, release, sha256, expected=champion.release, **where, **known)
    notify_outcome(str(root), run, "SUCCEEDED", "", webhook_env="")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
