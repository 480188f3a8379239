"""Every feature, each defined in one place: to add one, add it to FEATURES.

A feature is an SQL aggregate over what was known of one customer at one snapshot. The rows of `transactions` (purchases, cancellations
and others) have the columns amount, is_purchase, is_cancel, event_timestamp, age_days (days from the event to the snapshot, above 0)
and gap_days (days since the customer's purchase before, null at the first); those of `tickets` have age_days. A feature may use the
names of the features above it. null is "not known", which the model takes as it is.
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


def _within(days: int) -> str:
    return f"FILTER (is_purchase AND age_days <= {days})"


def _count(days: int) -> Feature:
    return Feature(f"nb_transactions_{days}d", f"count(*) {_within(days)}", "purchases", f"purchases in the last {days} days")


def _total(days: int) -> Feature:
    return Feature(f"total_amount_{days}d", f"coalesce(sum(amount) {_within(days)}, 0)", "currency", f"bought in the last {days} days")


def _decayed_count(half_life: int) -> Feature:
    sql = f"sum(exp(-ln(2) * age_days / {half_life})) FILTER (is_purchase)"
    return Feature(f"decayed_count_{half_life}d", sql, "purchases", f"purchases, each worth half as much every {half_life} days")


def _decayed_amount(half_life: int) -> Feature:
    sql = f"coalesce(sum(ln(1 + greatest(amount, 0)) * exp(-ln(2) * age_days / {half_life})) FILTER (is_purchase), 0)"
    return Feature(f"decayed_amount_{half_life}d", sql, "log currency", f"log amounts, each worth half as much every {half_life} days")


def _purchase(name: str, sql: str, unit: str, description: str) -> Feature:
    return Feature(name, f"{sql} FILTER (is_purchase)", unit, description)


# The BG/NBD model in closed form, with a general prior (r 0.5, alpha 50 days, a 0.3, b 2.2): nothing is fitted, and nothing must be
# carried to the endpoint. docs/decisions/0004-features.md has the figures.
_AGE = "(tenure_days + 50.0)"
_LAST = "(tenure_days - days_since_last_transaction + 50.0)"
_GONE = f"""CASE WHEN purchase_days_total > 1
    THEN 0.3 / (purchase_days_total + 0.2) * exp(least(300, (purchase_days_total - 0.5) * ln({_AGE} / {_LAST})))
    ELSE 0 END"""

FEATURES: tuple[Feature, ...] = (
    # the six of the feature store
    _count(7),
    _count(30),
    _total(30),
    _purchase("days_since_last_transaction", "min(age_days)", "days", "days since the last purchase"),
    _purchase("avg_transaction_amount", "avg(amount)", "currency", "mean amount of a purchase"),
    Feature("support_tickets_90d", "count(*) FILTER (age_days <= 90)", "tickets", "support tickets in the last 90 days", of="tickets"),
    # how much, how often
    _count(90),
    _count(180),
    _count(365),
    _purchase("nb_transactions_total", "count(*)", "purchases", "purchases so far"),
    _purchase("purchase_days_total", "count(DISTINCT event_timestamp::DATE)", "days", "days with a purchase so far"),
    _total(7),
    _total(90),
    _total(180),
    _total(365),
    Feature("total_amount_total", "coalesce(sum(amount) FILTER (is_purchase), 0)", "currency", "bought so far"),
    *map(_decayed_count, (30, 60, 120)),
    *map(_decayed_amount, (60, 120, 240)),
    # for how long, at what rhythm
    _purchase("tenure_days", "max(age_days)", "days", "days since the first purchase"),
    Feature(
        "active_months_365d",
        "count(DISTINCT floor(age_days / 30)) FILTER (is_purchase AND age_days < 360)",
        "months",
        "of the last twelve blocks of 30 days, those with a purchase",
    ),
    _purchase("mean_gap_days", "avg(gap_days)", "days", "mean days between purchases"),
    _purchase("std_gap_days", "stddev_samp(gap_days)", "days", "their standard deviation"),
    _purchase("max_gap_days", "max(gap_days)", "days", "the longest pause so far"),
    _purchase("median_gap_days", "median(gap_days)", "days", "median days between purchases"),
    _purchase("last_gap_days", "arg_min(gap_days, age_days)", "days", "days between the last two purchases"),
    Feature("recency_over_mean_gap", "days_since_last_transaction / nullif(mean_gap_days, 0)", "ratio", "the silence over the usual pause"),
    Feature("recency_over_max_gap", "days_since_last_transaction / nullif(max_gap_days, 0)", "ratio", "the silence over the longest pause"),
    Feature(
        "trend_90d",
        f"count(*) {_within(90)} - count(*) FILTER (is_purchase AND age_days > 90 AND age_days <= 180)",
        "purchases",
        "purchases of the last 90 days less those of the 90 before",
    ),
    # amounts
    _purchase("max_amount", "max(amount)", "currency", "the largest purchase"),
    _purchase("min_amount", "min(amount)", "currency", "the smallest purchase"),
    _purchase("last_amount", "arg_min(amount, age_days)", "currency", "the last purchase"),
    Feature(
        "amount_cv",
        "stddev_samp(amount) FILTER (is_purchase) / nullif(avg_transaction_amount, 0)",
        "ratio",
        "the spread of amounts over their mean",
    ),
    _purchase("avg_log_amount", "avg(ln(1 + greatest(amount, 0)))", "log currency", "mean log amount of a purchase"),
    # returns
    Feature("nb_returns_90d", "count(*) FILTER (is_cancel AND age_days <= 90)", "returns", "returns in the last 90 days"),
    Feature("nb_returns_365d", "count(*) FILTER (is_cancel AND age_days <= 365)", "returns", "returns in the last 365 days"),
    Feature(
        "returns_share_365d",
        "nb_returns_365d / nullif(nb_transactions_365d, 0)",
        "ratio",
        "returns for each purchase, in the last 365 days",
    ),
    # a purchase model
    Feature(
        "silence_log_odds",
        "purchase_days_total * ln((tenure_days + 30.0) / (tenure_days - days_since_last_transaction + 30.0))",
        "log odds",
        "how unlikely so long a silence is at the customer's own pace",
    ),
    Feature("alive_probability", f"1.0 / (1.0 + {_GONE})", "probability", "BG/NBD: the probability that the customer is still one"),
    Feature(
        "expected_purchases_per_day",
        f"(purchase_days_total - 0.5) / {_AGE} / (1.0 + {_GONE})",
        "purchases per day",
        "BG/NBD: how often the customer will buy",
    ),
)
