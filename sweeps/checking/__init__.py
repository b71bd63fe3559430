"""Checking a sweep: do the lab database, MLflow and the files say the same, and mending what can be mended."""
