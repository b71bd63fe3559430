"""Workers that import what a trial needs while the driver still imports what it needs itself.

On two cores the first trial begins seconds earlier: without it the workers would begin to import when they are given one.
"""

from __future__ import annotations


def warm(workers: int, cpus: int) -> None:
    """Let that many workers of this machine import torch and what else trains; Ray gives the trials to them.

    Args:
        workers: trials at a time. cpus: of a trial; a worker is Ray's only while it may use them.
    """
    import ray

    load = ray.remote(num_cpus=cpus, max_retries=0)(_load)
    for _ in range(workers):
        load.remote()


def _load() -> None:
    import sweeps.running.trainable  # noqa: F401
