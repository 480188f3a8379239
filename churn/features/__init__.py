"""Who counts, when, and what was known then."""
