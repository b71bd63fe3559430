"""The `rnnlab` command."""
