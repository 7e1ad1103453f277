"""Starting and leaving Ray: loopback only, token authentication on, no dashboard, no colourful logs."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray.exceptions import AuthenticationError

from flag3d_ray.errors import RunError
from flag3d_ray.interruption import own_signals
from flag3d_ray.ray_token import MODE, prepare_token, token_file, token_is_on
from flag3d_ray.run import OBJECT_STORE_BYTES, Resources

# Ray ends idle processes beyond one per CPU after a second. Tasks that take a quarter of one (`data.stream`) are then started
# again and again, four seconds each: 106 processes in 16 minutes of a stream.
PROCESSES_PER_CPU = 4


@contextmanager
def cluster(
    resources: Resources, say: Callable[[str], None] = lambda text: print(text, file=sys.stderr)
) -> Iterator[None]:
    """A Ray cluster for the block: a local one that ends with it, or the one at `resources.address`.

    Its processes ask each other, and every caller, for the token of `ray_token`; `say` gets a sentence where the user
    switched that off or where others could read the token.

    Raises:
        RunError: the cluster at that address cannot be reached or has another token, or the token cannot be kept secret.
    """
    if ray.is_initialized():
        yield
        return
    for line in prepare_token(create=resources.address == "local"):
        say(line)
    _require_token_in_this_process()
    try:
        with own_signals():  # Ray would end the driver at SIGTERM with exit code 15
            _start(resources)
    except AuthenticationError as error:
        remedy = f"copy the token of its head to {token_file()}, with mode 0600"
        raise RunError(where=f"Ray at {resources.address}", rule="it has another token", remedy=remedy) from error
    except ConnectionError as error:
        remedy = "start it with `ray start --head`, or leave --address out for a local one"
        raise RunError(where=f"Ray at {resources.address}", rule=str(error), remedy=remedy) from error
    try:
        yield
    finally:
        ray.shutdown()


def size(address: str) -> tuple[int, int]:
    """How many CPUs and GPUs the cluster at an address has now.

    Raises:
        RunError: see `cluster`.
    """
    with cluster(Resources(address=address)):
        found = ray.cluster_resources()
    return int(found.get("CPU", 0)), int(found.get("GPU", 0))


def _require_token_in_this_process() -> None:
    """Ray reads the mode once, when it is imported; a driver that read another one could not talk to its own cluster."""
    if token_is_on() and not is_token_auth_enabled():
        rule = f"it was imported before {MODE}=token was set, and would not show the token"
        raise RunError(where="Ray", rule=rule, remedy="import flag3d_ray before ray, or set the variable before Python")


def _start(resources: Resources) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if resources.address != "local":
        ray.init(address=resources.address, **quiet)
        return
    with _on_this_machine_only():
        ray.init(
            address="local",
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _system_config={"num_workers_soft_limit": PROCESSES_PER_CPU * resources.cpus},
            **quiet,
        )


@contextmanager
def _on_this_machine_only() -> Iterator[None]:
    """A cluster that starts in the block binds its ports to 127.0.0.1.

    Ray binds to every address, whatever address it is given, but on the systems where it starts no clusters of several
    machines. A local cluster has one machine on Linux too. A driver that joins a cluster must not be told so, hence a
    block and no variable of the environment (`tests/test_ray_ports.py` looks at every port).
    """
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
