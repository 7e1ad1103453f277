"""A copy in a reader's format, damaged in every way: all of it is listed at once, nothing is loaded that could run code.

The copies are miniatures made here: random clouds of markers in the form of UI-PRMD, and the template of the open folder.
"""

import csv
import io
import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.commands.data_check import check
from flag3d_ray.data.doctor.raw import examine_copy
from flag3d_ray.data.findings import Finding, ordered
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers import open_format, ui_prmd
from flag3d_ray.data.readers.files_in import listed
from flag3d_ray.data.readers.open_format_template import write_template
from flag3d_ray.sample import Sample

REAL = Path(os.environ.get("FLAG3D_UI_PRMD") or Path(__file__).parents[4] / "shared" / "data" / "ui_prmd")
needs_recordings = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"UI-PRMD is not at {REAL}; set FLAG3D_UI_PRMD to its folder"
)
FRAMES, SUBJECTS = 120, 7


@dataclass(frozen=True)
class Payload:
    """A pickle of this makes a folder when it is loaded."""

    marker: Path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[bytes]:
    """A pickle; the test fails if anything ever loads it."""
    marker = tmp_path / "loaded"
    yield pickle.dumps(Payload(marker))
    assert not marker.exists(), "the pickle was loaded"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven people do one movement well and another one badly."""
    folder = tmp_path / "ui prmd"
    folder.mkdir()
    for subject in range(1, SUBJECTS + 1):
        save(folder, f"m01_s{subject:02d}_correct.npz")
        save(folder, f"m02_s{subject:02d}_incorrect.npz")
    return folder


def save(folder: Path, name: str, **changed) -> Path:
    """One recording of four repetitions: a cloud of 39 markers that trembles."""
    rng = np.random.default_rng(list(name.encode()))
    cloud = rng.integers(-4000, 4000, (1, 39, 3)) + rng.integers(-50, 50, (FRAMES, 39, 3))
    bounds = np.linspace(0, FRAMES, 5).astype(np.int32)
    arrays = {"markers_tenth_mm": cloud.astype(np.int16), "start": bounds[:-1], "end": bounds[1:]} | changed
    np.savez(folder / name, **arrays)
    return folder / name


def errors(root: Path, reader: Reader[Any] = ui_prmd.READER) -> dict[str, Finding]:
    """By file; no two errors concern one file here."""
    found = ordered(examine_copy(reader, root).findings, "error")
    assert len({finding.file for finding in found}) == len(found), found
    assert [finding for finding in found if not finding.remedy] == []
    return {finding.file: finding for finding in found}


def test_a_copy_without_damage_has_no_errors_and_everything_is_read(root: Path) -> None:
    told = []
    report = examine_copy(ui_prmd.READER, root, lambda *counts: told.append(counts))
    assert ordered(report.findings, "error") == []
    assert (report.sequences, report.repetitions, report.frames) == (14, 56, 14 * FRAMES)
    assert told[0] == (1, 14)
    assert told[-1] == (14, 14)


def test_one_command_lists_seven_damaged_recordings_with_place_rule_and_remedy(
    root: Path, evil: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    ends, starts = np.array([30, 60, 90, 120], np.int32), np.array([0, 30, 60, 90], np.int32)
    save(root, "m01_s01_correct.npz", end=ends + np.array([0, 0, 0, 1], np.int32))
    save(root, "m01_s02_correct.npz", end=np.array([30, 20, 90, 120], np.int32))
    save(root, "m01_s03_correct.npz", start=starts[:0], end=ends[:0])
    broken = np.ones((FRAMES, 39, 3), np.float32)
    broken[17, 3, 1] = np.nan
    save(root, "m01_s04_correct.npz", markers_tenth_mm=broken)
    save(root, "m02_s01_incorrect.npz", markers_tenth_mm=np.ones((FRAMES, 38, 3), np.int16))
    with np.load(root / "m02_s06_incorrect.npz") as tested:
        save(root, "m02_s02_incorrect.npz", **dict(tested))
    (root / "m02_s03_incorrect.npz").unlink()
    (root / "m02_s03_incorrect.pkl").write_bytes(evil)
    with pytest.raises(SystemExit) as ended:
        check(str(root), reader="ui_prmd", form="csv", severity="error")
    assert ended.value.code == 2
    found = {row["file"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    wanted = {
        "m01_s01_correct.npz": ("repetition 4", "[90, 121) leaves frames 0 to 120"),
        "m01_s02_correct.npz": ("repetition 2", "[30, 20) ends before it starts"),
        "m01_s03_correct.npz": ("", "no repetition"),
        "m01_s04_correct.npz": ("frame 17", "NaN or infinity at marker RBHD"),
        "m02_s01_incorrect.npz": ("markers_tenth_mm", "must be [T, 39, 3] of kind i or f, found int16 [120, 38, 3]"),
        "m02_s02_incorrect.npz": ("", "a leak in split by_person: this train sequence shares 120 frames with M002S06I"),
        "m02_s03_incorrect.pkl": ("", "this is a pickle, which could run any code when loaded"),
    }
    assert set(found) == set(wanted)
    for file, (row, rule) in wanted.items():
        assert found[file]["row"] == row
        assert rule in found[file]["rule"]
        assert found[file]["remedy"]


def test_a_crop_of_a_tested_recording_that_is_trained_on_is_a_leak_with_its_frames(root: Path) -> None:
    with np.load(root / "m02_s07_incorrect.npz") as tested:
        markers = tested["markers_tenth_mm"][20:110]
    save(root, "m01_s01_correct.npz", markers_tenth_mm=markers, start=np.array([0]), end=np.array([90]))
    (leak,) = errors(root).values()
    assert leak.file == "m01_s01_correct.npz"
    assert leak.row.startswith("frames ")
    assert "a leak in split by_person" in leak.rule


def _pickle_inside(path: Path, evil: bytes) -> None:
    path.write_bytes(evil)


def _truncated(path: Path, evil: bytes) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _huge(path: Path, evil: bytes) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


def _linked(path: Path, evil: bytes) -> None:
    away = path.parents[1] / "away.npz"
    path.rename(away)
    path.symlink_to(away)


def _of_objects(path: Path, evil: bytes) -> None:
    np.savez(path, markers_tenth_mm=np.array([{}]), start=[0], end=[1])


def _of_texts(path: Path, evil: bytes) -> None:
    save(path.parent, path.name, markers_tenth_mm=np.full((FRAMES, 39, 3), "1"))


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (_pickle_inside, "this is a pickle, which could run any code"),
        (_truncated, "not a readable .npz file"),
        (_huge, "10737418240 bytes, more than"),
        (_linked, "outside the folder"),
        (_of_objects, "an array of Python objects"),
        (_of_texts, "must be [T, 39, 3] of kind i or f, found <U1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_file_is_named_at_once_and_the_others_are_read(
    root: Path, evil: bytes, damage: Callable[[Path, bytes], None], rule: str
) -> None:
    damage(root / "m01_s01_correct.npz", evil)
    began = time.perf_counter()
    (found,) = errors(root).values()
    assert time.perf_counter() - began < 5.0
    assert (found.file, rule in found.rule) == ("m01_s01_correct.npz", True)
    assert examine_copy(ui_prmd.READER, root).sequences == 13


@pytest.mark.parametrize("name", ["an empty folder", "nowhere"])
def test_a_folder_without_recordings_is_one_error_that_says_what_is_expected(tmp_path: Path, name: str) -> None:
    (tmp_path / "an empty folder").mkdir()
    (found,) = examine_copy(ui_prmd.READER, tmp_path / name).findings
    assert "no file is named like m01_s01_correct.npz" in found.rule
    assert found.remedy


def test_a_reader_that_breaks_is_a_finding_about_the_item_and_not_the_end(root: Path) -> None:
    def load(path: Path) -> Sample:
        return ui_prmd.load(path) if "s02" not in path.name else 1 // 0  # pyright: ignore[reportReturnType]

    found = errors(root, replace(ui_prmd.READER, load=load, examine=None))
    assert set(found) == {"m01_s02_correct.npz", "m02_s02_incorrect.npz"}
    assert {one.rule for one in found.values()} == {
        "the reader fails: ZeroDivisionError: integer division or modulo by zero"
    }


def test_splits_that_cannot_be_made_are_a_finding(root: Path) -> None:
    for path in root.glob("*_s07_*"):
        path.unlink()
    (found,) = errors(root).values()
    assert (found.file, "S07 not among the subjects" in found.rule) == ("split by_person", True)


def test_lost_markers_are_told_as_the_reader_filled_them(root: Path) -> None:
    with np.load(root / "m01_s01_correct.npz") as archive:
        markers = archive["markers_tenth_mm"].copy()
    markers[30:40, 7] = 0
    save(root, "m01_s01_correct.npz", markers_tenth_mm=markers)
    notes = [one for one in examine_copy(ui_prmd.READER, root).findings if one.rule.startswith("lost markers")]
    assert [(one.severity, one.file, one.sample) for one in notes] == [("note", "m01_s01_correct.npz", "M001S01C")]
    assert "10 marker-frames filled (0.21%), longest gap 10 frames (STRN)" in notes[0].rule


def test_splits_that_miss_what_cannot_be_read_say_to_mend_that_first(root: Path) -> None:
    for path in root.glob("m*_s07_*.npz"):
        path.write_bytes(b"PK")
    (found,) = [one for one in examine_copy(ui_prmd.READER, root).findings if "S07 not among" in one.rule]
    assert found.remedy.startswith("mend what cannot be read (2 of 14 recordings) and check again")


def test_splits_of_an_open_folder_are_judged_without_what_cannot_be_read(folder: Path) -> None:
    put(folder, "P03-A002", _with_nan)
    with np.load(folder / "joints" / "P02-A002.npz") as archive:
        np.savez(folder / "joints" / "P01-A002.npz", joints=archive["joints"])
    (folder / "joints" / "P02-A001.npz").unlink()
    found = errors(folder, open_format.reader(folder))
    assert set(found) == {"joints/P01-A002.npz", "joints/P02-A001.npz", "joints/P03-A002.npz"}
    assert "a leak in split by_person" in found["joints/P01-A002.npz"].rule
    assert found["joints/P02-A001.npz"].rule.startswith("sequences.csv names it, but there is neither")
    assert found["joints/P03-A002.npz"].row == "frame 17"


def test_a_link_out_of_an_open_folder_is_listed_once_and_the_others_are_read(folder: Path, tmp_path: Path) -> None:
    (folder / "joints" / "P02-A001.npz").rename(tmp_path / "elsewhere.npz")
    (folder / "joints" / "P02-A001.npz").symlink_to(tmp_path / "elsewhere.npz")
    report = examine_copy(open_format.reader(folder), folder)
    (found,) = ordered(report.findings, "error")
    assert (found.file, "outside the folder" in found.rule) == ("joints/P02-A001.npz", True)
    assert report.sequences == 5


def test_where_nothing_can_be_looked_for_that_is_said_beside_the_only_error(root: Path, tmp_path: Path) -> None:
    (root / "m01_s01_correct.npz").rename(tmp_path / "elsewhere.npz")
    (root / "m01_s01_correct.npz").symlink_to(tmp_path / "elsewhere.npz")
    reader = replace(ui_prmd.READER, find=lambda root: listed(root, "*.npz"))
    (found,) = examine_copy(reader, root).findings
    assert found.file == "m01_s01_correct.npz"
    assert found.remedy.endswith("then check again: no recording could be looked at")


def test_a_recording_under_a_name_that_the_reader_does_not_know_is_noted(root: Path) -> None:
    (root / "m01_s01_correct.npz").rename(root / "m1_s01_correct.npz")
    (root / "._m01_s01_correct.npz").write_bytes(b"\0")
    (note,) = [one for one in examine_copy(ui_prmd.READER, root).findings if "not read" in one.rule]
    assert (note.severity, note.file) == ("note", "")
    assert note.rule == "files beside the recordings that are not read: 1, namely m1_s01_correct.npz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An open folder of six sequences of 60 frames, P01 to P03 by A001 and A002."""
    write_template(tmp_path / "open folder", "flag3d24")
    return tmp_path / "open folder"


