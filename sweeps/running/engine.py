"""Ray: a cluster started here, or one that runs already."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import warnings
from collections.abc import Iterator

from rnnlab.errors import PlaceError

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files for each trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours stops gently
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own restore is not used
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "3600",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # keep large activations between updates: giving them back costs as much as computing them
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
"""What Ray, MLflow and malloc of the driver and its local workers are told, where a person has not."""


def check_address(address: str) -> None:
    """Raises:
    PlaceError: nothing listens at HOST:PORT. Ray itself would try again for minutes.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # `auto`, or a name that Ray resolves
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise PlaceError(
            f"no Ray cluster answers at {address!r} ({error}); start one (`ray start --head`), or leave --address out"
        ) from None


@contextlib.contextmanager
def ray_cluster(address: str | None, workers: int | None) -> Iterator[int]:
    """A Ray cluster, started here or joined; trials that may run at a time."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Ray, about its own defaults
        try:
            ray.init(
                address=address or "local",
                num_cpus=None if address else workers,
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
        except ConnectionError as error:
            raise PlaceError(
                f"no Ray cluster answers at {address!r} ({error}); start one, or leave --address out"
            ) from None
    try:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        yield min(workers or cpus, cpus)
    finally:
        ray.shutdown()
