"""From feature tables to a model directory."""