def put(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(folder / "joints" / f"{name}.npz") as archive:
        joints = change(archive["joints"].copy())
    np.savez(folder / "joints" / f"{name}.npz", joints=joints)


def _with_nan(joints: np.ndarray) -> np.ndarray:
    joints[..., 17, 3, 1] = np.nan
    return joints


def test_damaged_sequences_of_an_open_folder_are_all_listed(folder: Path, evil: bytes) -> None:
    table = folder / "repetitions.csv"
    rows = table.read_text().splitlines()
    rows[1] = rows[1].replace("0,20", "-1,20")
    rows[4] = rows[4].replace("0,20", "30,20")
    table.write_text("\n".join([row for row in rows if not row.startswith("P02-A001")]) + "\n")
    put(folder, "P02-A002", _with_nan)
    put(folder, "P03-A001", lambda joints: joints[..., :23, :])
    (folder / "joints" / "P03-A002.npz").write_bytes(evil)
    found = ordered(examine_copy(open_format.reader(folder), folder).findings, "error")
    places = [(one.file, one.row.split(",")[0]) for one in found]
    assert ("repetitions.csv", "row 2") in places
    assert ("repetitions.csv", "row 5") in places
    for file in ("P02-A002.npz", "P03-A001.npz", "P03-A002.npz"):
        assert sum(place[0] == f"joints/{file}" for place in places) == 1, file


def test_a_sequence_of_an_open_folder_without_repetitions_among_others_is_an_error(folder: Path) -> None:
    table = folder / "repetitions.csv"
    table.write_text("\n".join(row for row in table.read_text().splitlines() if "P02-A001" not in row) + "\n")
    (found,) = errors(folder, open_format.reader(folder)).values()
    assert (found.file, found.sample) == ("joints/P02-A001.npz", "P02-A001")
    assert "the count is 0" in found.rule


def test_a_sequence_under_two_names_on_two_sides_of_an_open_folders_split_is_a_leak(folder: Path) -> None:
    put(folder, "P02-A002", lambda joints: joints + 0)
    with np.load(folder / "joints" / "P02-A002.npz") as archive:
        np.savez(folder / "joints" / "P01-A002.npz", joints=archive["joints"])
    (found,) = errors(folder, open_format.reader(folder)).values()
    assert found.file == "joints/P01-A002.npz"
    assert "a leak in split by_person: this train sequence shares 60 frames with P02-A002, in valid" in found.rule


def test_a_folder_from_windows_with_names_in_any_script_is_checked_like_another(folder: Path) -> None:
    plain = examine_copy(open_format.reader(folder), folder)
    for path in folder.glob("*.csv"):
        text = path.read_text(encoding="utf-8").replace("P02-A002", "Übung 2, 2. Durchgang")
        text = text.replace("Übung 2, 2. Durchgang", '"Übung 2, 2. Durchgang"')
        path.write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
    (folder / "joints" / "P02-A002.npz").rename(folder / "joints" / "Übung 2, 2. Durchgang.npz")
    windows = examine_copy(open_format.reader(folder), folder)
    assert (windows.sequences, windows.repetitions) == (plain.sequences, plain.repetitions) == (6, 18)
    named = {one.rule.replace("Übung 2, 2. Durchgang", "P02-A002") for one in windows.findings}
    assert named == {one.rule for one in plain.findings}


@needs_recordings
def test_the_real_copy_has_no_errors_and_its_lost_markers_are_found() -> None:
    report = examine_copy(ui_prmd.READER, REAL)
    assert (report.sequences, report.repetitions) == (110, 1100)
    assert ordered(report.findings, "error") == []
    lost = [one for one in report.findings if one.rule.startswith("lost markers")]
    assert len(lost) == len(report.findings) == 18
    assert sum(int(one.rule.split()[2]) for one in lost) == 2879
    (longest,) = (one for one in lost if "longest gap 1367 frames (RTHI)" in one.rule)
    assert (longest.severity, longest.file) == ("warning", "m07_s03_incorrect.npz")
