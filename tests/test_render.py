"""Rendering a scored table. The Markdown of a small one is kept in `golden/table.md`.

To renew it after a wanted change of the form: run this file with `RENEW_GOLDEN=1`, look at the difference, and say in
the commit what changed and why.
"""

import csv
import io
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console

from flag3d_ray import render
from flag3d_ray.home import Home
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import Run
from flag3d_ray.statistics import Interval
from flag3d_ray.tables import (
    COUNTING_METRICS,
    VARIANTS,
    Column,
    Row,
    ScoredCell,
    ScoredRow,
    ScoredTable,
    Size,
    Slice,
    Source,
    Table,
    Variant,
)

State = Literal["measured", "not run", "failed"]
GOLDEN = Path(__file__).parent / "golden" / "table.md"
FORMS = (render.markdown, render.to_csv, render.latex, render.to_html)
UGLY = "a|b <script>alert(1)</script> & 5 % $x_1$ {\\n} #1 ~^"
SOURCE = Source("synthetic", "0123456789abcdef", "by_action")
SIZE = Size(60, 6, 3)
PRINTED = {"mae": 0.1215, "obo/0.4": 0.474, "obo/0.6": 0.5899, "obo/0.8": 0.6687, "obo/1": 0.7217, "obo/avg": 0.6136}


def scored_row(row: Row, state: State = "measured", reason: str = "", seeds: int = 0, verdicts=None) -> ScoredRow:
    cells = tuple(
        ScoredCell(
            id=f"T3:{row.method}:{key}",
            column=Column(key),
            measured=Interval(0.3125 + 0.1 * i, 0.25 + 0.1 * i, 0.375 + 0.1 * i) if state == "measured" else None,
            published=row.published.get(key),
            verdict=(verdicts or ["synthetic - not comparable"] * 6)[i] if state == "measured" else state,
            size=SIZE if state == "measured" else Size(),
        )
        for i, key in enumerate(COUNTING_METRICS)
    )
    return ScoredRow(row=row, state=state, cells=cells, source=SOURCE, reason=reason, seeds=seeds, size=SIZE)


def scored_table(*rows: ScoredRow, dataset: str = "synthetic", preset: str = "demo") -> ScoredTable:
    declared = Table(name="3", title="Counting", dataset=dataset, preset=preset, rows=tuple(row.row for row in rows))
    return ScoredTable(table=declared, variant=Variant(), rows=rows, draws=1000)


def row(method: str, label: str, **more) -> Row:
    return Row(method=method, label=label, runs=() if more.get("why_not") else (Run(method=Random()),), **more)


def example() -> ScoredTable:
    """A row of each kind: measured, one seed, without randomness, partly failed, failed, not run."""
    return scored_table(
        scored_row(
            row("hl_rac", "HL-RAC_M", published=PRINTED, group="(a) learned"), reason="failed: NaN (seed 2)", seeds=2
        ),
        scored_row(row("knn", "KNN", published=PRINTED, group="(b) others", note="a note"), seeds=1),
        scored_row(row("fourier", "Fourier Analysis", deterministic=True, group="(b) others"), seeds=1),
        scored_row(row("wavelet", "Wavelet", group="(b) others"), "failed", "failed: loss is NaN (seed 0, 1)"),
        scored_row(row("repnet", "RepNet", published=PRINTED, why_not="later", group="(b) others"), "not run", "later"),
    )


def shown(scored: ScoredTable, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render.terminal(scored))
    return console.export_text()


