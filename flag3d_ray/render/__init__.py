"""A scored table as Markdown, CSV, LaTeX, HTML and on the terminal: the same numbers everywhere, with the same notes.

In each cell stands the measured mean, its 95 % interval in brackets, and after the slash the number the paper prints.
Markdown, LaTeX and the terminal show one variant of the metrics; the CSV file and the HTML page hold all of them.
"""

from collections.abc import Sequence
from pathlib import Path

from flag3d_ray.figures import Picture
from flag3d_ray.files import write_bytes
from flag3d_ray.home import Home
from flag3d_ray.render.console import terminal
from flag3d_ray.render.pages import latex, markdown, to_csv, to_html
from flag3d_ray.render.wording import heading, notes, row_verdict, warning
from flag3d_ray.tables import ScoredTable

__all__ = [
    "heading",
    "latex",
    "markdown",
    "notes",
    "row_verdict",
    "terminal",
    "to_csv",
    "to_html",
    "warning",
    "write",
]


def write(scored: ScoredTable, home: Home, pictures: Sequence[Picture] = ()) -> tuple[Path, ...]:
    """Write all four files to `home.tables`, each whole or not at all; the HTML page holds the pictures.

    Another exclusion list has files of its own, and another variant a Markdown and a LaTeX file of its own.
    """
    table, variant = scored.table, scored.variant
    without = f"_without_{table.exclude}" if table.exclude else ""
    stem = f"{table.stem}_{table.preset}_{table.dataset}{without}"
    shown = ("" if variant.formula == "paper" else "_released") + ("_rounded" if variant.rounded else "")
    texts = {
        f"{stem}{shown}.md": markdown(scored),
        f"{stem}.csv": to_csv(scored),
        f"{stem}{shown}.tex": latex(scored),
        f"{stem}.html": to_html(scored, pictures),
    }
    for name, text in texts.items():
        write_bytes(home.tables / name, text.encode())
    return tuple(home.tables / name for name in texts)
