"""Recording: one process per sweep that takes points from all workers and writes MLflow."""
