"""Whether this machine can do what the project asks of it: findings in words, each with its remedy.

Ray is not started, the hub is not asked, and torch and MLflow are read about rather than imported: importing both takes
longer than everything else here together.
"""

from collections.abc import Callable, Iterable
from functools import partial

from flag3d_ray.doctor import content, listening, machine, network, remote_home
from flag3d_ray.doctor.check import Check, State
from flag3d_ray.home import Home

__all__ = ["Check", "State", "checks"]

Probe = Callable[[], Iterable[Check]]


def checks(home: Home) -> list[Check]:
    """Everything worth knowing before a launch, machine first, then `home`. Nothing is created or changed."""
    probes: tuple[tuple[str, Probe], ...] = (
        ("python", machine.python),
        ("packages", machine.packages),
        ("accelerator", machine.accelerator),
        ("cores", machine.cores),
        ("memory", machine.memory),
        ("shared memory", machine.shared_memory),
        ("figures", machine.figures),
        ("text encoders", content.text_encoders),
        ("ray", partial(network.ray_address, network.ray_address_file())),
        ("ray token", network.ray_token),
        ("ports", lambda: network.ports(listening.listeners())),
        ("home", partial(remote_home.place, home) if home.is_remote else partial(machine.writable, home.local)),
        ("disk", partial(machine.disk, home.local)),
        ("tracking", partial(content.tracking, home.mlflow_uri)),
        ("datasets", partial(remote_home.datasets, home) if home.is_remote else partial(content.datasets, home.data)),
    )
    return [check for name, probe in probes for check in _guarded(name, probe)]


def _guarded(name: str, probe: Probe) -> list[Check]:
    """A probe that breaks is a finding; the others still answer."""
    try:
        return list(probe())
    except Exception as error:
        return [Check(name, "fail", f"could not be checked: {type(error).__name__}: {error}", "report this as a bug")]
