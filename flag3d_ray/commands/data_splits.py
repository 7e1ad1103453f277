"""`flag3d data splits`: list a dataset's splits, show who is where, and draw one more."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flag3d_ray.commands.options import HomeOption, plain_console, printable
from flag3d_ray.errors import DataError
from flag3d_ray.home import Home

DRAWN = ("by_action", "by_person")


def splits(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    draw: Annotated[str, typer.Option("--draw", help="Draw a further split: by_action or by_person.")] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="List the values of each part.")] = False,
    home: HomeOption = None,
) -> None:
    """List the stored splits of a dataset: what they hold apart, how they were drawn, how many sequences each part has.

    A drawn split is stored as by_action-SEED or by_person-SEED and never changes one that is there.

    Example: flag3d data splits synthetic --draw by_person --seed 3
    """
    from flag3d_ray.data.catalogue import require

    console, place = plain_console(), Home.at(home)
    folder = place.dataset(dataset)
    require(dataset, folder)
    if draw:
        console.print(f"written: {draw_split(folder, draw, seed)}", soft_wrap=True, highlight=False)
        place.share_lists(dataset)
    console.print(table_of(folder, full=full))


def draw_split(folder: Path, kind: str, seed: int) -> Path:
    """Draw a split by seed and store it as KIND-SEED; one that is there already stays.

    Raises:
        DataError: another kind, the split is there, or the dataset has too few actions or people.
    """
    from dataclasses import replace

    from flag3d_ray.data.dataset import open_dataset
    from flag3d_ray.data.splits import split_by_action, split_by_person, write_split

    if kind not in DRAWN:
        raise DataError(where=f"--draw {kind}", rule="unknown kind of split", remedy=f"use {' or '.join(DRAWN)}")
    name = f"{kind}-{seed}"
    path = folder / "splits" / f"{name}.json"
    if path.exists():
        raise DataError(
            where=str(path), rule="exists already", remedy="choose another --seed; stored splits never change"
        )
    index = open_dataset(folder).index
    rows = [row for row in index.select(["action_id", "body_part", "subject", "source"]).to_pylist()]
    drawn = [row for row in rows if row["source"] != "procedural"]
    if kind == "by_action":
        split = split_by_action({row["action_id"]: row["body_part"] for row in drawn}, seed)
    else:
        split = split_by_person([row["subject"] for row in drawn], seed)
    write_split(folder, replace(split, name=name))
    return path


def table_of(folder: Path, *, full: bool = False) -> Table:
    """One line per split and part.

    Raises:
        DataError: a split is damaged, or leaves out or invents what the dataset has.
    """
    from flag3d_ray.data.dataset import open_dataset
    from flag3d_ray.data.splits import PARTS, load_split, split_indices

    opened = open_dataset(folder)
    grid = Table(box=None, pad_edge=False)
    for head in ("split", "apart by", "part", "values", "sequences", "seed", "rule"):
        grid.add_column(head, justify="right" if head in ("values", "sequences", "seed") else "left", overflow="fold")
    for path in sorted((folder / "splits").glob("*.json")):
        split = load_split(folder, path.stem)
        for part in PARTS:
            first = part == PARTS[0]
            values, rows = split.values(part), split_indices(opened, split.name, part)
            shown = printable(", ".join(values)) if full else str(len(values))
            facts = (printable(split.name), split.by) if first else ("", "")
            grid.add_row(
                *facts, part, shown, str(len(rows)), *((str(split.seed), printable(split.rule)) if first else ("", ""))
            )
    return grid
