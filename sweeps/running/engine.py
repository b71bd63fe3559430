"""Ray: a cluster started here, or one that runs already."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator

from rnnlab.errors import PlaceError
from sweeps.running.nodes import alive
from sweeps.running.resources import ResourcesSpec

LOOK_EVERY = 1.0
"""Seconds between two looks whether the cluster's head is there."""
LOST_AFTER = 10.0
"""Seconds without its head after which a cluster is lost; Ray ends the driver without a word after 60."""

STARTS_WITHIN = 30
"""Seconds that Ray gives its own daemons to come up; it takes no other number."""

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
def ray_cluster(address: str | None, workers: int | None, resources: ResourcesSpec) -> Iterator[int]:
    """A Ray cluster, started here or joined; trials that it has room for at a time, now.

    Raises:
        PlaceError: none answers, or none of its nodes could ever run a trial.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.exceptions import RayError

    # trials at a time are what a person counts; more processors for each than there are is refused below
    here = workers * resources.cpus if workers and resources.cpus <= (os.cpu_count() or 1) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Ray, about its own defaults
        # a terminal that closes tells all processes in it: Ray's own must live until the driver has recorded the end
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            ray.init(
                address=address or "local",
                num_cpus=None if address else here,
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
        except (ConnectionError, TimeoutError, RuntimeError, RayError) as error:
            raise _no_ray(address, error) from error
        except Exception as error:
            if type(error) is not Exception:  # what Ray raises where its daemons do not come up in time
                raise
            raise _no_ray(address, error) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        nodes = alive()
        resources.check_fits(nodes)
        slots = sum(resources.fitting(node["Resources"]) for node in nodes)
        yield min(workers or slots, slots)
    finally:
        ray.shutdown()


def _no_ray(address: str | None, error: Exception) -> PlaceError:
    """What to do where Ray did not start, or could not be joined."""
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if address is not None:
        return PlaceError(f"no Ray cluster answers at {address!r} ({said}); start one, or leave --address out")
    return PlaceError(
        f"Ray must come up on this machine, which it has {STARTS_WITHIN} s for, but: {said} Nothing has begun: run the "
        "same command again once the machine does less, or start Ray by itself (`ray start --head`) and name it with "
        "--address HOST:PORT"
    )


@contextlib.contextmanager
def watching(lost: Callable[[str], None]) -> Iterator[None]:
    """Look at the cluster's head, in a thread; where it stays away, tell `lost` its address and end this process.

    Nothing gentler is left: without a head every call of Ray waits, and its own core ends the process later.
    """
    import ray

    address = str(ray.get_runtime_context().gcs_address)
    host, _, port = address.rpartition(":")
    over = threading.Event()

    def look() -> None:
        seen = time.monotonic()
        while not over.wait(LOOK_EVERY):
            try:
                socket.create_connection((host, int(port)), timeout=LOST_AFTER / 2).close()
                seen = time.monotonic()
            except OSError:
                if time.monotonic() - seen > LOST_AFTER and not over.is_set():
                    with contextlib.suppress(Exception):
                        lost(address)
                    sys.stderr.flush()
                    os._exit(1)

    thread = threading.Thread(target=look, name="cluster", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
