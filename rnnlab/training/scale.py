"""The range of a score, without the rest of training: a command that shows scores loads no numpy."""

LOWEST, HIGHEST = -4.0, 2.0
"""Range of a score; a diverged replicate has the highest."""
