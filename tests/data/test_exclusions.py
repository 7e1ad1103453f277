"""Exclusion lists: read, named by content, stored with a dataset, read again."""

from pathlib import Path

import pytest

from flag3d_ray.data.exclusions import (
    MOST_BYTES,
    Exclusions,
    load_exclusions,
    read_exclusions,
    store_exclusions,
    write_exclusions,
)
from flag3d_ray.errors import DataError

LIST = Exclusions.of([("B 2", "counts nothing"), ("Ä1", 'wrong label, says "A"')])


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "a list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_list_survives_being_written_and_read(tmp_path: Path) -> None:
    write_exclusions(tmp_path / "new" / "list.csv", LIST)
    assert read_exclusions(tmp_path / "new" / "list.csv") == LIST
    assert LIST.sample_ids == ("B 2", "Ä1")


def test_a_list_with_a_byte_order_mark_and_windows_line_ends_reads_like_one_without(tmp_path: Path) -> None:
    plain = read_exclusions(written(tmp_path, "sample_id,reason\nA,one\nB,\n"))
    assert read_exclusions(written(tmp_path, b"\xef\xbb\xbfsample_id,reason\r\nA,one\r\n\r\n B ,\r\n")) == plain
    assert plain.rows == (("A", "one"), ("B", ""))


def test_the_reason_may_be_left_out_and_columns_may_change_places(tmp_path: Path) -> None:
    assert read_exclusions(written(tmp_path, "sample_id\nA\n")).rows == (("A", ""),)
    assert read_exclusions(written(tmp_path, "reason,sample_id\nwhy,A\n")).rows == (("A", "why"),)


def test_the_digest_goes_over_the_names_whatever_their_order_and_reasons() -> None:
    other = Exclusions.of([("Ä1", "another reason"), ("B 2", ""), ("B 2", "named twice")])
    assert other.digest == LIST.digest
    assert other.name == LIST.digest[:12]
    assert Exclusions.of([("Ä1", "")]).digest != LIST.digest
    assert Exclusions.of([("A", ""), ("B", "")]).digest != Exclusions.of([("A\nB", "")]).digest


@pytest.mark.parametrize(
    ("text", "where", "rule"),
    [
        ("", "row 1", "columns none"),
        ("name,reason\nA,b\n", "row 1", "columns 'name', 'reason'"),
        ("sample_id;reason\nA;b\n", "row 1", "columns 'sample_id;reason'"),
        ("sample_id,sample_id\nA,b\n", "row 1", "columns"),
        ("sample_id,reason\nA,b\n,c\n", "row 3", "no sample_id"),
        ("sample_id,reason\nA,b,c\n", "row 2", "3 cells, the header has 2"),
        ("sample_id,reason\n", "a list.csv", "names no sequence"),
        ('sample_id,reason\n"A,b\n', "a list.csv", "cannot be read"),
        ("sample_id\nÄ\n".encode("latin-1"), "a list.csv", "cannot be read"),
        (b"\x80\x05K\x01.", "a list.csv", "cannot be read"),
    ],
    ids=["empty", "column", "semicolons", "twice", "nameless", "cells", "no rows", "quote", "latin", "pickle"],
)
def test_a_list_that_is_none_is_named_with_the_row(tmp_path: Path, text: str | bytes, where: str, rule: str) -> None:
    with pytest.raises(DataError) as refused:
        read_exclusions(written(tmp_path, text))
    assert where in refused.value.where
    assert rule in refused.value.rule


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_exclusions(tmp_path / "none.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DataError, match="no list of names"):
        read_exclusions(tmp_path / "huge.csv")


def test_a_stored_list_is_found_by_its_name_and_stored_once(tmp_path: Path) -> None:
    name = store_exclusions(tmp_path, LIST, ["A", "B 2", "Ä1"])
    path = tmp_path / "exclusions" / f"{name}.csv"
    assert load_exclusions(tmp_path, name) == LIST
    before = path.stat().st_mtime_ns
    assert store_exclusions(tmp_path, Exclusions.of(reversed(LIST.rows)), ["B 2", "Ä1"]) == name
    assert path.stat().st_mtime_ns == before
    assert list(path.parent.iterdir()) == [path]


def test_names_that_the_dataset_does_not_have_are_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of its names are not in the dataset: Ä1.*correct or remove"):
        store_exclusions(tmp_path, LIST, ["A", "B 2"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "0123456789ab", "../../../etc/passwd", "0123456789AB"])
def test_a_list_that_is_not_stored_says_to_give_it_again(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="give the list again with --exclude"):
        load_exclusions(tmp_path, name)


def test_a_stored_list_that_was_edited_is_refused(tmp_path: Path) -> None:
    name = store_exclusions(tmp_path, LIST, LIST.sample_ids)
    path = tmp_path / "exclusions" / f"{name}.csv"
    path.write_text(path.read_text(encoding="utf-8") + "C,\n", encoding="utf-8")
    with pytest.raises(DataError, match="edited by hand"):
        load_exclusions(tmp_path, name)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_exclusions(tmp_path / "file" / "list.csv", LIST)
