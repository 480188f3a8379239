"""The prediction server for one model directory."""
