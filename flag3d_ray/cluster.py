"""Starting and leaving Ray: token authentication on, loopback only, no dashboard, no colourful logs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flag3d_ray.errors import RunError
from flag3d_ray.run import OBJECT_STORE_BYTES, Resources

# Read by Ray when it is imported or when a process starts, hence set before the import below.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends the launch; runs continue when asked again

import ray


@contextmanager
def cluster(resources: Resources) -> Iterator[None]:
    """A Ray cluster for the block: a local one that ends with it, or the one at `resources.address`.

    Raises:
        RunError: the cluster at that address cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    try:
        _start(resources)
    except ConnectionError as error:
        remedy = "start it with `ray start --head`, or leave --address out for a local one"
        raise RunError(where=f"Ray at {resources.address}", rule=str(error), remedy=remedy) from error
    try:
        yield
    finally:
        ray.shutdown()


def _start(resources: Resources) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if resources.address != "local":
        ray.init(address=resources.address, **quiet)
        return
    ray.init(
        address="local",
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        **quiet,
    )
