"""The domain library: purchase history in, a gated and deployed churn model out. Plain Python, no kfp."""
