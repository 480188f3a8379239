"""What CI does beside tests: advisories, bills of materials, the count of tests. Nothing of it is in an image."""
