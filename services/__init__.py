"""Services: the `rnnlab` command, and whatever else people reach sweeps through."""
