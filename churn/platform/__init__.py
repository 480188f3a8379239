"""Under all stages: errors, whole files and locks, storage, settings, notification. Nothing of churn in it."""
