"""Starting and leaving Ray: token authentication on, loopback only, no dashboard, no colourful logs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from flag3d_ray.errors import RunError
from flag3d_ray.run import OBJECT_STORE_BYTES, Resources


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