def test_markdown_equals_the_golden_one():
    text = render.markdown(example())
    if os.environ.get("RENEW_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_every_time(form):
    assert form(example()) == form(example())


@pytest.mark.parametrize("form", [*FORMS, shown])
def test_every_form_shows_measured_interval_and_published_numbers_and_reasons(form):
    text = form(example())
    for number in (
        "0.312",
        "0.250",
        "0.375",
        "0.1215",
        "loss is NaN",
        "later",
        "1 seed" if form is not render.to_csv else "1",
    ):
        assert number in text, number


@pytest.mark.parametrize("form", [render.markdown, render.latex, render.to_html, shown])
def test_every_page_says_data_digest_preset_split_size_and_that_it_is_not_comparable(form):
    text = " ".join(re.sub(r"\\(?=[_{}])", "", form(example())).split())
    for fact in ("SYNTHETIC - NOT COMPARABLE", "digest 0123456789ab,", "demo preset", "by_action", "60 test clips"):
        assert fact in text, fact
    assert "lower is better" in text
    assert "1000 bootstrap resamples" in text


def test_a_test_set_of_one_action_is_pointed_out():
    scored = scored_table(scored_row(row("knn", "KNN")))
    flagged = replace(scored.rows[0].cells[0], measured=Interval(0.5, 0.4, 0.6, ("one action", "one seed")))
    changed = replace(scored, rows=(replace(scored.rows[0], cells=(flagged, *scored.rows[0].cells[1:])),))
    assert "KNN: tested on one action, which the interval cannot resample." in render.notes(changed)
    assert not any("cannot resample" in note for note in render.notes(scored))


def test_comparable_data_carry_no_warning():
    scored = scored_table(scored_row(row("knn", "KNN"), verdicts=["close"] * 6), dataset="flag3d", preset="paper")
    assert render.warning(scored) == ""
    assert "NOT COMPARABLE" not in render.markdown(scored)


def test_verdicts_that_differ_within_a_row_are_named_by_column():
    verdicts = ["reproduced", "close", "close", "close", "close", "close"]
    assert render.row_verdict(scored_row(row("knn", "KNN"), verdicts=verdicts)).startswith(
        "MAE reproduced; OBO@0.4 close"
    )


def test_csv_has_one_line_per_cell_with_six_decimals():
    records = list(csv.DictReader(io.StringIO(render.to_csv(example()))))
    assert len(records) == 5 * len(COUNTING_METRICS)
    first, last = records[0], records[-1]
    assert (first["cell"], first["measured"], first["low"], first["high"]) == (
        "T3:hl_rac:mae",
        "0.312500",
        "0.250000",
        "0.375000",
    )
    assert (first["better"], first["formula"], first["rounded"]) == ("lower", "paper", "false")
    assert (last["measured"], last["published"], last["state"], last["reason"]) == ("", "0.6136", "not run", "later")


def ugly() -> ScoredTable:
    hostile = row("ugly", UGLY, note=UGLY, why_not="")
    return scored_table(scored_row(hostile), scored_row(row("worse", "x", why_not=UGLY), "not run", UGLY))


def test_html_escapes_text_and_holds_no_script_and_nothing_from_elsewhere():
    page = render.to_html(ugly())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    assert "prefers-color-scheme: dark" in page


def test_html_is_well_formed_and_has_an_anchor_per_cell():
    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.ids: list[str] = []

        def handle_starttag(self, tag, attrs):
            self.ids += [value for name, value in attrs if name == "id" and value]
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Balance()
    parser.feed(render.to_html(example()))
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids)) == 5 * len(COUNTING_METRICS)
    assert "T3:hl_rac:mae" in parser.ids


def test_markdown_text_cannot_break_out_of_its_cell():
    text = render.markdown(ugly())
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {len(COUNTING_METRICS) + 4}


def test_latex_escapes_every_special_character():
    body = render.latex(ugly())
    line = next(line for line in body.splitlines() if line.startswith("a\\textbar{}b"))
    assert r"\textless{}script\textgreater{}" in line
    assert r"5 \% \$x\_1\$ \{\textbackslash{}n\} \#1 \textasciitilde{}\textasciicircum{}" in line
    assert body.count(r"\begin{") == body.count(r"\end{") == 2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(tmp_path):
    body = render.latex(ugly())
    page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + body + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_the_terminal_form_fits_120_columns_without_cutting_a_number():
    text = shown(example())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 120
    assert text.count("[0.750, 0.875]") == 3
    assert "…" not in text


