"""HL-GCN training step: fast formulation against the plain one, with the same weights and the same input.

Equality in float64 comes first, of outputs and of input gradients, to 1e-10; no time is printed without it. Then both
take turns for a number of rounds on one thread; the medians of process CPU time and their ratio are printed.

    python benchmarks/formulation.py --widths 8 16 16 8 --frames 64 --batch 32
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from flag3d_ray.models.graph import adjacency
from flag3d_ray.models.hlgcn import HLGCN
from flag3d_ray.models.hlgcn_plain import PlainHLGCN, merge
from flag3d_ray.skeleton import FLAG3D24

TOLERANCE = 1e-10


def pair(widths: tuple[int, ...]) -> tuple[PlainHLGCN, HLGCN]:
    """The two formulations of one network with multiplication."""
    graph_3VV = adjacency(FLAG3D24)
    plain, fast = PlainHLGCN(graph_3VV, 3, widths), HLGCN(graph_3VV, 3, widths)
    nn.init.constant_(plain.norm.bias, 0.1)
    fast.load_state_dict(merge(plain.state_dict()))
    return plain, fast


def inputs(batch: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Joints, text points and their validity."""
    joints_BTVC = torch.randn(batch, frames, len(FLAG3D24), 3)
    return joints_BTVC, torch.randn(batch, 1, len(FLAG3D24)), torch.ones(batch, 1, dtype=torch.bool)


def check_equality(widths: tuple[int, ...]) -> float:
    """Largest difference in float64 relative to the largest value, over outputs and input gradients.

    Raises:
        SystemExit: the difference exceeds the tolerance.
    """
    joints_BTVC, points_BLV, valid_BL = inputs(2, 16)
    results = []
    for network in pair(widths):
        leaf_BTVC = joints_BTVC.double().requires_grad_()
        features_BTF = network.double()(leaf_BTVC, points_BLV.double(), valid_BL)
        features_BTF.square().sum().backward()
        assert leaf_BTVC.grad is not None
        results.append((features_BTF.detach(), leaf_BTVC.grad))
    worst = max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(*results, strict=True))
    if worst > TOLERANCE:
        raise SystemExit(f"the formulations differ by {worst:.1e} > {TOLERANCE:.0e}: no time is reported")
    return worst


def training_step(network: nn.Module, batch: int, frames: int, half: bool) -> Callable[[], None]:
    """Forward, backward and a fused Adam update on fixed random input."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    joints_BTVC, points_BLV, valid_BL = inputs(batch, frames)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = network(joints_BTVC, points_BLV, valid_BL).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def alternate(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each step, the steps taking turns, after one untimed turn each."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 16, 8])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bfloat16", action="store_true", help="run both under bfloat16 autocast")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    widths = tuple(arguments.widths)
    print(f"equal in float64 to {check_equality(widths):.1e} of the largest value")
    plain, fast = pair(widths)
    steps = {
        name: training_step(network, arguments.batch, arguments.frames, arguments.bfloat16)
        for name, network in (("plain", plain), ("fast", fast))
    }
    medians = {name: statistics.median(values) for name, values in alternate(steps, arguments.rounds).items()}
    for name, seconds in medians.items():
        print(f"{name:6s}{seconds * 1e3:9.1f} ms per step {arguments.batch / seconds:9.1f} clips/s of CPU time")
    print(f"fast over plain: {medians['plain'] / medians['fast']:.2f}x")


if __name__ == "__main__":
    main()
