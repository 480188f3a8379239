"""Every feature, each defined in one place: to add one, add a line here.

A feature is an SQL aggregate over what was known of one customer at one snapshot. The rows of `transactions` (purchases, cancellations and others) have
the columns amount, is_purchase, is_cancel, event_timestamp, age_days (days from the event to the snapshot, above 0), gap_days (days since the
customer's purchase before, null at the first) and nth (1 for the first purchase); those of `tickets` have age_days. A feature may use the names of
the features above it.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Feature:
    """One feature: its name, the SQL aggregate, the unit and what it says."""

    name: str
    sql: str
    unit: str
    description: str
    of: Literal["transactions", "tickets"] = "transactions"


def _count(days: int) -> Feature:
    return Feature(f"nb_transactions_{days}d", f"count(*) FILTER (is_purchase AND age_days <= {days})", "purchases", f"purchases in the last {days} days")


def _total(days: int) -> Feature:
    return Feature(f"total_amount_{days}d", f"coalesce(sum(amount) FILTER (is_purchase AND age_days <= {days}), 0)", "currency", f"amount bought in the last {days} days")


FEATURES: tuple[Feature, ...] = (
    _count(7), _count(30), _total(30),
    Feature("days_since_last_transaction", "min(age_days) FILTER (is_purchase)", "days", "days since the last purchase"),
    Feature("avg_transaction_amount", "avg(amount) FILTER (is_purchase)", "currency", "mean amount of a purchase"),
    Feature("support_tickets_90d", "count(*) FILTER (age_days <= 90)", "tickets", "support tickets in the last 90 days", of="tickets"),
    _count(90), _count(180), _count(365), _total(90), _total(180), _total(365),
    Feature("nb_transactions_total", "count(*) FILTER (is_purchase)", "purchases", "purchases so far"),
    Feature("tenure_days", "max(age_days) FILTER (is_purchase)", "days", "days since the first purchase"),
    Feature("mean_gap_days", "avg(gap_days) FILTER (is_purchase)", "days", "mean days between purchases"),
    Feature("recency_over_gap", "days_since_last_transaction / nullif(mean_gap_days, 0)", "ratio", "days since the last purchase over the mean gap"),
)
