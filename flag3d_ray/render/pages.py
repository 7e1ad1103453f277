"""A scored table as files: Markdown, CSV, LaTeX and HTML."""

import base64
import csv
import html
import io
from collections.abc import Sequence

from flag3d_ray.figures import Picture
from flag3d_ray.render.wording import (
    abreast,
    bounds,
    clips,
    head,
    heading,
    mean,
    meaning,
    notes,
    printed,
    row_verdict,
    variant_name,
    warning,
    with_groups,
)
from flag3d_ray.tables import ScoredCell, ScoredRow, ScoredTable, metric

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
# Should a text ever get past the escaping, the browser still runs and fetches nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --quiet: #666; --warn: #8a4b00; --warn-back: #fff3df; }
@media (prefers-color-scheme: dark) { :root { --quiet: #aaa; --warn: #ffc46b; --warn-back: #3a2a10; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, th:last-child, td:last-child, th[scope=rowgroup], th[scope=row] { text-align: left; }
th[scope=row] { font-weight: 500; }
td span { display: block; color: var(--quiet); font-size: .85em; white-space: nowrap; }
figure { margin: 2rem 0; }
figure img { max-width: 100%; height: auto; background: #fff; }
figcaption { color: var(--quiet); }
.warn { color: var(--warn); background: var(--warn-back); padding: .5rem .8rem; border-radius: .3rem; }
"""


def markdown(scored: ScoredTable) -> str:
    """A Markdown page: title, warning, table, notes."""
    columns = scored.table.columns
    heads = ["Method", *(_pipes(head(column)) for column in columns), "Seeds", "Verdict"]
    lines = [_markdown_line(heads), _markdown_line(["---", *["---:"] * len(columns), "---", "---"])]
    for group, row in with_groups(scored.rows):
        if group:
            lines.append(_markdown_line([f"**{_pipes(group)}**", *[""] * (len(heads) - 1)]))
        cells = [_markdown_cell(scored, cell) for cell in row.cells]
        lines.append(_markdown_line([_pipes(row.row.label), *cells, row.seeds_label, _pipes(row_verdict(row))]))
    warned = f"**{_pipes(warning(scored))}**\n\n" if warning(scored) else ""
    remarks = "\n".join(f"- {_pipes(note)}" for note in notes(scored))
    return f"# {_pipes(heading(scored))}\n\n{warned}" + "\n".join(lines) + f"\n\n{remarks}\n"


def to_csv(scored: ScoredTable) -> str:
    """One line per cell and variant, measured numbers with six decimals, empty where there is none."""
    records = [_csv_record(one, row, cell) for one in scored.every_variant for row in one.rows for cell in row.cells]
    out = io.StringIO()
    lines = csv.DictWriter(out, records[0] if records else ["cell"], lineterminator="\n")
    lines.writeheader()
    lines.writerows(records)
    return out.getvalue()


def latex(scored: ScoredTable) -> str:
    """A `table*` for a paper that loads booktabs; three or four lines per cell, wide tables in blocks of columns."""
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table*}", r"\centering", r"\small"]
    lines.append(rf"\caption{{{_tex(heading(scored))}}}")
    for block in abreast(scored.table.columns):
        lines += [*_tabular(scored, block), ""]
    lines.append(r"\footnotesize")
    lines += [rf"{_tex(note)}\\" for note in (warning(scored), *notes(scored)) if note]
    return "\n".join([*lines, r"\end{table*}", ""])


def to_html(scored: ScoredTable, pictures: Sequence[Picture] = ()) -> str:
    """A page that needs nothing else: no script, no font, pictures inside; light or dark as the reader's system is.

    All variants one below the other; cells of the paper's, unrounded, have their id as anchor.
    """
    first, *rest = scored.every_variant
    title = html.escape(heading(first))
    warned = f'<p class="warn">{html.escape(warning(first))}</p>' if warning(first) else ""
    remarks = "\n".join(f"<li>{html.escape(note)}</li>" for note in notes(first))
    figures = "".join(_html_picture(picture) for picture in pictures)
    more = "\n".join(f"<h2>With {html.escape(variant_name(one.variant))}</h2>\n{_html_table(one)}" for one in rest)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{warned}\n"
        f"{_html_table(first, anchored=True)}\n<ul>\n{remarks}\n</ul>\n{figures}{more}\n</body>\n</html>\n"
    )


def _markdown_cell(scored: ScoredTable, cell: ScoredCell) -> str:
    parts = (mean(cell.measured), bounds(cell.measured), clips(cell), printed(scored, cell))
    return " ".join(part for part in parts if part)


def _csv_record(scored: ScoredTable, row: ScoredRow, cell: ScoredCell) -> dict[str, object]:
    table, variant, measured, source = scored.table, scored.variant, cell.measured, row.source
    return {
        "cell": cell.id,
        "method": row.row.method,
        "label": row.row.label,
        "group": row.row.group,
        "slice": cell.column.slice.label if cell.column.slice else "",
        "metric": cell.column.metric,
        "better": metric(cell.column.metric, variant).better,
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
        "clips": cell.size.clips,
        "sequences": cell.size.sequences,
        "actions": cell.size.actions,
        "dataset": source.dataset,
        "dataset_digest": source.digest,
        "split": source.split,
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


def _tabular(scored: ScoredTable, block: range) -> list[str]:
    columns = [scored.table.columns[number] for number in block]
    heads = " & ".join(["Method", *(_tex(head(column)) for column in columns), "Seeds", "Verdict"])
    lines = [rf"\begin{{tabular}}{{l{'r' * len(columns)}ll}}", r"\toprule", rf"{heads} \\", r"\midrule"]
    for group, row in with_groups(scored.rows):
        if group:
            lines.append(rf"\multicolumn{{{len(columns) + 3}}}{{l}}{{\textbf{{{_tex(group)}}}}} \\")
        cells = [_latex_cell(scored, row.cells[number]) for number in block]
        lines.append(" & ".join([_tex(row.row.label), *cells, _tex(row.seeds_label), _tex(row_verdict(row))]) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _tex(text: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in text)


def _latex_cell(scored: ScoredTable, cell: ScoredCell) -> str:
    small = (bounds(cell.measured), clips(cell), printed(scored, cell))
    lines = [mean(cell.measured), *(rf"{{\scriptsize {part}}}" for part in small if part)]
    return r"\shortstack[r]{" + r"\\".join(lines) + "}"


def _html_table(scored: ScoredTable, *, anchored: bool = False) -> str:
    heads = "".join(
        f'<th scope="col" title="{html.escape(meaning(column, scored).meaning)}">{html.escape(head(column))}</th>'
        for column in scored.table.columns
    )
    body = []
    for group, row in with_groups(scored.rows):
        if group:
            body.append(f'<tr><th scope="rowgroup" colspan="{len(row.cells) + 3}">{html.escape(group)}</th></tr>')
        name, verdict = html.escape(row.row.label), html.escape(row_verdict(row))
        cells = "".join(_html_cell(scored, cell, anchored=anchored) for cell in row.cells)
        body.append(f'<tr><th scope="row">{name}</th>{cells}<td>{row.seeds_label}</td><td>{verdict}</td></tr>')
    return (
        f'<div class="scroll"><table>\n<thead><tr><th scope="col">Method</th>{heads}<th scope="col">Seeds</th>'
        '<th scope="col">Verdict</th></tr></thead>\n<tbody>\n' + "\n".join(body) + "\n</tbody>\n</table></div>"
    )


def _html_picture(picture: Picture) -> str:
    data, caption = base64.b64encode(picture.path.read_bytes()).decode("ascii"), html.escape(picture.caption)
    source = f"data:image/png;base64,{data}"
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>\n'


def _html_cell(scored: ScoredTable, cell: ScoredCell, *, anchored: bool) -> str:
    anchor = f' id="{html.escape(cell.id)}"' if anchored else ""
    parts = (bounds(cell.measured), clips(cell), printed(scored, cell))
    small = "".join(f"<span>{part}</span>" for part in parts if part)
    return f"<td{anchor}>{mean(cell.measured)}{small}</td>"
