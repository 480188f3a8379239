"""Cached: rows in, the canonical history out."""

from kfp.dsl import HTML, Dataset, Metrics, Output

from components.base import pipeline_component


@pipeline_component("data")
def prepare(
    dataset: dict,
    source: str,
    tickets_source: str,
    content: str,
    history: Output[Dataset],
    rejects: Output[Dataset],
    quality: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Check and map the rows of a source; set bad ones aside with reasons; write the canonical history and a page on its quality.

    Args:
        dataset: the mapping of columns, stamps and amounts.
        source: transactions, Parquet or CSV, a path or gs://.
        tickets_source: support tickets, or empty.
        content: the sources' fingerprint: another content is another cache key.
        history: the prepared folder.
        rejects: bad rows as CSV.
        quality: the page.
        metrics: rows, rejected_rows, duplicate_rows, customers, purchases.
    """
    from churn.data.mapping import DatasetMapping
    from churn.data.prepare import prepare as prepare_history
    from components.artifacts import show

    mapping = DatasetMapping.of(dataset, "parameter dataset")
    facts = prepare_history(mapping, source, tickets_source, out=history.path, rejects=rejects.path, page=quality.path, content=content)
    show(metrics, facts.counts())
    history.metadata.update(content=content, warnings=facts.said(), known_until=facts.known_until)