def test_files_are_written_under_names_that_say_table_preset_data_and_variant(tmp_path):
    home = Home(tmp_path)
    paths = render.write(example(), home)
    assert [path.name for path in paths] == [
        f"table03_demo_synthetic.{ending}" for ending in ("md", "csv", "tex", "html")
    ]
    assert paths[0].read_text(encoding="utf-8") == render.markdown(example())
    released = replace(example(), variant=Variant("released", True))
    assert render.write(released, home)[0].name == "table03_demo_synthetic_released_rounded.md"
    assert sorted(path.suffix for path in home.tables.iterdir()) == [".csv", ".html", ".md", ".md", ".tex", ".tex"]


@pytest.mark.parametrize("form", [*FORMS, shown])
def test_every_form_says_how_many_sequences_were_excluded_and_by_which_list(form):
    told = replace(example(), table=example().table.excluding("0f1e2d3c4b5a"), excluded=3)
    text = " ".join(form(told).split())
    assert "0f1e2d3c4b5a" in text
    if form is render.to_csv:
        records = list(csv.DictReader(io.StringIO(form(told))))
        assert {(record["excluded"], record["exclusion_list"]) for record in records} == {("3", "0f1e2d3c4b5a")}
    else:
        assert "Excluded: 3 sequences of these data, in no part of the split" in text
        assert "Excluded" not in form(example())


def test_a_table_without_some_sequences_has_files_of_its_own(tmp_path):
    told = replace(example(), table=example().table.excluding("0f1e2d3c4b5a"), excluded=1, variant=Variant("released"))
    assert render.write(told, Home(tmp_path))[0].name == "table03_demo_synthetic_without_0f1e2d3c4b5a_released.md"


def in_every_variant() -> ScoredTable:
    """The example with other numbers under each variant."""

    def moved(by: float) -> tuple[ScoredRow, ...]:
        return tuple(
            replace(
                row,
                cells=tuple(
                    replace(cell, measured=cell.measured and replace(cell.measured, mean=cell.measured.mean + by))
                    for cell in row.cells
                ),
            )
            for row in example().rows
        )

    first, *rest = (replace(example(), variant=v, rows=moved(0.01 * i)) for i, v in enumerate(VARIANTS))
    return replace(first, others=tuple(rest))


def test_the_csv_file_and_the_html_page_hold_every_variant_whichever_is_shown():
    scored = in_every_variant()
    released = scored.others[1]
    shown = replace(released, others=(replace(scored, others=()), scored.others[0], scored.others[2]))
    assert shown.variant == Variant("released")
    for form in (render.to_csv, render.to_html):
        assert form(shown) == form(scored)
    records = list(csv.DictReader(io.StringIO(render.to_csv(scored))))
    of_cell = [record for record in records if record["cell"] == "T3:hl_rac:mae"]
    assert [(record["formula"], record["rounded"], record["measured"]) for record in of_cell] == [
        ("paper", "false", "0.312500"),
        ("paper", "true", "0.322500"),
        ("released", "false", "0.332500"),
        ("released", "true", "0.342500"),
    ]
    page = render.to_html(scored)
    for number in ("0.312", "0.323", "0.333", "0.343"):
        assert number in page
    assert page.count("<h2>") == 3
    assert "the formula of the released code, counts rounded" in page


def test_anchors_of_a_page_with_every_variant_are_unique():
    ids = re.findall(r'id="([^"]+)"', render.to_html(in_every_variant()))
    assert len(ids) == len(set(ids)) == 5 * len(COUNTING_METRICS)


PARTS = tuple(Slice(id=name, label=f"The {name}", body_parts=(name,)) for name in "abcdefg")


