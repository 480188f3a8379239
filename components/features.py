"""Cached: who counts, what was known of them, and whether they churned."""

from kfp.dsl import Dataset, Input, Metrics, Output

from components.base import pipeline_component


@pipeline_component("train")
def features(
    history: Input[Dataset],
    as_of: str,
    horizon_days: int,
    active_days: int,
    snapshots: str,
    min_history_days: int,
    validation_snapshots: int,
    test_snapshots: int,
    train_table: Output[Dataset],
    validation_table: Output[Dataset],
    test_table: Output[Dataset],
    metrics: Output[Metrics],
) -> None:
    """Build the feature tables of the training, validation and test windows, each feature as of its snapshot."""
    from churn.features.build import build_features
    from churn.features.definition import ChurnDefinition
    from components.artifacts import show

    definition = ChurnDefinition.of(
        {
            "horizon_days": horizon_days,
            "active_days": active_days,
            "snapshots": snapshots,
            "min_history_days": min_history_days,
            "validation_snapshots": validation_snapshots,
            "test_snapshots": test_snapshots,
        },
        "parameters",
    )
    tables = {"train": train_table, "validation": validation_table, "test": test_table}
    built = build_features(history.path, definition, as_of, {name: table.path for name, table in tables.items()})
    show(metrics, built.counts())
    for name, table in tables.items():
        table.metadata.update(built.window(name))
