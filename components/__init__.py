"""KFP components, one a file: a typed signature, a docstring, and one call into churn/."""