def in_slices() -> ScoredTable:
    """Seven slices of two metrics, the last without a clip."""
    declared = Table(
        name="5",
        title="By part",
        dataset="synthetic",
        preset="demo",
        rows=(row("knn", "KNN"),),
        metrics=("mae", "obo/1"),
        slices=PARTS,
    )
    cells = tuple(
        ScoredCell(
            id=declared.cell_id(declared.rows[0], column),
            column=column,
            measured=None if column.slice == PARTS[-1] else Interval(0.5, 0.4, 0.6, ("one action",)),
            published=0.25,
            verdict="synthetic - not comparable",
            size=Size() if column.slice == PARTS[-1] else Size(17, 3, 1),
        )
        for column in declared.columns
    )
    scored = ScoredRow(row=declared.rows[0], state="measured", cells=cells, source=SOURCE, seeds=1, size=SIZE)
    return ScoredTable(table=declared, variant=Variant(), rows=(scored,), draws=10)


@pytest.mark.parametrize("form", [render.markdown, render.latex, render.to_html, shown])
def test_a_cell_of_a_slice_says_how_many_clips_it_has(form):
    text = form(in_slices())
    assert text.count("n 17") == 12
    assert "n 17" not in form(example())


def test_the_csv_of_a_slice_counts_its_own_clips():
    records = list(csv.DictReader(io.StringIO(render.to_csv(in_slices()))))
    assert [record["clips"] for record in records] == ["17"] * 12 + ["0"] * 2
    assert (records[2]["cell"], records[2]["slice"], records[2]["metric"]) == ("T5:knn:b/mae", "The b", "mae")


def test_wide_tables_stand_in_blocks_that_fit_and_keep_slices_whole():
    text = shown(in_slices())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 120
    assert text.count("Method") == 3
    assert "…" not in text
    assert render.latex(in_slices()).count(r"\begin{tabular}") == 3
    assert render.latex(example()).count(r"\begin{tabular}") == 1


def test_slices_of_one_action_are_named_once_for_all_rows():
    (said,) = (note for note in render.notes(in_slices()) if "cannot resample" in note)
    assert said == (
        "The a, The b, The c, The d, The e, The f: tested on one action, which the interval cannot resample."
    )


def test_a_table_on_several_datasets_says_what_each_was_tested_on():
    other = replace(scored_row(row("fft", "FFT")), source=Source("ui_prmd", "f" * 64, "by_person"))
    absent = replace(scored_row(row("wave", "Wave"), "not run", "gone"), source=Source("cmu", "", "all_test"))
    lines = [
        note for note in render.notes(scored_table(scored_row(row("knn", "KNN")), other, absent)) if "Data:" in note
    ]
    assert lines == [
        "Data: synthetic, digest 0123456789ab, split by_action; 60 test clips of 6 sequences of 3 actions.",
        "Data: ui_prmd, digest ffffffffffff, split by_person; 60 test clips of 6 sequences of 3 actions.",
        "Data: cmu, not here, split all_test; nothing measured yet.",
    ]


def test_a_table_of_ours_is_called_by_its_name(tmp_path):
    scored = example()
    ours = replace(scored, table=replace(scored.table, name="transfer"))
    assert render.heading(ours).startswith("Table transfer: Counting (synthetic data")
    assert render.warning(ours) == ""
    assert "/ 0.1215" in render.markdown(scored)
    for form in (render.markdown, render.latex, render.to_html, shown):
        assert "0.1215" not in form(ours)
        assert "0.312" in form(ours)
    assert render.write(ours, Home(tmp_path))[0].name == "table_transfer_demo_synthetic.md"


def test_a_note_that_several_rows_share_stands_once():
    rows = (scored_row(row(f"{group}_knn", "KNN", group=group, note="as in the paper")) for group in "ab")
    assert render.notes(scored_table(*rows)).count("KNN: as in the paper.") == 1
