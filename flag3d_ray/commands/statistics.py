"""`flag3d table 2`: the datasets at hand beside the printed ones, with their distributions as pictures."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flag3d_ray.errors import DataError
from flag3d_ray.home import Home

if TYPE_CHECKING:
    from flag3d_ray.data.summary import Summary

COLUMNS = tuple(f"{name}/{field}" for name in ("duration", "count") for field in ("mean", "std", "min", "max"))
NOTES = (
    "duration in seconds, count in repetitions per sequence; std is the population's.",
    "Sequences without annotated repetitions have a duration and no count.",
    "Synthetic data are made to resemble the row FLAG3D++ and prove nothing about it.",
)


def statistics(home: Home, console: Console, names: Sequence[str] = ()) -> None:
    """Print Table 2 with a measured row per dataset of the home (or per named one), and write it with its pictures.

    Raises:
        DataError: there is no dataset, or a named one is not there; after the others were shown, some are damaged.
    """
    from flag3d_ray.data.catalogue import require
    from flag3d_ray.declarations import statistics as declared
    from flag3d_ray.files import write_bytes
    from flag3d_ray.viz.distribution_plot import write_distributions

    names = names or home.datasets()
    if not names:
        raise DataError(where=str(home.data), rule="no dataset here", remedy="flag3d data make synthetic")
    for name in names:
        require(name, home.dataset(name))
    summaries, damages = _summaries(home, names)
    printed = {row.label: row.metrics for row in declared().printed_rows()}
    console.print(_grid(printed, summaries))
    for note in NOTES:
        console.print(note, style="dim")
    home.tables.mkdir(parents=True, exist_ok=True)
    target = home.tables / "table02.csv"
    write_bytes(target, to_csv(printed, summaries).encode())
    paths = [target]
    for summary in summaries:
        beside = declared().printed_beside(summary.name)
        paths.append(home.tables / f"table02_{summary.name}.png")
        write_distributions(summary, beside.metrics if beside else {}, paths[-1])
    for path in paths:
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
    if damages:
        raise _together(damages)


def _summaries(home: Home, names: Sequence[str]) -> "tuple[list[Summary], dict[str, DataError]]":
    """What can be read, in the order of the names, and what is wrong with the rest by its name."""
    from flag3d_ray.data.dataset import open_dataset
    from flag3d_ray.data.summary import summarise

    summaries, damages = [], {}
    for name in names:
        try:
            summaries.append(summarise(open_dataset(home.dataset(name))))
        except DataError as error:
            damages[name] = error
    return summaries, damages


def _together(damages: "Mapping[str, DataError]") -> DataError:
    """One error that names every damaged dataset with its remedy."""
    return DataError(
        where=f"table 2 is without {', '.join(damages)}",
        rule="; ".join(f"{error.where}: {error.rule}" for error in damages.values()),
        remedy="; ".join(dict.fromkeys(error.remedy for error in damages.values())),
    )


def to_csv(printed: Mapping[str, Mapping[str, float]], summaries: Sequence["Summary"]) -> str:
    """One line per dataset, printed ones first."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["dataset", "source", "sequences", "repetitions", *COLUMNS])
    for label, metrics in printed.items():
        lines.writerow([label, "paper", "", "", *(metrics[column] for column in COLUMNS)])
    for summary in summaries:
        metrics = summary.metrics()
        values = (f"{metrics[column]:.4f}" if column in metrics else "" for column in COLUMNS)
        lines.writerow([summary.name, "measured", summary.sequences, summary.repetitions, *values])
    return out.getvalue()


def _grid(printed: Mapping[str, Mapping[str, float]], summaries: Sequence["Summary"]) -> Table:
    grid = Table(title="Table 2: Sequence statistics", title_justify="left", box=None, pad_edge=False)
    grid.add_column("Dataset")
    for head in ("sequences", *(column.replace("/", " ") for column in COLUMNS)):
        grid.add_column(head, justify="right")
    for label, metrics in printed.items():
        grid.add_row(label, "paper", *(f"{metrics[column]:.2f}" for column in COLUMNS), style="dim")
    for summary in summaries:
        metrics = summary.metrics()
        cells = (f"{metrics[column]:.2f}" if column in metrics else "-" for column in COLUMNS)
        grid.add_row(summary.name, str(summary.sequences), *cells)
    return grid
