"""Cached: the model that is evaluated and deployed."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.base import pipeline_component


@pipeline_component("train")
def train(
    train_table: Input[Dataset], validation_table: Input[Dataset], training: dict, seed: int, model: Output[Model], metrics: Output[Metrics]
) -> str:
    """Train with early stopping on validation, then again on both windows with the rounds found; gives the model's sha256."""
    from churn.training.policy import TrainingPolicy
    from churn.training.train import train as train_model
    from components.artifacts import show

    trained = train_model(train_table.path, validation_table.path, TrainingPolicy.of(training, "parameter training"), seed, model.path)
    show(metrics, trained.figures())
    model.metadata.update(framework="xgboost", model_sha256=trained.model_sha256)
    return trained.model_sha256
