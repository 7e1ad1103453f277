"""What every form of a table says alike: heading, warning, column heads, numbers, notes."""

from collections.abc import Iterator, Sequence

from flag3d_ray.statistics import Interval
from flag3d_ray.tables import Column, Metric, ScoredCell, ScoredRow, ScoredTable, Variant, metric

COLUMNS_ABREAST = 6
"""Columns of numbers that a page or a terminal of 120 columns has room for."""


def heading(scored: ScoredTable) -> str:
    """The title with what the numbers were measured on."""
    table = scored.table
    return f"Table {table.name}: {table.title} ({', '.join(table.tested_on)} data, {table.preset} preset)"


def warning(scored: ScoredTable) -> str:
    """A sentence that stands above the numbers where they may not be compared with the printed ones, else nothing."""
    table = scored.table
    if not table.incomparable:
        return ""
    return (
        f"{table.incomparable.upper()}. Measured on the data set '{table.dataset}' with the {table.preset} preset; the "
        f"numbers after the slash are the paper's, on {table.printed_on}, and stand there for orientation only."
    )


def variant_name(variant: Variant) -> str:
    """`the paper's formula, counts not rounded`."""
    formula = "the paper's formula" if variant.formula == "paper" else "the formula of the released code"
    return f"{formula}, counts {'' if variant.rounded else 'not '}rounded"


def notes(scored: ScoredTable) -> tuple[str, ...]:
    """What a reader needs to understand each number: the data, the seeds, the interval, and each column."""
    table = scored.table
    lines = [
        *_data(scored),
        f"Preset: {table.preset} preset. Metric variant: {variant_name(scored.variant)}.",
        "Cells: measured mean over clips and seeds [95 % interval]"
        + (" / number printed in the paper; - for none." if table.is_printed else "; the paper has no such table.")
        + (" n: test clips of the column." if table.slices else ""),
        f"Interval: percentiles of {scored.draws} bootstrap resamples of actions, sequences in them, and seeds; "
        "over few actions it is too narrow, and with 1 seed it leaves out how seeds differ.",
    ]
    lines += [f"Trained in {' and in '.join(scored.computed)}."] if scored.computed else []
    lines += [*_excluded(scored), *table.notes]
    lines += _metrics(scored)
    for row in scored.rows:
        remarks = [row.row.note, row.reason if row.state == "measured" else ""]
        lines += [f"{row.row.label}: {remark}." for remark in remarks if remark]
    return tuple(dict.fromkeys([*lines, *_not_resampled(scored)]))


def row_verdict(row: ScoredRow) -> str:
    """One verdict where all cells of the row agree, else one per column; with the reason where nothing was measured."""
    verdicts = {cell.column: cell.verdict for cell in row.cells}
    if row.state != "measured":
        return row.reason if row.reason.startswith(row.state) else f"{row.state}: {row.reason}"
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    return "; ".join(f"{label(column)} {verdict}" for column, verdict in verdicts.items())


def meaning(column: Column, scored: ScoredTable) -> Metric:
    """What a column holds under the table's variant."""
    return metric(column.metric, scored.variant)


def label(column: Column) -> str:
    """`MAE`, or `Arm MAE` in a slice."""
    name = metric(column.metric, Variant()).label
    return f"{column.slice.label} {name}" if column.slice else name


def head(column: Column) -> str:
    """The label with the direction that is better: `Arm MAE ↓`."""
    return f"{label(column)} {metric(column.metric, Variant()).arrow}"


def abreast(columns: Sequence[Column]) -> Iterator[range]:
    """Columns in blocks that fit side by side, slices kept whole."""
    slice_width = len({column.metric for column in columns})
    size = COLUMNS_ABREAST if slice_width > COLUMNS_ABREAST else COLUMNS_ABREAST // slice_width * slice_width
    return (range(start, min(start + size, len(columns))) for start in range(0, len(columns), size))


def with_groups(rows: Sequence[ScoredRow]) -> Iterator[tuple[str, ScoredRow]]:
    """Each row, with the name of its group where it is the first of it and else with nothing."""
    group = ""
    for row in rows:
        yield (row.row.group if row.row.group != group else ""), row
        group = row.row.group


def mean(measured: Interval | None) -> str:
    """Three decimals."""
    return f"{measured.mean:.3f}" if measured else "-"


def bounds(measured: Interval | None) -> str:
    """The interval in brackets; nothing where there is none."""
    return f"[{measured.low:.3f}, {measured.high:.3f}]" if measured else ""


def printed(scored: ScoredTable, cell: ScoredCell) -> str:
    """The paper's number after a slash, `/ -` where it has none; nothing in a table of our own."""
    if not scored.table.is_printed:
        return ""
    return "/ -" if cell.published is None else f"/ {cell.published:.4f}"


def clips(cell: ScoredCell) -> str:
    """How many clips, where cells of a row differ in it."""
    return f"n {cell.size.clips}" if cell.column.slice and cell.measured else ""


def _data(scored: ScoredTable) -> list[str]:
    """One line per dataset and split that was tested on."""
    sizes: dict[tuple[str, str, str], set[tuple[int, int, int]]] = {}
    rows = [row for row in scored.rows if row.row.runs] or scored.rows
    for row in rows:
        source, size = row.source, row.size
        found = sizes.setdefault((source.dataset, source.digest, source.split), set())
        if row.state == "measured":
            found.add((size.clips, size.sequences, size.actions))
    lines = []
    for (dataset, digest, split), found in sizes.items():
        counted = " or ".join(f"{c} test clips of {s} sequences of {a} actions" for c, s, a in sorted(found))
        where = [dataset, f"digest {digest[:12]}" if digest else "not here", *([f"split {split}"] if split else [])]
        lines.append(f"Data: {', '.join(where)}; {counted or 'nothing measured yet'}.")
    return lines


def _metrics(scored: ScoredTable) -> list[str]:
    """One line per metric, but one for the family of OBO@alpha."""
    lines, alphas = [], [key for key in scored.table.metrics if key.startswith("obo/") and key != "obo/avg"]
    for key in scored.table.metrics:
        column = metric(key, scored.variant)
        name, said = column.label, column.meaning
        if key in alphas[1:]:
            continue
        if key in alphas and len(alphas) > 1:
            name = f"{name} to {metric(alphas[-1], scored.variant).label}"
            said = said.replace(f"<= {key.removeprefix('obo/')}", "<= the number after the @")
        lines.append(f"{name} {column.arrow} ({column.better} is better): {said}.")
    return lines


def _not_resampled(scored: ScoredTable) -> list[str]:
    """Which levels of the data had one unit only, by row or by slice; the number of seeds has its own column."""
    found: dict[str, dict[str, None]] = {}
    for row in scored.rows:
        for cell in row.cells:
            flags = sorted({*(cell.measured.flags if cell.measured else ())} - {"one seed"})
            if flags:
                who = cell.column.slice.label if cell.column.slice else row.row.label
                found.setdefault(" and ".join(flags), {})[who] = None
    said = "which the interval cannot resample"
    return [f"{', '.join(who)}: tested on {flags}, {said}." for flags, who in found.items()]


def _excluded(scored: ScoredTable) -> list[str]:
    if not scored.table.exclude:
        return []
    several = "s" if scored.excluded != 1 else ""
    return [
        f"Excluded: {scored.excluded} sequence{several} of these data, in no part of the split, by the list with the digest "
        f"{scored.table.exclude}."
    ]
