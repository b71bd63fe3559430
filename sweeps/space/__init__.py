"""The space of choices: dimensions, their conditions, what Optuna picks, and the trial that a pick means."""
