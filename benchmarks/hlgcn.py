"""HL-GCN training step: our fast formulation, the plain one, and a straightforward 2s-AGCN-style network, in one run.

Fast and plain are one network with the same weights and input: equality in float64 comes first, of outputs and of input
gradients, to 1e-10, and no time is printed without it. Then all take turns for a number of rounds, on one thread or on the
GPU; medians of a step and their ratios are printed. The 2s-AGCN-style network does less (no text, no attention).

    python -m benchmarks.hlgcn --widths 8 16 16 8 --frames 64 --batch 32
    python -m benchmarks.hlgcn --device cuda --bfloat16 --widths 64 128 256 128 64 16 --frames 128 --batch 256
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.agcn_block import AGCN
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


def training_step(network: nn.Module, batch: int, frames: int, device: torch.device, half: bool) -> Callable[[], None]:
    """Forward, backward and a fused Adam update on fixed random input."""
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    joints_BTVC, points_BLV, valid_BL = (tensor.to(device) for tensor in inputs(batch, frames))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = network(joints_BTVC, points_BLV, valid_BL).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds_of(step: Callable[[], None], device: torch.device) -> float:
    """CPU seconds of this process, or wall seconds until the GPU is done."""
    if device.type == "cpu":
        began = time.process_time()
        step()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def alternate(steps: dict[str, Callable[[], None]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each step, the steps taking turns, after three untimed turns each."""
    for step in list(steps.values()) * 3:
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(seconds_of(step, device))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 16, 8])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bfloat16", action="store_true", help="run all under bfloat16 autocast")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    widths = tuple(arguments.widths)
    print(f"equal in float64 to {check_equality(widths):.1e} of the largest value")
    plain, fast = pair(widths)
    device = torch.device(arguments.device)
    networks = {"2s-AGCN": AGCN(adjacency(FLAG3D24), 3, widths), "plain": plain, "fast": fast}
    steps = {
        name: training_step(network, arguments.batch, arguments.frames, device, arguments.bfloat16)
        for name, network in networks.items()
    }
    medians = {name: statistics.median(values) for name, values in alternate(steps, arguments.rounds, device).items()}
    for name, seconds in medians.items():
        ratio = medians["fast"] / seconds
        clips = arguments.batch / seconds
        print(f"{name:8s}{seconds * 1e3:9.1f} ms per step {clips:9.1f} clips/s   {1 / ratio:5.2f} x the time of fast")


if __name__ == "__main__":
    main()
