"""`flag3d data layouts`: the joint layouts, what becomes what, and a picture of each skeleton."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flag3d_ray.commands.options import wide_console
from flag3d_ray.errors import DataError

if TYPE_CHECKING:
    from flag3d_ray.skeleton import Layout


def layouts(
    png: Annotated[Path | None, typer.Option("--png", help="Draw all skeletons here.", show_default="none")] = None,
    source: Annotated[str, typer.Option("--from", help="With --to: the layout that is converted.")] = "",
    target: Annotated[str, typer.Option("--to", help="With --from: the layout that it becomes.")] = "",
) -> None:
    """List the joint layouts and what each can become; with --from and --to, where every joint comes from.

    Example: flag3d data layouts --from cmu31 --to flag3d24
    """
    from flag3d_ray.skeleton import layout

    if bool(source) != bool(target):
        where = f"--from {source}" if source else f"--to {target}"
        raise DataError(where=where, rule="half of a conversion", remedy="give both --from and --to, or neither")
    console = wide_console()
    if source:
        _print_conversion(console, layout(source), layout(target))
    else:
        console.print(table_of())
    if png is not None:
        from flag3d_ray.viz.skeleton_plot import layouts_plot

        layouts_plot(png)
        console.print(f"written: {png}", soft_wrap=True, highlight=False)


def table_of() -> Table:
    """One line per layout."""
    from flag3d_ray.data.layout_conversion import targets
    from flag3d_ray.data.readers.open_format_joints import is_image
    from flag3d_ray.skeleton import LAYOUTS

    grid = Table(box=None, pad_edge=False)
    for head in ("layout", "joints", "in", "root", "becomes"):
        grid.add_column(head, justify="right" if head == "joints" else "left", overflow="fold")
    for known in LAYOUTS:
        unit = "pixels" if is_image(known) else "metres"
        names = ", ".join(target.name for target in targets(known))
        grid.add_row(known.name, str(len(known)), unit, known.joints[known.root], names or "-")
    return grid


def conversion_table(source: "Layout", target: "Layout") -> Table:
    """One line per joint of the target: its number, name, kind and origin.

    Raises:
        DataError: the source cannot become the target.
    """
    from flag3d_ray.data.layout_conversion import joint_map

    by = joint_map(source, target)
    grid = Table(box=None, pad_edge=False)
    for head in ("", target.name, "how", f"from {by.basis.name}"):
        grid.add_column(head, justify="left" if head else "right", overflow="fold")
    for number, origin in enumerate(by.origins):
        grid.add_row(str(number), origin.joint, origin.kind, str(origin))
    return grid


def _print_conversion(console: Console, source: "Layout", target: "Layout") -> None:
    from flag3d_ray.data.layout_conversion import joint_map

    console.print(conversion_table(source, target))
    by = joint_map(source, target)
    console.print(f"{len(by.interpolated)} of {len(target)} joints are interpolated", highlight=False)
    if by.basis != source:
        words = f"constructed: markers become the joints of {by.basis.name} as docs/layouts.md says"
        console.print(words, soft_wrap=True, highlight=False)
