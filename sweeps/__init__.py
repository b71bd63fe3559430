"""Sweeps: spaces searched by Optuna, trained by Ray Tune, recorded in MLflow and the lab database."""
