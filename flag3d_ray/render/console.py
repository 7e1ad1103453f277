"""A scored table on a terminal of 120 columns."""

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from flag3d_ray.render.wording import (
    abreast,
    bounds,
    clips,
    head,
    heading,
    mean,
    notes,
    printed,
    row_verdict,
    warning,
    with_groups,
)
from flag3d_ray.tables import ScoredCell, ScoredRow, ScoredTable


def terminal(scored: ScoredTable) -> Group:
    """The table, wide ones in blocks of columns; a verdict that all rows share stands once, above."""
    verdicts = {row_verdict(row) for row in scored.rows if row.state == "measured"}
    parts = [Text(heading(scored), style="bold"), *([Text(warning(scored), style="yellow")] if warning(scored) else [])]
    if len(verdicts) == 1 and scored.table.is_printed and not warning(scored):
        parts.append(Text(f"Verdict of every measured row: {next(iter(verdicts))}"))
    grids = [_grid(scored, block, shared=len(verdicts) == 1) for block in abreast(scored.table.columns)]
    reasons: dict[str, list[str]] = {}
    for row in scored.rows:
        if row.state != "measured":
            reasons.setdefault(row_verdict(row), []).append(row.row.label)
    why = [Text(f"{reason}: {', '.join(labels)}", style="yellow") for reason, labels in reasons.items()]
    return Group(*parts, *grids, *why, Text("\n".join(notes(scored)), style="dim"))


def _grid(scored: ScoredTable, block: range, *, shared: bool) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    grid.add_column("Method", min_width=10, max_width=24)
    for number in block:
        grid.add_column(_stacked(head(scored.table.columns[number])), justify="right", no_wrap=True)
    for group, row in with_groups(scored.rows):
        if group:
            grid.add_row(Text(group, style="bold"))
        grid.add_row(_name(row, shared=shared), *(_cell(scored, row.cells[number]) for number in block))
    return grid


def _stacked(label: str) -> str:
    """The metric below the slice: `Neck & Abdomen MAE ↓` would be wider than the numbers."""
    words = label.rsplit(" ", 2)
    return "\n".join([words[0], " ".join(words[1:])]) if len(words) > 2 else label


def _name(row: ScoredRow, *, shared: bool) -> Text:
    if row.state != "measured":
        return Text.assemble(row.row.label, (f"\n{row.state}", "yellow"))
    said = row.seeds_label if shared else f"{row.seeds_label}\n{row_verdict(row)}"
    return Text.assemble(row.row.label, (f"\n{said}", "dim"))


def _cell(scored: ScoredTable, cell: ScoredCell) -> Text:
    if cell.measured is None:
        return Text(f"- {printed(scored, cell)}".strip(), style="dim")
    small = "\n".join(part for part in (bounds(cell.measured), clips(cell), printed(scored, cell)) if part)
    return Text.assemble((mean(cell.measured), "bold"), (f"\n{small}", "dim"))
