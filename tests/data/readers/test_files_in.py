"""A user's copy: whatever its names, tables and headers say, the answer is the content or an error that names the place."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data.readers import files_in
from flag3d_ray.data.readers.files_in import (
    csv_rows,
    inside,
    integer,
    intervals,
    listed,
    load_npy,
    load_npz,
    stems,
    to_joints,
)
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import FLAG3D24

JOINTS = ("T", 24, 3)


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_files_are_listed_by_name_whatever_letters_they_have(tmp_path):
    for name in ("b 2.npy", "ä.npy", "a.npy", "c.txt", "._a.npy"):
        (tmp_path / name).touch()
    (tmp_path / "d.npy").mkdir()
    assert [path.name for path in listed(tmp_path, "*.npy")] == ["a.npy", "b 2.npy", "ä.npy"]
    assert listed(tmp_path, "none/*.npy") == []


@pytest.mark.parametrize("kind", ["file", "folder", "loop"])
def test_a_link_out_of_the_folder_is_refused_with_its_target(tmp_path, kind):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.npy").touch()
    if kind == "file":
        (root / "a.npy").symlink_to(elsewhere / "a.npy")
    elif kind == "folder":
        (root / "sub").symlink_to(elsewhere)
    else:
        (root / "a.npy").symlink_to(root / "b.npy")
        (root / "b.npy").symlink_to(root / "a.npy")
    with pytest.raises(DataError, match="nowhere" if kind == "loop" else f"a link to {elsewhere}") as caught:
        listed(root, "**/*.npy" if kind != "folder" else "sub/*.npy")
    assert caught.value.where.startswith(str(root))


def test_a_link_inside_the_folder_and_a_folder_that_is_a_link_itself_are_fine(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.npy").touch()
    (tmp_path / "root" / "b.npy").symlink_to("a.npy")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    assert [path.name for path in listed(tmp_path / "link", "*.npy")] == ["a.npy", "b.npy"]
    assert inside(tmp_path / "link", "b.npy") == tmp_path / "link" / "b.npy"


def test_an_archive_in_place_of_the_folder_is_named_as_such(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("a", "a")
    with pytest.raises(DataError, match="unpack it yourself"):
        listed(tmp_path / "data.zip", "*")
    with pytest.raises(DataError, match="no such folder"):
        listed(tmp_path / "nothing", "*")


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.npy", "sub/../../a.npy", "C:\\a.npy", "..\\a.npy", ""])
def test_a_table_cannot_name_a_file_outside_the_folder(tmp_path, name):
    (tmp_path / "root").mkdir()
    (tmp_path / "a.npy").touch()
    with pytest.raises(DataError, match="leads out of the folder") as caught:
        inside(tmp_path / "root", name, "test.csv, row 4")
    assert caught.value.where == "test.csv, row 4"


@pytest.mark.parametrize("name", ["a.npy", "a\0.npy", "a" * 5000, "folder"])
def test_a_file_that_is_not_there_is_named_with_the_row_that_names_it(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="there is no file") as caught:
        inside(tmp_path, name, "test.csv, row 4")
    assert caught.value.where == "test.csv, row 4"


def test_accented_letters_are_one_name_in_either_spelling_and_twins_are_refused(tmp_path):
    composed, apart = tmp_path / "caf\u00e9.npy", tmp_path / "cafe\u0301.npz"
    assert stems([apart])[files_in.normal(composed.stem)] == apart
    with pytest.raises(DataError, match="has the same name"):
        stems([composed, apart])


def test_a_csv_with_a_byte_order_mark_and_windows_line_ends_reads_like_one_without(tmp_path):
    plain = csv_rows(table(tmp_path, "name,count\na b,1\nä,2\n"), ["name", "count"])
    windows = "\ufeff name , count,\r\na b , 1,\r\nä,2,,\r\n\r\n,\r\n"
    assert csv_rows(table(tmp_path, windows), ["name", "count"]) == plain
    assert plain == [(2, {"name": "a b", "count": "1"}), (3, {"name": "ä", "count": "2"})]


def test_rows_are_numbered_as_a_spreadsheet_does_it_and_columns_without_a_name_are_dropped(tmp_path):
    rows = csv_rows(table(tmp_path, ',name,note\n7,a,"x, y"\n\n9,b,\n'), ["name"])
    assert rows == [(2, {"name": "a", "note": "x, y"}), (4, {"name": "b", "note": ""})]


@pytest.mark.parametrize(
    ("content", "place", "rule"),
    [
        ("name\na\n", "row 1", "missing column count; there are: name"),
        ("", "row 1", "missing column name, count; there are: none"),
        ("name;count\na;1\n", "row 1", "not separated by commas"),
        ("name,count,name\na,1,b\n", "row 1", "column name stands there twice"),
        ("name,count\na,1\nb\n", "row 3", "1 cells, the header has 2"),
        ("name,count\na,1,5\n", "row 2", "3 cells, the header has 2"),
        (b"name,count\r\na,1\r\nb\xe4,2\r\n", "row 3", "byte 0xe4 is not UTF-8"),
        ('name,count\na,1\n"b,2\n', "row 3", "not a row of a table"),
        ("name,count\na,1\n".encode("utf-16"), "row 1", "byte 0xff is not UTF-8"),
    ],
)
def test_a_broken_table_is_named_with_its_row(tmp_path, content, place, rule):
    path = table(tmp_path, content)
    with pytest.raises(DataError) as caught:
        csv_rows(path, ["name", "count"])
    assert caught.value.where == f"{path}, {place}"
    assert rule in caught.value.rule


def test_a_table_that_is_absent_or_far_too_large_is_not_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        csv_rows(tmp_path / "none.csv", ["name"])
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(files_in.MOST_TABLE_BYTES + 1)
    with pytest.raises(DataError, match="it is not read"):
        csv_rows(tmp_path / "huge.csv", ["name"])


def test_whole_numbers_are_read_as_spreadsheets_and_pandas_write_them():
    cells = {"a": "12", "b": "12.0", "c": "0"}
    assert [integer("row", cells, name) for name in "abc"] == [12, 12, 0]


@pytest.mark.parametrize("text", ["", "x", "1.5", "-1", "nan", "inf", "1e300", "3,5"])
def test_what_is_no_whole_number_is_shown(text):
    with pytest.raises(DataError, match="count is") as caught:
        integer("t.csv, row 5", {"count": text}, "count")
    assert caught.value.where == "t.csv, row 5"


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_joints_come_back_as_they_were_saved_in_the_machines_byte_order(tmp_path, dtype):
    joints = np.random.default_rng(0).normal(size=(5, 24, 3)).astype(dtype)
    np.save(tmp_path / "a.npy", np.asfortranarray(joints))
    np.savez_compressed(tmp_path / "a.npz", joints=joints, other=np.arange(3))
    for found in (
        load_npy(tmp_path / "a.npy", JOINTS),
        load_npz(tmp_path / "a.npz", {"joints": (JOINTS, "f")})["joints"],
    ):
        np.testing.assert_array_equal(found, joints)
        assert found.dtype.isnative


@pytest.mark.parametrize(
    ("array", "rule"),
    [
        (np.zeros((5, 23, 3)), r"must be \[T, 24, 3\] of kind f, found float64 \[5, 23, 3\]"),
        (np.zeros((24, 3)), r"found float64 \[24, 3\]"),
        (np.zeros((5, 24, 3), int), r"found int64 \[5, 24, 3\]"),
        (np.zeros((5, 24, 3), "S3"), "of kind f, found |S3"),
        (np.zeros((5, 24, 3), object), "a pickle"),
    ],
)
def test_another_type_or_shape_is_refused_with_both(tmp_path, array, rule):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", joints=array)
    with pytest.raises(DataError, match=rule):
        load_npy(tmp_path / "a.npy", JOINTS)
    with pytest.raises(DataError, match=rule) as caught:
        load_npz(tmp_path / "a.npz", {"joints": (JOINTS, "f")})
    assert caught.value.where == f"{tmp_path / 'a.npz'}, joints"


@pytest.mark.parametrize("kind", ["pickle", "old pickle", "objects"])
def test_a_pickle_under_another_name_is_refused_and_never_runs(tmp_path, kind):
    marker = tmp_path / "ran"
    if kind == "objects":
        np.save(tmp_path / "a.npy", np.array([Payload(marker)], dtype=object))
        np.savez(tmp_path / "a.npz", joints=np.array([Payload(marker)], dtype=object))
    else:
        content = pickle.dumps(Payload(marker), protocol=0 if kind == "old pickle" else 4)
        (tmp_path / "a.npy").write_bytes(content)
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError):
        load_npy(tmp_path / "a.npy", JOINTS)
    with pytest.raises(DataError):
        load_npz(tmp_path / "a.npz", {"joints": (JOINTS, "f")})
    assert not marker.exists()


def test_what_a_header_promises_is_weighed_before_it_is_read(tmp_path):
    """A file that claims 2 TB, and one of 10 GB that is mostly a hole."""
    claims = {"descr": "<f8", "fortran_order": False, "shape": (2**32, 24, 3)}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, claims)
        file.truncate(10 << 30)
    with pytest.raises(DataError, match="it is not read"):
        load_npy(tmp_path / "a.npy", JOINTS)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("joints.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, claims)
    with pytest.raises(DataError, match="it is not read"):
        load_npz(tmp_path / "a.npz", {"joints": (JOINTS, "f")})
    (tmp_path / "b.npz").write_bytes(b"")
    os.truncate(tmp_path / "b.npz", 10 << 30)
    with pytest.raises(DataError, match="it is not read"):
        load_npz(tmp_path / "b.npz", {"joints": (JOINTS, "f")})


@pytest.mark.parametrize("damage", ["cut off", "cut in the header", "text", "empty", "swapped"])
def test_a_damaged_file_is_an_error_of_the_data(tmp_path, damage):
    npy, npz = tmp_path / "a.npy", tmp_path / "a.npz"
    np.save(npy, np.zeros((50, 24, 3)))
    np.savez(npz, joints=np.zeros((50, 24, 3)))
    saved = npy.read_bytes(), npz.read_bytes()
    if damage == "swapped":
        saved = saved[::-1]
    for path, content in zip((npy, npz), saved, strict=True):
        kept = {"cut off": content[:5000], "cut in the header": content[:40], "text": b"frames,24", "empty": b""}
        path.write_bytes(kept.get(damage, content))
    with pytest.raises(DataError, match=r"not a readable \.npy"):
        load_npy(npy, JOINTS)
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        load_npz(npz, {"joints": (JOINTS, "f")})


@pytest.mark.parametrize(
    "header", ["{'descr': '<f8'", "{'descr': '<f8', 'shape': (5, 24, 3),", "{}", "('\x81'", "((" * 300]
)
def test_a_header_that_is_no_header_is_an_error_of_the_data(tmp_path, header):
    content = b"\x93NUMPY\x01\x00" + len(header.encode("latin1")).to_bytes(2, "little") + header.encode("latin1")
    (tmp_path / "a.npy").write_bytes(content + bytes(3000))
    with pytest.raises(DataError, match=r"not a readable \.npy"):
        load_npy(tmp_path / "a.npy", JOINTS)


def test_changed_bytes_in_an_archive_are_noticed(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", joints=np.random.default_rng(0).normal(size=(50, 24, 3)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[5000] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        load_npz(tmp_path / "a.npz", {"joints": (JOINTS, "f")})


def test_a_missing_array_is_named_beside_those_that_are_there(tmp_path):
    np.savez(tmp_path / "a.npz", joints=np.zeros((5, 24, 3)))
    with pytest.raises(DataError, match="missing array labels; there are: joints"):
        load_npz(tmp_path / "a.npz", {"joints": (JOINTS, "f"), "labels": (("N",), "i")})


def test_the_first_joint_that_is_no_number_is_named(tmp_path):
    joints = np.zeros((5, 24, 3))
    joints[3:, 4, 1] = np.nan
    with pytest.raises(DataError, match=r"frame 3: NaN or infinity at joint neck \(2 frames hold any\)"):
        to_joints(tmp_path / "a.npy", joints, FLAG3D24)
    with pytest.raises(DataError, match="no frames"):
        to_joints(tmp_path / "a.npy", joints[:0], FLAG3D24)
    np.testing.assert_array_equal(to_joints(tmp_path / "a.npy", joints[:3], FLAG3D24), joints[:3])
    joints[0, 2, 2] = 1e200
    with pytest.raises(DataError, match="frame 0: NaN or infinity at joint spine2"):
        to_joints(tmp_path / "a.npy", joints, FLAG3D24)


def test_repetitions_may_touch_and_leave_gaps():
    found = intervals([("t.csv, row 2", 0, 5), ("t.csv, row 3", 5, 8), ("t.csv, row 4", 9, 10)], 10)
    assert (found.tolist(), found.dtype) == ([[0, 5], [5, 8], [9, 10]], np.int32)
    assert intervals([], 10).shape == (0, 2)


@pytest.mark.parametrize(
    ("start", "end", "rule"),
    [
        (6, 11, "leaves the sequence of 10 frames"),
        (-1, 3, "leaves the sequence"),
        (6, 6, "ends before it starts or where it starts"),
        (8, 6, "ends before it starts"),
        (4, 9, "starts before the one ahead of it ends, at 5"),
    ],
)
def test_a_repetition_that_breaks_a_rule_is_named_with_its_row(start, end, rule):
    with pytest.raises(DataError) as caught:
        intervals([("t.csv, row 2", 0, 5), ("t.csv, row 3", start, end)], 10)
    assert caught.value.where == "t.csv, row 3"
    assert f"repetition [{start}, {end}) {rule}" in caught.value.rule
