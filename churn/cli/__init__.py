"""The command churn: one file a command, each stage imported when it is needed."""
