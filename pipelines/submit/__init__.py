"""The command submit: runs a compiled spec. It reads specs, never pipeline code."""
