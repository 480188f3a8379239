"""The exit handler: says the outcome, on success and on failure."""

from kfp.dsl import PipelineTaskFinalStatus

from components.base import pipeline_component


@pipeline_component("deploy")
def notify(pipeline_root: str, run: str, job: str, webhook_env: str, status: PipelineTaskFinalStatus) -> None:
    """Say what the run came to: a log line, and a webhook where one is named."""
    from churn.deployment.outcome import notify_outcome

    notify_outcome(pipeline_root, run, status.state, status.error_message or "", job=job, webhook_env=webhook_env)
