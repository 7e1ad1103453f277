"""Declaring tables: what a `Table` refuses, and what its columns mean."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from flag3d_ray import tables
from flag3d_ray.data.catalogue import READERS
from flag3d_ray.errors import RunError
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import DataSpec, Run
from flag3d_ray.tables import (
    PAPER_DATASET,
    VARIANTS,
    Column,
    Row,
    ScoredCell,
    ScoredRow,
    ScoredTable,
    Slice,
    Source,
    Table,
    Variant,
    declared_tables,
    load_table,
    metric,
)

SOURCE = Source("synthetic", "d", "by_action")
ARM = Slice(id="arm", label="Arm", body_parts=("arm",))
LEG = Slice(id="leg", label="Leg", body_parts=("leg", "hip"))


def run(seed: int = 0) -> Run:
    return Run(method=Random(), data=DataSpec(), seed=seed)


def table(*rows: Row, dataset: str = "synthetic", preset: str = "tiny") -> Table:
    return Table(name="3", title="Counting", dataset=dataset, preset=preset, rows=rows)


def test_a_row_without_runs_must_say_why():
    with pytest.raises(RunError, match="either runs or a reason"):
        Row(method="repnet", label="RepNet")


def test_a_row_with_runs_has_no_excuse():
    with pytest.raises(RunError, match="either runs or a reason"):
        Row(method="random", label="Random", runs=(run(),), why_not="tired")


def test_two_rows_of_a_table_have_different_ids():
    row = Row(method="random", label="Random", runs=(run(),))
    with pytest.raises(RunError, match="share an id"):
        table(row, row)


def test_a_run_that_two_rows_share_is_listed_once_in_the_order_of_the_rows():
    first = Row(method="a", label="A", runs=(run(1), run(0)))
    second = Row(method="b", label="B", runs=(run(0), run(2)))
    assert [r.seed for r in table(first, second).runs()] == [1, 0, 2]


@pytest.mark.parametrize(
    ("dataset", "preset", "says"),
    [
        ("synthetic", "paper", "synthetic - not comparable"),
        ("synthetic-demo", "demo", "synthetic - not comparable"),
        ("ui_prmd", "paper", "other data - not comparable"),
        ("flag3d", "tiny", "other preset - not comparable"),
        ("flag3d", "paper", ""),
    ],
)
def test_only_the_papers_data_with_the_papers_preset_is_comparable(dataset, preset, says):
    assert table(dataset=dataset, preset=preset).incomparable == says


def test_the_papers_data_have_the_name_that_their_reader_gives_them():
    assert PAPER_DATASET in READERS


def test_a_column_says_its_direction_and_its_formula():
    assert metric("mae", Variant()).arrow == "↓"
    assert metric("obo/1", Variant()).arrow == "↑"
    assert metric("mae", Variant(formula="released")).meaning.count("c + 0.1") == 1
    assert "rounded" in metric("obo/0.4", Variant(rounded=True)).meaning
    assert "rounded" not in metric("obo/0.4", Variant()).meaning


def test_a_cell_is_found_by_its_id_and_an_unknown_one_names_the_remedy():
    row = Row(method="random", label="Random", runs=(run(),))
    cell = ScoredCell(id="T3:random:mae", column=Column("mae"), measured=None, published=2.363, verdict="not run")
    scored_row = ScoredRow(row=row, state="not run", cells=(cell,), source=SOURCE)
    scored = ScoredTable(table=table(row), variant=Variant(), rows=(scored_row,), draws=10)
    assert scored.cell("T3:random:mae").published == 2.363
    with pytest.raises(RunError, match="T3:METHOD:METRIC with one of random"):
        scored.cell("T3:repnet:mae")


def test_a_table_of_ours_has_a_name_instead_of_a_number_and_nothing_to_be_compared_with():
    row = Row(method="random", label="Random", runs=(run(),))
    ours = Table(name="transfer", title="Transfer", dataset="synthetic", preset="tiny", rows=(row,))
    assert (ours.is_printed, ours.stem, ours.incomparable) == (False, "table_transfer", "")
    assert ours.group == "table_transfer-tiny-synthetic"
    assert ours.cell_id(row, Column("mae")) == "transfer:random:mae"
    scored = ScoredTable(table=ours, variant=Variant(), rows=(), draws=10)
    with pytest.raises(RunError, match="write transfer:METHOD:METRIC"):
        scored.cell("T3:random:mae")


def test_slices_multiply_the_columns_and_name_them():
    row = Row(method="knn", label="KNN", runs=(run(),))
    cut = Table(
        name="5",
        title="Parts",
        dataset="synthetic",
        preset="tiny",
        rows=(row,),
        metrics=("mae", "obo/1"),
        slices=(ARM, LEG),
    )
    assert [column.key for column in cut.columns] == ["arm/mae", "arm/obo/1", "leg/mae", "leg/obo/1"]
    assert cut.cell_id(row, cut.columns[1]) == "T5:knn:arm/obo/1"
    assert [column.key for column in table(row).columns] == list(table(row).metrics)


def test_a_table_is_tested_on_what_its_runs_read():
    elsewhere = Run(method=Random(), data=DataSpec(dataset="ui_prmd"))
    both = Row(method="a", label="A", runs=(run(),)), Row(method="b", label="B", runs=(elsewhere,))
    assert table(*both).tested_on == ("synthetic", "ui_prmd")
    assert table(Row(method="later", label="L", why_not="later")).tested_on == ("synthetic",)


def test_every_variant_stands_in_the_same_order_whichever_is_shown():
    row = Row(method="random", label="Random", runs=(run(),))
    tables = {v: ScoredTable(table=table(row), variant=v, rows=(), draws=10) for v in VARIANTS}
    shown = replace(tables[VARIANTS[2]], others=tuple(tables[v] for v in VARIANTS if v != VARIANTS[2]))
    assert tuple(one.variant for one in shown.every_variant) == VARIANTS


def test_seeds_are_named_as_what_they_are():
    learned, still = (
        Row(method="a", label="A", runs=(run(),)),
        Row(method="b", label="B", runs=(run(),), deterministic=True),
    )
    assert ScoredRow(row=learned, state="measured", cells=(), source=SOURCE, seeds=1).seeds_label == "1 seed"
    assert ScoredRow(row=learned, state="measured", cells=(), source=SOURCE, seeds=3).seeds_label == "3 seeds"
    assert ScoredRow(row=still, state="measured", cells=(), source=SOURCE, seeds=1).seeds_label == "no draw"


def test_a_declaration_is_found_by_its_files_name_and_handed_its_options(monkeypatch, tmp_path):
    package = tmp_path / "declared"
    package.mkdir()
    for name in ("__init__", "table07_seven", "table_ours", "tables", "search_table", "table7_typo"):
        (package / f"{name}.py").write_text("")
    declared = table(dataset="ui_prmd")
    modules = {
        "experiments": SimpleNamespace(__path__=[str(package)], __name__="declared"),
        "declared.table07_seven": SimpleNamespace(table=lambda preset: {"demo": declared}[preset]),
    }
    monkeypatch.setattr(tables.importlib, "import_module", modules.__getitem__)
    assert declared_tables() == {"7": "declared.table07_seven", "ours": "declared.table_ours"}
    assert load_table("7", preset="demo") is declared
    with pytest.raises(RunError, match="choose one of 7, ours"):
        load_table("1")


def test_a_table_without_the_sequences_of_a_list_asks_other_runs_under_another_group():
    rows = Row(method="a", label="A", runs=(run(0), run(1))), Row(method="later", label="L", why_not="later")
    whole = table(*rows)
    told = whole.excluding("0123456789ab")
    assert {r.data.exclude for r in told.runs()} == {"0123456789ab"}
    assert [row.method for row in told.rows] == ["a", "later"]
    assert told.group == f"{whole.group}-without-0123456789ab"
    assert told.exclude == "0123456789ab"


def test_a_table_on_other_data_excludes_nothing_from_the_data_of_its_warm_start():
    start = Run(method=Random(), data=DataSpec(dataset="synthetic"))
    warm = Run(method=Random(), data=DataSpec(dataset="ui_prmd"), init_from=start)
    told = table(Row(method="a", label="A", runs=(warm,)), dataset="ui_prmd").excluding("0123456789ab")
    assert told.runs()[0].init_from == start
