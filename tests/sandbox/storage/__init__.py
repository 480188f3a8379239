"""Cloud Storage: buckets in memory, and the JSON API before them."""
