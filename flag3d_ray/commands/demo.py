"""`flag3d demo`: the platform in one command."""

import time

from rich.console import Console

from flag3d_ray.commands.launch import Launch, interruptible, resources, summary
from flag3d_ray.commands.options import ConcurrentOption, HomeOption, TrackOption
from flag3d_ray.commands.tables import print_found
from flag3d_ray.home import Home


def demo(
    concurrent: ConcurrentOption = 0,
    track: TrackOption = True,
    home: HomeOption = None,
) -> None:
    """Run the language ablation of HL-RAC on a local Ray, search the same space, and print Table 3's rows.

    It shows the platform, not the model's best: synthetic data, 64 frames, a very small network. A second call answers
    from the store.

    Example: flag3d demo
    """
    from flag3d_ray import declarations, render
    from flag3d_ray.scoring import score
    from flag3d_ray.search import search

    console, began = Console(), time.monotonic()
    launch = Launch(Home.at(home), resources("ray", 1, concurrent, "local"), console, track)
    declared = declarations.demo()
    ablation, table3 = declared.ablation(), declared.table()
    with interruptible(console):
        console.rule("1  Ablation: fusion x text encoder x caption level, 18 arms, none stopped early")
        runs = [*ablation.runs(), *table3.runs()]
        console.print(summary(launch.ensure(runs, "HL-RAC's language ablation", ablation.name)))
        console.rule("2  Optuna searches the same space; its trials answer from the store")
        print_found(console, search(declared.sweep(), launch.home, launch.resources, stop_early=False))
    console.rule("3  Table 3")
    scored = score(table3, launch.home)
    console.print(render.terminal(scored))
    for path in render.write(scored, launch.home):
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
    console.print(f"done in {time.monotonic() - began:.0f} s; `flag3d ui` opens the runs in MLflow")
