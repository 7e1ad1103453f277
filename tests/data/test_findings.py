"""Findings: made from errors, put in order, and shown in three forms."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from flag3d_ray.data.findings import Finding, Severity, ordered, summary, to_csv, to_json, to_table
from flag3d_ray.errors import DataError


def finding(
    severity: Severity = "error", file="a.npz", row="", rule="is wrong", remedy="correct it", sample=""
) -> Finding:
    return Finding(severity=severity, file=file, row=row, rule=rule, remedy=remedy, sample=sample)


def shown(*findings: Finding, listed: int = 200) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(to_table(findings, listed))
    return console.export_text()


@pytest.mark.parametrize(
    ("where", "file", "row"),
    [
        ("{root}/joints/a, b.npz", "joints/a, b.npz", ""),
        ("{root}/table.csv, row 17", "table.csv", "row 17"),
        ("{root}/shard.parquet, row 2 (A005-S01)", "shard.parquet", "row 2 (A005-S01)"),
        ("{root}/m01.npz, repetition 3", "m01.npz", "repetition 3"),
        ("{root}/m01.npz, frame 12", "m01.npz", "frame 12"),
        ("split 'by_person'", "split 'by_person'", ""),
        ("/elsewhere/a.csv, line 1", "/elsewhere/a.csv", "line 1"),
        ("{root}", "", ""),
        ("", "", ""),
    ],
)
def test_the_place_of_an_error_is_cut_into_file_and_row(tmp_path: Path, where: str, file: str, row: str) -> None:
    error = DataError(where=where.format(root=tmp_path), rule="r", remedy="m")
    found = Finding.of(error, tmp_path)
    assert (found.severity, found.file, found.row, found.rule, found.remedy) == ("error", file, row, "r", "m")


def test_whatever_follows_an_existing_file_is_where_in_it(tmp_path: Path) -> None:
    (tmp_path / "a, b.npz").write_text("")
    found = Finding.of(DataError(where=f"{tmp_path}/a, b.npz, start", rule="r", remedy="m"), tmp_path)
    assert (found.file, found.row) == ("a, b.npz", "start")
    long = "x" * 5000
    assert Finding.of(DataError(where=long, rule="r", remedy="m"), tmp_path).file == long


def test_an_error_without_a_file_is_about_the_one_in_which_it_came_up(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("")
    other = DataError(where="layout 'x'", rule="unknown", remedy="m")
    assert Finding.of(other, tmp_path, "a.npz").file == "a.npz"
    assert Finding.of(other, tmp_path, "a.npz").rule == "layout 'x': unknown"
    whole = DataError(where=str(tmp_path), rule="a.npz is missing", remedy="m")
    assert Finding.of(whole, tmp_path, "a.npz").rule == "a.npz is missing"
    table = DataError(where=f"{tmp_path}/table.csv, row 3", rule="r", remedy="m")
    assert (Finding.of(table, tmp_path, "a.npz").file, Finding.of(table, tmp_path, "a.npz").row) == (
        "table.csv",
        "row 3",
    )


def test_a_finding_inside_a_row_says_both() -> None:
    placed = finding(file="", row="repetition 4").at("shard.parquet", "row 2 (A)", "A")
    assert (placed.file, placed.row, placed.sample) == ("shard.parquet", "row 2 (A), repetition 4", "A")


def test_severe_findings_come_first_then_files_and_rows_with_their_numbers_in_order() -> None:
    wanted = [
        finding(file="b2.npz"),
        finding(file="b10.npz", row="row 9"),
        finding(file="b10.npz", row="row 10"),
        finding("warning", file="a.npz"),
        finding("note", file=""),
    ]
    assert ordered(reversed(wanted)) == wanted
    assert ordered(wanted, "warning") == wanted[:4]
    assert ordered(wanted, "error") == wanted[:3]
    assert ordered([*wanted, *wanted]) == wanted


def test_the_summary_counts_by_severity() -> None:
    assert summary([]) == "no finding"
    assert summary([finding(), finding("note"), finding("note")]) == "1 error, 2 notes"


def test_the_table_holds_place_rule_and_remedy_and_says_what_it_leaves_out() -> None:
    text = " ".join(shown(finding(row="row 3"), finding("note", file="b.npz")).split())
    for word in ("severity", "error", "a.npz", "row 3", "is wrong", "correct it", "note", "b.npz"):
        assert word in text
    assert "more" not in text
    assert "3 more: --format csv lists all" in shown(*[finding(row=f"row {n}") for n in range(5)], listed=2)


def test_names_cannot_steer_a_terminal_or_be_markup() -> None:
    text = shown(finding(file="a\x1b[2J\n[red]b.npz", rule="\udcff"))
    assert "\x1b" not in text
    assert "a?[2J?[red]b.npz" in text


def test_csv_and_json_hold_every_field_of_every_finding() -> None:
    found = [finding(row="row 3", rule='says "no",\nand goes on', sample="Ä 1"), finding("note")]
    assert list(csv.DictReader(io.StringIO(to_csv(found)))) == [asdict(one) for one in found]
    assert json.loads(to_json(found)) == [asdict(one) for one in found]
    assert json.loads(to_json([])) == []


def test_a_name_that_is_no_text_can_be_printed_in_every_form() -> None:
    odd = finding(file="a\udcff.npz")
    for text in (to_csv([odd]), to_json([odd]), shown(odd)):
        assert text.encode("utf-8")
