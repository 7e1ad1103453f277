"""A scored table as Markdown, CSV, LaTeX, HTML and on the terminal: the same numbers everywhere, with the same notes.

In each cell stands the measured mean, its 95 % interval in brackets, and after the slash the number the paper prints.
The CSV has one line per cell.
"""

import csv
import html
import io
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from flag3d_ray.files import write_bytes
from flag3d_ray.home import Home
from flag3d_ray.tables import Metric, ScoredCell, ScoredRow, ScoredTable, Variant, metric

TERMINAL_WIDTH = 120
_LATEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
}
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --quiet: #666; --warn: #8a4b00; --warn-back: #fff3df; }
@media (prefers-color-scheme: dark) { :root { --quiet: #aaa; --warn: #ffc46b; --warn-back: #3a2a10; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, td:last-child, th[scope=rowgroup], th[scope=row] { text-align: left; }
th[scope=row] { font-weight: 500; }
td span { display: block; color: var(--quiet); font-size: .85em; white-space: nowrap; }
.warn { color: var(--warn); background: var(--warn-back); padding: .5rem .8rem; border-radius: .3rem; }
"""


def heading(scored: ScoredTable) -> str:
    """The title with what the numbers were measured on."""
    table = scored.table
    return f"Table {table.number}: {table.title} ({table.dataset} data, {table.preset} preset)"


def warning(scored: ScoredTable) -> str:
    """A sentence that stands above the numbers where they may not be compared with the printed ones, else nothing."""
    table = scored.table
    if not table.incomparable:
        return ""
    return (
        f"{table.incomparable.upper()}. Measured on the data set '{table.dataset}' with the {table.preset} preset; the "
        "numbers after the slash are the paper's, on FLAG3D++, and stand there for orientation only."
    )


def notes(scored: ScoredTable) -> tuple[str, ...]:
    """What a reader needs to understand each number: the data, the seeds, the interval, and each column."""
    table, variant = scored.table, scored.variant
    formula = "the paper's formula" if variant.formula == "paper" else "the formula of the released code"
    lines = [
        f"Data: {table.dataset}, digest {scored.dataset_digest[:12]}, split {scored.split}; {_test_set(scored)}.",
        f"Preset: {table.preset} preset. Metric variant: {formula}, counts {'' if variant.rounded else 'not '}rounded.",
        "Cells: measured mean over clips and seeds [95 % interval] / number printed in the paper; - for none.",
        f"Interval: percentiles of {scored.draws} bootstrap resamples of actions, sequences in them, and seeds; "
        "over few actions it is too narrow, and with 1 seed it leaves out how seeds differ.",
    ]
    lines += [*_excluded(scored), *table.notes]
    lines += _column_notes(scored)
    for row in scored.rows:
        remarks = [row.row.note, row.reason if row.state == "measured" else "", _not_resampled(row)]
        lines += [f"{row.row.label}: {remark}." for remark in remarks if remark]
    return tuple(lines)


def markdown(scored: ScoredTable) -> str:
    """A Markdown page: title, warning, table, notes."""
    head = ["Method", *(f"{column.label} {column.arrow}" for column in _columns(scored)), "Seeds", "Verdict"]
    lines = [_markdown_line(head), _markdown_line(["---", *["---:"] * len(scored.table.metrics), "---", "---"])]
    group = ""
    for row in scored.rows:
        if row.row.group != group:
            group = row.row.group
            lines.append(_markdown_line([f"**{_pipes(group)}**", *[""] * (len(head) - 1)]))
        cells = [f"{_measured(cell)} / {_printed(cell)}" for cell in row.cells]
        lines.append(_markdown_line([_pipes(row.row.label), *cells, row.seeds_label, _pipes(row_verdict(row))]))
    warned = f"**{warning(scored)}**\n\n" if warning(scored) else ""
    remarks = "\n".join(f"- {_pipes(note)}" for note in notes(scored))
    return f"# {heading(scored)}\n\n{warned}" + "\n".join(lines) + f"\n\n{remarks}\n"


def to_csv(scored: ScoredTable) -> str:
    """One line per cell, measured numbers with six decimals, empty where there is none."""
    records = [_csv_record(scored, row, cell) for row in scored.rows for cell in row.cells]
    out = io.StringIO()
    lines = csv.DictWriter(out, records[0] if records else ["cell"], lineterminator="\n")
    lines.writeheader()
    lines.writerows(records)
    return out.getvalue()


def latex(scored: ScoredTable) -> str:
    """A `table*` for a paper that loads booktabs; three lines per cell."""
    columns = _columns(scored)
    width = len(columns) + 3
    head = " & ".join(["Method", *(_tex(f"{column.label} {column.arrow}") for column in columns), "Seeds", "Verdict"])
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table*}", r"\centering", r"\small"]
    lines += [rf"\caption{{{_tex(heading(scored))}}}", rf"\begin{{tabular}}{{l{'r' * len(columns)}ll}}"]
    lines += [r"\toprule", rf"{head} \\", r"\midrule"]
    group = ""
    for row in scored.rows:
        if row.row.group != group:
            group = row.row.group
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textbf{{{_tex(group)}}}}} \\")
        cells = [_latex_cell(cell) for cell in row.cells]
        lines.append(" & ".join([_tex(row.row.label), *cells, _tex(row.seeds_label), _tex(row_verdict(row))]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\footnotesize"]
    lines += [rf"{_tex(note)}\\" for note in (warning(scored), *notes(scored)) if note]
    return "\n".join([*lines, r"\end{table*}", ""])


def to_html(scored: ScoredTable) -> str:
    """A page that needs nothing else: no script, no font, no picture; light or dark as the reader's system is."""
    title = html.escape(heading(scored))
    warned = f'<p class="warn">{html.escape(warning(scored))}</p>' if warning(scored) else ""
    head = "".join(
        f'<th scope="col" title="{html.escape(column.meaning)}">{html.escape(column.label)} {column.arrow}</th>'
        for column in _columns(scored)
    )
    body, group = [], ""
    for row in scored.rows:
        if row.row.group != group:
            group = row.row.group
            body.append(f'<tr><th scope="rowgroup" colspan="{len(row.cells) + 3}">{html.escape(group)}</th></tr>')
        label, verdict = html.escape(row.row.label), html.escape(row_verdict(row))
        cells = "".join(_html_cell(cell) for cell in row.cells)
        body.append(f'<tr><th scope="row">{label}</th>{cells}<td>{row.seeds_label}</td><td>{verdict}</td></tr>')
    remarks = "\n".join(f"<li>{html.escape(note)}</li>" for note in notes(scored))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{warned}\n"
        f'<div class="scroll"><table>\n<thead><tr><th scope="col">Method</th>{head}<th scope="col">Seeds</th>'
        '<th scope="col">Verdict</th></tr></thead>\n<tbody>\n' + "\n".join(body) + "\n</tbody>\n</table></div>\n"
        f"<ul>\n{remarks}\n</ul>\n</body>\n</html>\n"
    )


def terminal(scored: ScoredTable) -> Group:
    """The table for a terminal of 120 columns; a verdict that all rows share stands once, above."""
    shared = {row_verdict(row) for row in scored.rows if row.state == "measured"}
    reasons: dict[str, list[str]] = {}
    grid = Grid(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    grid.add_column("Method", min_width=10, max_width=24)
    for column in _columns(scored):
        grid.add_column(f"{column.label} {column.arrow}", justify="right", no_wrap=True)
    group = ""
    for row in scored.rows:
        if row.row.group != group:
            group = row.row.group
            grid.add_row(Text(group, style="bold"))
        if row.state == "measured":
            says = row.seeds_label if len(shared) == 1 else f"{row.seeds_label}\n{row_verdict(row)}"
        else:
            says = row.state
            reasons.setdefault(row_verdict(row), []).append(row.row.label)
        style = "dim" if row.state == "measured" else "yellow"
        grid.add_row(Text.assemble(row.row.label, (f"\n{says}", style)), *(_terminal_cell(cell) for cell in row.cells))
    parts = [Text(heading(scored), style="bold"), *([Text(warning(scored), style="yellow")] if warning(scored) else [])]
    if len(shared) == 1 and not warning(scored):
        parts.append(Text(f"Verdict of every measured row: {shared.pop()}"))
    why = [Text(f"{reason}: {', '.join(labels)}", style="yellow") for reason, labels in reasons.items()]
    return Group(*parts, grid, *why, Text("\n".join(notes(scored)), style="dim"))


def write(scored: ScoredTable, home: Home) -> tuple[Path, ...]:
    """Write all four files to `home.tables`, each whole or not at all.

    Another metric variant and another exclusion list have files of their own.
    """
    table = scored.table
    stem = f"table{table.number:02d}_{table.preset}_{table.dataset}{_suffix(scored)}"
    texts = {"md": markdown(scored), "csv": to_csv(scored), "tex": latex(scored), "html": to_html(scored)}
    paths = {home.tables / f"{stem}.{ending}": text for ending, text in texts.items()}
    for path, text in paths.items():
        write_bytes(path, text.encode())
    return tuple(paths)


def row_verdict(row: ScoredRow) -> str:
    """One verdict where all cells of the row agree, else one per column; with the reason where nothing was measured."""
    verdicts = {cell.metric: cell.verdict for cell in row.cells}
    if row.state != "measured":
        return row.reason if row.reason.startswith(row.state) else f"{row.state}: {row.reason}"
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    return "; ".join(f"{metric(key, Variant()).label} {verdict}" for key, verdict in verdicts.items())


def _columns(scored: ScoredTable) -> tuple[Metric, ...]:
    return tuple(metric(key, scored.variant) for key in scored.table.metrics)


def _column_notes(scored: ScoredTable) -> list[str]:
    """One line per column, but one for the family of OBO@alpha."""
    lines, alphas = [], [key for key in scored.table.metrics if key.startswith("obo/") and key != "obo/avg"]
    for key in scored.table.metrics:
        column = metric(key, scored.variant)
        label, meaning = column.label, column.meaning
        if key in alphas[1:]:
            continue
        if key in alphas and len(alphas) > 1:
            label = f"{label} to {metric(alphas[-1], scored.variant).label}"
            meaning = meaning.replace(f"<= {key.removeprefix('obo/')}", "<= the number after the @")
        lines.append(f"{label} {column.arrow} ({column.better} is better): {meaning}.")
    return lines


def _test_set(scored: ScoredTable) -> str:
    sizes = {(row.clips, row.sequences, row.actions) for row in scored.rows if row.state == "measured"}
    if not sizes:
        return "nothing measured yet"
    return " or ".join(f"{c} test clips of {s} sequences of {a} actions" for c, s, a in sorted(sizes))


def _not_resampled(row: ScoredRow) -> str:
    """Which levels of the data had one unit only; the number of seeds has its own column."""
    flags = {flag for cell in row.cells if cell.measured for flag in cell.measured.flags} - {"one seed"}
    return f"tested on {' and '.join(sorted(flags))}, which the interval cannot resample" if flags else ""


def _excluded(scored: ScoredTable) -> list[str]:
    if not scored.table.exclude:
        return []
    several = "s" if scored.excluded != 1 else ""
    return [
        f"Excluded: {scored.excluded} sequence{several} of these data, in no part of the split, by the list with the digest "
        f"{scored.table.exclude}."
    ]


def _suffix(scored: ScoredTable) -> str:
    variant, exclude = scored.variant, scored.table.exclude
    without = f"_without_{exclude}" if exclude else ""
    return without + ("" if variant.formula == "paper" else "_released") + ("_rounded" if variant.rounded else "")


def _mean(cell: ScoredCell) -> str:
    return f"{cell.measured.mean:.3f}" if cell.measured else "-"


def _bounds(cell: ScoredCell) -> str:
    return f"[{cell.measured.low:.3f}, {cell.measured.high:.3f}]" if cell.measured else ""


def _measured(cell: ScoredCell) -> str:
    return f"{_mean(cell)} {_bounds(cell)}".strip()


def _printed(cell: ScoredCell) -> str:
    return "-" if cell.published is None else f"{cell.published:.4f}"


def _csv_record(scored: ScoredTable, row: ScoredRow, cell: ScoredCell) -> dict[str, object]:
    table, variant, measured = scored.table, scored.variant, cell.measured
    return {
        "cell": cell.id,
        "method": row.row.method,
        "label": row.row.label,
        "group": row.row.group,
        "metric": cell.metric,
        "better": metric(cell.metric, variant).better,
        "formula": variant.formula,
        "rounded": str(variant.rounded).lower(),
        "measured": f"{measured.mean:.6f}" if measured else "",
        "low": f"{measured.low:.6f}" if measured else "",
        "high": f"{measured.high:.6f}" if measured else "",
        "published": "" if cell.published is None else cell.published,
        "verdict": cell.verdict,
        "state": row.state,
        "reason": row.reason,
        "seeds": row.seeds,
        "clips": row.clips,
        "sequences": row.sequences,
        "actions": row.actions,
        "dataset": table.dataset,
        "dataset_digest": scored.dataset_digest,
        "split": scored.split,
        "preset": table.preset,
        "bootstrap_draws": scored.draws,
        "excluded": scored.excluded,
        "exclusion_list": table.exclude,
    }


def _markdown_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pipes(text: str) -> str:
    """Text safe inside a Markdown table and as HTML, which Markdown passes through."""
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def _tex(text: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in text)


def _latex_cell(cell: ScoredCell) -> str:
    lines = [_mean(cell), rf"{{\scriptsize {_bounds(cell)}}}", rf"{{\scriptsize / {_printed(cell)}}}"]
    return r"\shortstack[r]{" + r"\\".join(lines) + "}"


def _html_cell(cell: ScoredCell) -> str:
    bounds = f"<span>{_bounds(cell)}</span>" if cell.measured else ""
    return f'<td id="{html.escape(cell.id)}">{_mean(cell)}{bounds}<span>/ {_printed(cell)}</span></td>'


def _terminal_cell(cell: ScoredCell) -> Text:
    if cell.measured is None:
        return Text(f"- / {_printed(cell)}", style="dim")
    return Text.assemble((_mean(cell), "bold"), (f"\n{_bounds(cell)}\n/ {_printed(cell)}", "dim"))
