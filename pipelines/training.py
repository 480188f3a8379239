"""The training pipeline: the same function on a laptop and on Vertex AI."""

from kfp import dsl

from components.canary import canary as watch
from components.deploy import deploy
from components.evaluate import evaluate
from components.features import features
from components.find_champion import find_champion
from components.fingerprint import fingerprint
from components.hold import hold
from components.judge import judge
from components.notify import notify
from components.prepare import prepare
from components.promote import promote
from components.register import register
from components.smoke_test import smoke_test
from components.track import track
from components.train import train


def _again(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """A step that talks to the network: run again where its machine is lost, or a service for longer than each call is retried; it finds its work done."""
    return task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")


def _fresh(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """A step that is never taken from the cache, and is not run again where it fails."""
    return task.set_caching_options(enable_caching=False)


def _acts(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """A step that looks at the world or changes it: never taken from the cache."""
    return _again(_fresh(task))


@dsl.pipeline(name="churn-training", description="From purchases to a gated, live churn model.")
def training_pipeline(
    dataset: dict,
    source: str,
    tickets_source: str,
    as_of: str,
    horizon_days: int,
    active_days: int,
    snapshots: str,
    min_history_days: int,
    validation_snapshots: int,
    test_snapshots: int,
    training: dict,
    seed: int,
    bootstrap_rounds: int,
    min_auc_pr: float,
    min_gain: float,
    replace_champion: bool,
    release_line: str,
    target: str,
    releases: str,
    serving: dict,
    canary: dict,
    tracking_uri: str,
    webhook_env: str,
    git_commit: str,
) -> None:
    """Train, evaluate and judge a churn model, and deploy it where the gate opens.

    Args:
        dataset: Which column of the source is which, and what stamps and amounts mean (a file of configs/datasets/ without churn and source).
        source: Transactions, Parquet or CSV: a path where the run is local, or gs://.
        tickets_source: Support tickets, the same; empty where there are none.
        as_of: The last moment of knowledge (ISO 8601, the shop's time); empty: the scheduled time of a scheduled run, else the end of the data.
        horizon_days: Churned is who does not buy in this many days after a snapshot.
        active_days: Who counts at a snapshot: customers with a purchase in the last so many days.
        snapshots: When the question is asked: month, or a rule like '4 weeks on monday'.
        min_history_days: No snapshot this close to the first row.
        validation_snapshots: Snapshots of the validation window, at the most.
        test_snapshots: Snapshots of the test window: the last with complete labels.
        training: XGBoost's parameters and early stopping (configs/training.yaml).
        seed: Of training and of the bootstrap.
        bootstrap_rounds: Resamples of customers behind each interval.
        min_auc_pr: The gate's threshold, in (0, 1].
        min_gain: The least auc_pr over the champion's on the same rows.
        replace_champion: Go live although the champion cannot be scored.
        release_line: Endpoint, registered model and champion by one name; empty: the dataset and the horizon.
        target: Where the model goes live: local, vertex or sagemaker.
        releases: The folder, or gs:// or s3:// URI, that holds the release lines.
        serving: What a cloud target needs to serve: project, region, image, machine type, replicas (configs/environments/); empty for local.
        canary: When a new release, with a share of the requests, is good enough for all of them (configs/canary.yaml).
        tracking_uri: MLflow's store: sqlite:///PATH or a server's address; empty: none, the run is kept in Vertex's own metadata and registry.
        webhook_env: The name of the environment variable with the webhook's URL; empty: none.
        git_commit: The code's commit, for provenance.
    """
    run, root = dsl.PIPELINE_JOB_NAME_PLACEHOLDER, dsl.PIPELINE_ROOT_PLACEHOLDER
    told = _acts(notify(pipeline_root=root, run=run, job=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER, webhook_env=webhook_env))
    with dsl.ExitHandler(told, name="always-notify"):
        looked = _acts(
            fingerprint(
                source=source,
                tickets_source=tickets_source,
                as_of=as_of,
                scheduled=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
                created=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
            )
        )
        content, until = looked.outputs["content"], looked.outputs["as_of"]
        prepared = _again(prepare(dataset=dataset, source=source, tickets_source=tickets_source, content=content))
        built = features(
            history=prepared.outputs["history"],
            as_of=until,
            horizon_days=horizon_days,
            active_days=active_days,
            snapshots=snapshots,
            min_history_days=min_history_days,
            validation_snapshots=validation_snapshots,
            test_snapshots=test_snapshots,
        )
        trained = train(
            train_table=built.outputs["train_table"], validation_table=built.outputs["validation_table"], training=training, seed=seed
        )
        model, model_sha256 = trained.outputs["model"], trained.outputs["Output"]
        evaluated = evaluate(model=model, test_table=built.outputs["test_table"], bootstrap_rounds=bootstrap_rounds, seed=seed)
        # After the evaluation, though it needs nothing of it: what is live is looked at as late as can be.
        champion = _acts(
            find_champion(
                target=target, releases=releases, release_line=release_line, serving=serving, dataset=dataset, horizon_days=horizon_days
            )
        )
        champion.after(evaluated)
        line = champion.outputs["line"]
        judged = _fresh(
            judge(
                model=model,
                model_sha256=model_sha256,
                evaluation=evaluated.outputs["evaluation"],
                test_table=built.outputs["test_table"],
                champion=champion.outputs["champion"],
                champion_release=champion.outputs["release"],
                champion_sha256=champion.outputs["model_sha256"],
                line=line,
                run=run,
                git_commit=git_commit,
                source=source,
                content=content,
                history=prepared.outputs["history"],
                counts=prepared.outputs["metrics"],
                min_auc_pr=min_auc_pr,
                min_gain=min_gain,
                replace_champion=replace_champion,
                bootstrap_rounds=bootstrap_rounds,
            )
        )
        tracked = _acts(
            track(
                tracking_uri=tracking_uri,
                run=run,
                line=line,
                git_commit=git_commit,
                content=content,
                dataset=dataset,
                source=source,
                as_of=until,
                horizon_days=horizon_days,
                active_days=active_days,
                snapshots=snapshots,
                min_history_days=min_history_days,
                validation_snapshots=validation_snapshots,
                test_snapshots=test_snapshots,
                min_auc_pr=min_auc_pr,
                min_gain=min_gain,
                training=training,
                seed=seed,
                model_sha256=model_sha256,
                train_metrics=trained.outputs["metrics"],
                evaluation=evaluated.outputs["evaluation"],
                judgement=judged.outputs["judgement"],
                report=judged.outputs["report"],
            )
        )
        place = {"target": target, "releases": releases, "line": line, "serving": serving}
        held = {
            "target": target,
            "line": line,
            "champion_release": champion.outputs["release"],
            "judgement": judged.outputs["judgement"],
            "tracked_run": tracked.output,
        }
        with dsl.If(evaluated.outputs["Output"] >= min_auc_pr, name="auc-pr-reaches-the-threshold"):
            with dsl.If(judged.outputs["Output"] == True, name="approved"):  # noqa: E712 (kfp's comparison)
                version = _acts(
                    register(
                        tracking_uri=tracking_uri,
                        line=line,
                        model=model,
                        model_sha256=model_sha256,
                        tracked_run=tracked.output,
                        git_commit=git_commit,
                        content=content,
                    )
                )
                release = _acts(
                    deploy(
                        **place,
                        model=model,
                        model_sha256=model_sha256,
                        evaluation=evaluated.outputs["evaluation"],
                        metrics=evaluated.outputs["metrics"],
                        version=version.output,
                        run=run,
                        git_commit=git_commit,
                        content=content,
                    )
                )
                smoked = _acts(smoke_test(**place, release=release.output))
                # Once: a canary that did not pass would get its share of the customers anew.
                watched = _fresh(
                    watch(
                        **place,
                        release=release.output,
                        champion_release=champion.outputs["release"],
                        policy=canary,
                        smoke_tested=smoked.output,
                        run=run,
                    )
                )
                _acts(
                    promote(
                        **place,
                        release=release.output,
                        model_sha256=model_sha256,
                        champion_release=champion.outputs["release"],
                        canary=watched.output,
                        tracking_uri=tracking_uri,
                        pipeline_root=root,
                        run=run,
                        judgement=judged.outputs["judgement"],
                        version=version.output,
                        tracked_run=tracked.output,
                    )
                )
            with dsl.Else(name="not-approved"):
                _acts(hold(pipeline_root=root, run=run, **held))
        with dsl.Else(name="below-the-threshold"):
            _acts(hold(pipeline_root=root, run=run, **held))
